"""The page in a real, headless Chromium, by keys alone."""

import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from labelling import Page, make_rows

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

HOSTILE = [
    '<script>document.title = "owned"</script>',
    '<img src="x" onerror="document.title = \'owned\'">',
    "</code></pre></article><svg onload=\"document.title = 'owned'\"></svg>",
    "```html\n<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>\n```",
]


class Screen:
    """Somebody's browser at the page."""

    def __init__(self, browser: Any, page: Page) -> None:
        self.browser = browser
        self.page = page

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def until(self, condition: str, *arguments: Any, seconds: float = 15) -> Any:
        """Wait until a JavaScript expression is true of a page that is all there, and return its value."""
        last = None
        for _ in range(int(seconds / 0.05)):
            try:
                last = self.browser.execute_script(
                    f"return document.readyState === 'complete' && ({condition})", *arguments
                )
            except WebDriverException:  # between two pages
                last = None
            if last:
                return last
            time.sleep(0.05)
        raise AssertionError(f"never true: {condition}; the page says {self.text()!r}")

    def text(self, selector: str = "body") -> str:
        """Return what can be seen of an element."""
        seen = "const e = document.querySelector(arguments[0]); return e?.checkVisibility() ? e.innerText : ''"
        return str(self.browser.execute_script(seen, selector))

    def enter(self, name: str) -> None:
        """Say a name, and begin."""
        self.browser.get(f"{self.page.url}/")
        self.press(name, Keys.ENTER)
        self.until("document.querySelector('[data-do=open]')")
        self.press(Keys.ENTER)
        self.until("document.body.dataset.item && document.querySelector('.answer')")

    def order(self, expected: str) -> None:
        self.until("document.querySelector('.order').textContent.startsWith(arguments[0])", expected)

    def item(self) -> str:
        return str(self.browser.execute_script("return document.body.dataset.item ?? ''"))

    def next_item(self, before: str) -> None:
        self.until("document.body.dataset.item !== undefined && document.body.dataset.item !== arguments[0]", before)

    def complaints(self) -> list[str]:
        """Return what the browser logged of errors and of the policy; a key that cannot do what it does is neither."""
        said = [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]
        return [message for message in said if "status of 422" not in message]


@pytest.fixture
def sit_down(open_browser: Callable[..., Any]) -> Callable[..., Screen]:
    def open_at(page: Page, **size: int) -> Screen:
        return Screen(open_browser(**size), page)

    return open_at


def submitted(page: Page, name: str) -> list[dict[str, Any]]:
    return [row for row in page.rows() if row["kind"] == "submit" and row["annotator"] == name]


def ranked(row: dict[str, Any]) -> list[int]:
    """Return a label's ranks by position on the page."""
    return [row["ranks"][key] for key in row["shown"]]


def test_by_keys_alone(serve: Callable[..., Page], sit_down: Callable[..., Screen]) -> None:
    page = serve(make_rows(4, k=4))
    screen = sit_down(page)
    screen.enter("alice")
    first = screen.item()

    screen.press("3", "1", "=", "4")
    screen.order("3 > 1 = 4")
    screen.until("document.getElementById('status').textContent.includes('answer 2 comes last, Enter submits')")
    assert "3rd" in screen.text('.answer[data-position="2"] .rank')
    screen.press("1")  # takes its rank back
    screen.order("3 > 4")
    screen.press("u", "u")  # its rank is back, and 4 has none
    screen.order("3 > 1 = …")
    screen.press("4", Keys.ENTER)
    screen.next_item(first)
    assert ranked(submitted(page, "alice")[-1]) == [2, 3, 1, 2]

    second = screen.item()
    screen.press("2", Keys.ENTER)  # three answers are left
    screen.until("document.getElementById('status').classList.contains('refused')")
    assert "3 answers have no rank yet" in screen.text("#status")
    screen.press("0", Keys.ENTER)
    screen.next_item(second)
    assert ranked(submitted(page, "alice")[-1]) == [2, 1, 2, 2]

    third = screen.item()
    screen.press("s")
    screen.next_item(third)
    fourth = screen.item()
    screen.press("u")  # nothing is ranked here, so back to the one that was skipped
    screen.until("document.body.dataset.item === arguments[0]", third)
    screen.press("u")  # and back into the second, with its ranking
    screen.until("document.body.dataset.item === arguments[0]", second)
    screen.order("2 > 1 = 3 = 4")
    screen.press("u", "1", "3", Keys.ENTER)
    screen.next_item(second)
    assert ranked(submitted(page, "alice")[-1]) == [2, 1, 3, 4]

    assert screen.item() == third
    screen.press("0", Keys.ENTER)
    screen.next_item(third)
    assert screen.item() == fourth
    screen.press("s")
    screen.until("document.querySelector('[data-do=revisit]')")
    assert "Nothing is left for you, alice" in screen.text()
    screen.press("r")
    screen.until("document.body.dataset.item === arguments[0]", fourth)
    screen.press("0", Keys.ENTER)
    screen.until("document.querySelector('h1').textContent.includes('Nothing is left')")
    assert "You have labelled 4 items" in screen.text()
    assert all(row["seconds"] >= 0 for row in page.rows() if "seconds" in row)
    assert all(0 < row["item_seconds"] < 60 for row in submitted(page, "alice"))
    loaded = screen.browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert loaded
    assert all(address.startswith(f"{page.url}/") for address in loaded)  # nothing comes from elsewhere
    assert screen.complaints() == []


def test_two_people_at_once_and_a_server_that_is_killed_in_between(
    serve: Callable[..., Page], sit_down: Callable[..., Screen]
) -> None:
    count = 8
    page = serve(make_rows(count), "--per-item", "2")
    screens = {name: sit_down(page) for name in ("alice", "bob")}
    for name, screen in screens.items():
        screen.enter(name)
    stop = threading.Event()
    failures: list[str] = []

    def label(name: str) -> None:
        screen = screens[name]
        try:
            while not stop.is_set():
                before = screen.until(
                    "document.body.dataset.item || document.querySelector('main.small h1').textContent"
                )
                if before.startswith("Nothing is left"):
                    return
                screen.press("2", "1", Keys.ENTER)
                # Long enough for the server to be killed, to stay away, and to come back.
                screen.until(
                    "document.body.dataset.item !== arguments[0] && document.querySelector('h1')", before, seconds=60
                )
        except Exception as error:
            failures.append(f"{name}: {error!r}")

    people = [threading.Thread(target=label, args=(name,)) for name in screens]
    for person in people:
        person.start()
    for after in (0.6, 0.5, 0.4):
        time.sleep(after)
        page.kill()
        time.sleep(0.3)
        page.start()
    for person in people:
        person.join(timeout=120)
    stop.set()
    assert not failures

    for name in screens:
        rows = submitted(page, name)
        # Each item once, whole, and none of it twice: 2 > 1 > 3 is what was pressed at every one.
        assert len(rows) == len({row["item_id"] for row in rows}) == count
        assert all(ranked(row) == [2, 1, 3] for row in rows)
    ids = [row["id"] for row in page.rows() if "id" in row]
    assert len(ids) == len(set(ids))
    said = page.stop()
    assert f"{2 * count} labels by alice, bob" in said


def test_keys_pressed_while_the_server_is_away_are_kept(
    serve: Callable[..., Page], sit_down: Callable[..., Screen]
) -> None:
    page = serve(make_rows(2))
    screen = sit_down(page)
    screen.enter("alice")
    first = screen.item()
    screen.press("3")
    screen.order("3")
    page.kill()
    screen.press("1", "=", "2")
    screen.until(
        "!document.getElementById('away').hidden && document.getElementById('away').textContent.includes('3 actions')"
    )
    assert "The server does not answer" in screen.text("#away")
    page.start()
    screen.until("document.getElementById('away').hidden")
    screen.order("3 > 1 = 2")
    screen.press(Keys.ENTER)
    screen.next_item(first)
    assert ranked(submitted(page, "alice")[-1]) == [2, 2, 1]


class CuttingProxy:
    """Stands before the server, and cuts the first replies to each action off within their body."""

    def __init__(self, port: int, cuts: int) -> None:
        self.upstream = port
        self.cuts = cuts
        self.cut = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        """Pass one request on, with its body, and its reply back."""
        with client, socket.create_connection(("127.0.0.1", self.upstream)) as server:
            request = b""
            while b"\r\n\r\n" not in request:
                chunk = client.recv(65536)
                if not chunk:
                    return
                request += chunk
            head, _, body = request.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            while length and len(body) < int(length[1]):
                body += client.recv(65536)
            head = re.sub(rb"\r\nconnection: [^\r]*", b"", head, flags=re.IGNORECASE)
            server.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            reply = b"".join(iter(lambda: server.recv(65536), b""))
            if head.startswith(b"POST") and self.cuts:
                self.cuts -= 1
                self.cut += 1
                reply = reply[: reply.index(b"\r\n\r\n") + 8]
            client.sendall(reply)


def test_a_reply_that_is_cut_off_is_asked_for_again(
    serve: Callable[..., Page], sit_down: Callable[..., Screen]
) -> None:
    page = serve(make_rows(2))
    screen = sit_down(page)
    proxy = CuttingProxy(page.port, cuts=3)
    page.port = proxy.port
    screen.enter("alice")
    first = screen.item()
    screen.press("3", "1", Keys.ENTER)
    screen.next_item(first)
    proxy.cuts = 2
    screen.press("1")
    screen.order("1")
    screen.press("2", Keys.ENTER)
    screen.until("document.querySelector('h1').textContent.includes('Nothing is left')")
    proxy.listening.close()
    assert proxy.cut == 5
    assert [ranked(row) for row in submitted(page, "alice")] == [[2, 3, 1], [1, 2, 3]]


def test_a_draft_survives_a_restart_of_server_and_browser(
    serve: Callable[..., Page], sit_down: Callable[..., Screen]
) -> None:
    page = serve(make_rows(2, k=4))
    screen = sit_down(page)
    screen.enter("alice")
    first = screen.item()
    screen.press("4", "2", "=")
    screen.order("4 > 2 = …")
    answers = screen.text(".answers")
    page.kill()
    screen.browser.quit()
    page.start()
    again = sit_down(page)
    again.browser.get(f"{page.url}/as/alice")
    again.order("4 > 2 = …")
    assert again.item() == first
    assert again.text('.answer[data-position="1"] .code') in answers
    again.press("1", Keys.ENTER)
    again.next_item(first)
    assert ranked(submitted(page, "alice")[-1]) == [2, 2, 3, 1]


def test_two_tabs_of_one_person_do_not_get_in_each_others_way(
    serve: Callable[..., Page], sit_down: Callable[..., Screen]
) -> None:
    page = serve(make_rows(3))
    screen = sit_down(page)
    screen.enter("alice")
    first = screen.item()
    screen.browser.switch_to.new_window("tab")
    screen.browser.get(f"{page.url}/as/alice")
    screen.press("0", Keys.ENTER)
    screen.next_item(first)
    second = screen.item()
    screen.browser.switch_to.window(screen.browser.window_handles[0])
    assert screen.item() == first
    screen.press("1")
    screen.next_item(first)
    assert screen.item() == second
    assert "This page is behind: you went on in another tab" in screen.text("#status")
    assert len(submitted(page, "alice")) == 1


def test_hostile_answers_do_nothing(serve: Callable[..., Page], sit_down: Callable[..., Screen]) -> None:
    page = serve([{"prompt": f"Do it. {HOSTILE[0]}", "responses": HOSTILE}, {"prompt": "p", "responses": ["a", "b"]}])
    screen = sit_down(page)
    screen.enter("eve")
    for _ in HOSTILE:
        screen.press("d")
        screen.until("document.querySelectorAll('.diff .line').length > 0")
    time.sleep(0.3)
    assert screen.browser.title == "Item 1 · rrtf label"
    for tag in ("main img", "main svg", "main iframe", "main script"):
        assert screen.browser.execute_script("return document.querySelectorAll(arguments[0]).length", tag) == 0
    # All of it is there to be read.
    assert 'document.title = "owned"' in screen.browser.execute_script("return document.body.textContent")
    blocked = "try { document.body.innerHTML = '<b>x</b>'; return 'written' } catch (error) { return error.name }"
    assert screen.browser.execute_script(blocked) == "TypeError"  # no script may write HTML
    assert not [said for said in screen.complaints() if "innerHTML" not in said and "TrustedHTML" not in said]


def test_tests_diffs_whole_responses_and_help_are_there_on_demand(
    serve: Callable[..., Page], sit_down: Callable[..., Screen], tmp_path: Any
) -> None:
    from test_label_sources import make_run

    from rrtf_trl.labeling.label_file import LabelFile
    from rrtf_trl.labeling.sources import read_items

    rows = [("return x < 8\n", "student", "stop", "passed"), ("return x <= 8\n", "teacher", "stop", "partial")]
    items = read_items(make_run(tmp_path / "run", rows))
    with LabelFile(tmp_path / "answers.jsonl") as file:
        file.add_items(items)
    page = Page(tmp_path / "answers.jsonl", "--labels", str(tmp_path / "answers.labels.jsonl"))
    try:
        screen = sit_down(page)
        screen.enter("alice")
        shown = screen.text()
        for hidden in ("tests pass", "f(1) is 3", "Sure:", "Press the number of the worst", "student", "teacher"):
            assert hidden not in shown
        screen.press("t")
        assert "1 of 2 tests pass" in screen.text(".tests")
        assert "f(1) is 3" in screen.text(".tests")
        screen.press("t")
        assert screen.text(".tests") == ""
        screen.press("w")
        assert "Sure:" in screen.text(".response")
        screen.press("w", "d")
        screen.until("document.querySelector('.answer:not(.base) ins, .answer:not(.base) del')")
        assert "base" in screen.browser.execute_script("return document.querySelector('.answer').className")
        changed = screen.browser.execute_script(
            "return [...document.querySelectorAll('.answer:not(.base) :is(ins, del)')].map((e) => e.textContent)"
        )
        assert changed == ["="]
        screen.press("d")
        screen.until("document.querySelectorAll('.answer')[1].classList.contains('base')")
        screen.press(Keys.ESCAPE)
        screen.until("!document.querySelector('.base')")
        assert screen.text(".diff") == ""
        screen.press("?")
        screen.until("document.getElementById('help').open")
        screen.press("1")  # the page behind does nothing meanwhile
        screen.press(Keys.ESCAPE)
        screen.until("!document.getElementById('help').open")
        screen.press("0", Keys.ENTER)
        screen.until("document.querySelector('h1').textContent.includes('Nothing is left')")
        looks = [row["what"] for row in page.rows() if row["kind"] == "look"]
        assert looks == ["tests", "response", "diff"]
        assert screen.complaints() == []
    finally:
        page.kill()


def test_it_fits_a_narrow_screen_and_works_by_touch(
    serve: Callable[..., Page], sit_down: Callable[..., Screen]
) -> None:
    rows = make_rows(2)
    rows[0]["sources"].append("student")
    rows[0]["responses"] += ["    return " + " + ".join(f"a_rather_long_name_{i}" for i in range(40)) + "\n"]
    page = serve(rows)
    screen = sit_down(page, width=500, height=900)
    screen.browser.set_window_size(360, 800)
    screen.enter("alice")
    assert screen.browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    grid = "return getComputedStyle(document.querySelector('.answers')).gridTemplateColumns.split(' ').length"
    assert screen.browser.execute_script(grid) == 1
    first = screen.item()
    for selector in ("[data-position='2'].pick", "[data-do=rest]", "[data-do=submit]"):
        screen.browser.execute_script(
            "document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector
        )
        screen.browser.find_element("css selector", selector).click()
    screen.next_item(first)
    assert ranked(submitted(page, "alice")[-1]) == [2, 1, 2, 2]


def test_it_is_dark_where_that_is_wanted_and_can_be_switched(
    serve: Callable[..., Page], sit_down: Callable[..., Screen]
) -> None:
    page = serve(make_rows(1))
    screen = sit_down(page)
    screen.enter("alice")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = screen.browser.execute_script(f"return {paper}")
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    screen.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    dark = screen.until(f"{paper} !== arguments[0] && {paper}", light)
    for expected in (light, dark, dark):  # light, dark, auto
        screen.browser.find_element("id", "theme").click()
        screen.until(f"{paper} === arguments[0]", expected)
    screen.browser.find_element("id", "theme").click()
    screen.browser.refresh()  # it stays
    screen.until(f"{paper} === arguments[0]", light)


def test_it_can_be_used_with_tab_and_says_what_happens(
    serve: Callable[..., Page], sit_down: Callable[..., Screen]
) -> None:
    page = serve(make_rows(2))
    screen = sit_down(page)
    screen.enter("alice")
    first = screen.item()
    focused = "document.activeElement"
    assert screen.browser.execute_script(f"return {focused}.tagName") == "H1"
    for _ in range(12):
        if screen.browser.execute_script(f"return {focused}.dataset.position") == "2":
            break
        screen.press(Keys.TAB)
    screen.press(Keys.ENTER)  # the button's, since Tab led there
    screen.order("2")
    assert screen.item() == first
    outline = screen.browser.execute_script(f"return getComputedStyle({focused}).outlineStyle")
    assert outline != "none"
    assert screen.browser.execute_script(f"return {focused}.getAttribute('aria-pressed')") == "true"
    status = "document.getElementById('status')"
    assert screen.browser.execute_script(f"return {status}.getAttribute('role')") == "status"
    assert screen.text("#status") == "Answer 2 is 1st"
    nameless = (
        "return [...document.querySelectorAll('button, a, input, progress')]"
        ".filter((e) => !(e.innerText || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert screen.browser.execute_script(nameless) == []
    # Single keys can be switched off, for those whose software sends them.
    screen.press("?")
    screen.until("document.getElementById('help').open")
    screen.browser.find_element("id", "single").click()
    screen.press(Keys.ESCAPE)
    screen.until("!document.getElementById('help').open")
    screen.press("1")
    time.sleep(0.3)
    screen.order("2")
    assert "2 > 1" not in screen.text(".order")


def contrast(colour: list[float], paper: list[float]) -> float:
    """Return the contrast of two colours (WCAG 2.2, relative luminance)."""

    def luminance(parts: list[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in parts)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(colour), luminance(paper)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read(serve: Callable[..., Page], sit_down: Callable[..., Screen], theme: str) -> None:
    code = '@cache\ndef f(x: int = 1):\n    """Doc."""\n    # why\n    return len([None, 2.5]) is not x\n'
    page = serve([{"prompt": code, "responses": [code, code.replace("2.5", "3.5"), "prose"]}])
    screen = sit_down(page)
    screen.enter("alice")
    screen.browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    screen.press("1", "d")
    screen.until("document.querySelector('ins')")
    time.sleep(0.3)  # colours change slowly
    found = screen.browser.execute_script("""
        const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
        const paper = (e) => {
          const c = rgb(getComputedStyle(e).backgroundColor);
          return c.length < 4 || c[3] === 1 ? c.slice(0, 3) : paper(e.parentElement);
        };
        return [...document.querySelectorAll('body *')]
          .filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
          .map((e) => [e.className || e.tagName, e.textContent, rgb(getComputedStyle(e).color), paper(e)]);
    """)
    assert len(found) > 40
    faint = [(name, text) for name, text, colour, paper in found if contrast(colour[:3], paper) < 4.5]
    assert faint == []

"""The page in a real, headless Chromium, by keys alone."""

import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.labelling import Page, make_rows

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.keys import Keys

from support.labelling_screen import Screen, ranked, submitted

pytestmark = pytest.mark.slow


@pytest.fixture
def sit_down(open_browser: Callable[..., Any]) -> Callable[..., Screen]:
    def open_at(page: Page, **size: int) -> Screen:
        return Screen(open_browser(**size), page)

    return open_at


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

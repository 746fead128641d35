"""What the page shows in a real, headless Chromium: hostile answers, small screens, the dark, to everybody."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from support.labelling import Page, make_rows, make_run

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.keys import Keys

from support.labelling_screen import Screen, ranked, submitted

pytestmark = pytest.mark.slow

HOSTILE = [
    '<script>document.title = "owned"</script>',
    '<img src="x" onerror="document.title = \'owned\'">',
    "</code></pre></article><svg onload=\"document.title = 'owned'\"></svg>",
    "```html\n<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>\n```",
]


@pytest.fixture
def sit_down(open_browser: Callable[..., Any]) -> Callable[..., Screen]:
    def open_at(page: Page, **size: int) -> Screen:
        return Screen(open_browser(**size), page)

    return open_at


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

"""Somebody's browser at the page, and what the page has submitted."""

import time
from typing import Any

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from support.labelling import Page


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


def submitted(page: Page, name: str) -> list[dict[str, Any]]:
    return [row for row in page.rows() if row["kind"] == "submit" and row["annotator"] == name]


def ranked(row: dict[str, Any]) -> list[int]:
    """Return a label's ranks by position on the page."""
    return [row["ranks"][key] for key in row["shown"]]

"""What must be said before any test imports a library that reads it once; what starts first; and a real browser."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rrtf_trl.models.memory import importing

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRACKIO_DIR", tempfile.mkdtemp(prefix="trackio-"))
os.environ.setdefault("HF_DATASETS_CACHE", tempfile.mkdtemp(prefix="datasets-"))
# Threads that wait for each other are slower than one; and several processes test at the same time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What is tested here is what is built in, whatever is installed beside it; tests/plugins says otherwise for its own.
os.environ["RRTF_PLUGINS"] = "none"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files that take long: one that comes last would have a core for itself, and the others none to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Have collections of garbage leave aside what is imported for the tests."""
    with importing():
        return (yield)


@pytest.fixture
def open_browser() -> Iterator[Callable[..., Any]]:
    """Open a headless Chromium with a profile of its own."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    opened: list[Any] = []
    profiles: list[str] = []

    def start(width: int = 1440, height: int = 900) -> Any:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        profiles.append(tempfile.mkdtemp(prefix="chromium-"))
        for flag in (
            *(
                "headless",
                "no-sandbox",
                "disable-gpu",
                "disable-quic",
                "no-first-run",
                "disable-background-networking",
            ),
            *("disable-component-update", "disable-sync", "disable-dev-shm-usage"),
            *(f"window-size={width},{height}", f"user-data-dir={profiles[-1]}"),
        ):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        opened.append(webdriver.Chrome(options=options, service=Service(driver)))
        return opened[-1]

    yield start
    for browser in opened:
        browser.quit()
    for profile in profiles:
        shutil.rmtree(profile, ignore_errors=True)

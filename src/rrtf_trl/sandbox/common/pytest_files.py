"""pytest and unittest files, run by pytest in this process against the program as module ``solution``.

A program passes where all collected tests pass, and as many as with the reference: no skips, no expected failures,
no missing tests.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from .faults import Fault


class Counts:
    """The result of a pytest run.

    Attributes:
        collected: Number of tests found.
        passed: How many of them passed, set-up and tear-down included.
        message: The first failure.
        test: The test that failed first.
        exception: The type of the exception by which it failed; None for a failed assertion.
        raised: Whether a test failed by an exception other than a failed assertion.
    """

    def __init__(self) -> None:
        self.collected = 0
        self.passed = 0
        self.message = ""
        self.test: str | None = None
        self.exception: str | None = None
        self.raised = False


def write_files(files: dict[str, str], folder: str) -> None:
    """Write test files under ``folder``."""
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)


def run_files(folder: str, names: list[str], take_fault: Callable[[], Fault | None] = lambda: None) -> Counts:
    """Run pytest on files in ``folder``, in this process, which should end soon after.

    Args:
        folder: Where the files are; it becomes the working folder.
        names: The files' names; those that pytest does not take for tests by their names are imported by others.
        take_fault: Returns the fault of the last test, once, where the program runs in another process.
    """
    import pytest  # here, since a fork server loads this module by :mod:`..guest.weak`

    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    watcher = _Watcher(take_fault)
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--rootdir", folder, "-c", os.devnull]
    # If no file is named as pytest names tests, all but helpers are tests.
    tests = [name for name in names if os.path.basename(name).startswith("test_") or name.endswith("_test.py")]
    helpers = {"conftest.py", "__init__.py"}
    selected = tests or [name for name in names if name.endswith(".py") and os.path.basename(name) not in helpers]
    pytest.main([*options, *selected], plugins=[watcher])
    return watcher.counts


class _Watcher:
    """A pytest plugin that counts."""

    def __init__(self, take_fault: Callable[[], Fault | None]) -> None:
        self.counts = Counts()
        self._take_fault = take_fault
        self._exception: str | None = None
        self._failed: set[str] = set()
        self._passed: set[str] = set()

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed or report.skipped:
            self._note("collecting", _crash(report), None)

    def pytest_itemcollected(self, item: Any) -> None:
        self.counts.collected += 1

    def pytest_runtest_logreport(self, report: Any) -> None:
        plain_pass = report.outcome == "passed" and not hasattr(report, "wasxfail")
        fault = self._take_fault()
        if fault is not None:  # also if the test caught it
            self.counts.raised = True
            self._note(report.nodeid, fault.text, fault.exception)
        elif not plain_pass:
            self._note(report.nodeid, _crash(report), self._exception)
        elif report.when == "call":
            self._passed.add(report.nodeid)
        self.counts.passed = len(self._passed - self._failed)

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        error = call.excinfo.value if call.excinfo is not None else None
        self._exception = None
        if error is not None and not isinstance(error, AssertionError):
            self.counts.raised = True
            self._exception = type(error).__name__

    def _note(self, node: str, text: str, exception: str | None) -> None:
        self._failed.add(node)
        if not self.counts.message:
            self.counts.message, self.counts.test, self.counts.exception = f"{node}: {text}"[:1000], node, exception


def _crash(report: Any) -> str:
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    return str(crash.message if crash is not None else getattr(report, "longrepr", "") or report.outcome)

"""pytest and unittest files, run by pytest in this process against the program as module ``solution``.

A row passes where as many tests were collected as passed, and as many as with the reference: no skips, no expected
failures, no test that vanished.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from .faults import Fault


class Counts:
    """What a run of pytest came to.

    Attributes:
        collected: Tests found.
        passed: Those of them that passed, and neither raised in their set-up nor in what cleans up after them.
        message: The first failure.
        test: The test that failed first.
        exception: The type of the exception by which it failed; None for a failed assertion.
        raised: Whether one failed by an exception that is no failed assertion.
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
    """Run pytest over files in ``folder``, in this process, which should end soon after.

    Args:
        folder: Where they are; the working folder from now on.
        names: The files' names; those that pytest's naming takes for no tests are there to be imported.
        take_fault: Where the program is elsewhere, gives the fault that the last test met, once.
    """
    import pytest  # here, since a fork server loads this module: see :mod:`..guest.weak`

    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    watcher = _Watcher(take_fault)
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--rootdir", folder, "-c", os.devnull]
    # A file of tests may be called anything but a helper's name; where none is called as pytest has it, all are.
    tests = [name for name in names if os.path.basename(name).startswith("test_") or name.endswith("_test.py")]
    helpers = {"conftest.py", "__init__.py"}
    chosen = tests or [name for name in names if name.endswith(".py") and os.path.basename(name) not in helpers]
    pytest.main([*options, *chosen], plugins=[watcher])
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
        if fault is not None:  # also where the test swallowed it
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

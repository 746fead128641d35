"""pytest and unittest files, run by pytest in the judge's process against the program as module ``solution``.

A row passes where as many tests were collected as passed, and as many as with the reference: no skips, no expected
failures, no test that vanished.
"""

from __future__ import annotations

import os
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import Session


class Counts:
    """What a run of pytest came to.

    Attributes:
        collected: Tests found.
        passed: Those of them that passed, and neither raised in their set-up nor in what cleans up after them.
        message: The first failure.
        test: The test that failed first.
        raised: Whether one failed by an exception that is no failed assertion.
    """

    def __init__(self) -> None:
        self.collected = 0
        self.passed = 0
        self.message = ""
        self.test: str | None = None
        self.raised = False


def is_installed() -> bool:
    """Whether pytest can be imported."""
    from importlib.util import find_spec

    return find_spec("pytest") is not None


def write_files(files: dict[str, str], folder: str) -> None:
    """Write test files under ``folder``."""
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)


def run_files(folder: str, names: list[str], session: Session | None = None) -> Counts:
    """Run pytest over files in ``folder``, in this process, which should end soon after.

    Args:
        folder: Where they are; the working folder from now on.
        names: The files' names; those that pytest's naming takes for no tests are there to be imported.
        session: The program, where it is elsewhere.
    """
    import pytest

    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    watcher = _Watcher(session)
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--rootdir", folder, "-c", os.devnull]
    # A file of tests may be called anything but a helper's name; where none is called as pytest has it, all are.
    tests = [name for name in names if os.path.basename(name).startswith("test_") or name.endswith("_test.py")]
    helpers = {"conftest.py", "__init__.py"}
    chosen = tests or [name for name in names if name.endswith(".py") and os.path.basename(name) not in helpers]
    pytest.main([*options, *chosen], plugins=[watcher])
    return watcher.counts


class _Watcher:
    """A pytest plugin that counts."""

    def __init__(self, session: Session | None) -> None:
        self.counts = Counts()
        self._session = session
        self._failed: set[str] = set()
        self._passed: set[str] = set()

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed or report.skipped:
            self._note("collecting", report)

    def pytest_itemcollected(self, item: Any) -> None:
        self.counts.collected += 1

    def pytest_runtest_logreport(self, report: Any) -> None:
        plain_pass = report.outcome == "passed" and not hasattr(report, "wasxfail")
        fault = self._session.talk.fault if self._session is not None else None
        if fault is not None and self._session is not None:  # also where the test swallowed it
            self._session.talk.fault = None
            self.counts.raised = True
            self._failed.add(report.nodeid)
            self.counts.message = self.counts.message or f"{report.nodeid}: {fault.text}"
            self.counts.test = self.counts.test or report.nodeid
        elif not plain_pass:
            self._note(report.nodeid, report)
        elif report.when == "call":
            self._passed.add(report.nodeid)
        self.counts.passed = len(self._passed - self._failed)

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        error = call.excinfo.value if call.excinfo is not None else None
        if error is not None and not isinstance(error, AssertionError):
            self.counts.raised = True

    def _note(self, node: str, report: Any) -> None:
        self._failed.add(node)
        if not self.counts.message:
            crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
            text = crash.message if crash is not None else str(getattr(report, "longrepr", "") or report.outcome)
            self.counts.message, self.counts.test = f"{node}: {text}"[:1000], node


class ProxyModule(types.ModuleType):
    """The program as a module of the judge's: each attribute is asked for when it is used."""

    def __init__(self, session: Session) -> None:
        super().__init__("solution", "The program.")
        self.__dict__["_session"] = session
        self.__dict__["_before"] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return self._session.public_names()
        if name.startswith("__"):
            raise AttributeError(name)
        return self._session.attribute(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            super().__setattr__(name, value)
            return
        if name not in self._before:
            self._before[name] = self._session.attribute(name)
        self._session.set_attribute(name, value)

    def __delattr__(self, name: str) -> None:
        """Undo: pytest's monkeypatch takes back by deleting what it finds in no ``__dict__``."""
        self._session.set_attribute(name, self._before.pop(name))

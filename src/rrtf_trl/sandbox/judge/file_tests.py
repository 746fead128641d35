"""Judges a program by pytest and unittest files, which find it as module ``solution``."""

from __future__ import annotations

import sys
import types
from typing import Any

from ..common import pytest_files
from ..common.faults import BadTests, Fault, LoadError
from .session import JudgeSession
from .trace import Trace
from .verdicts import Bench, Verdict, if_answered_once, of_failure


def judge_files(files: dict[str, str], code: str, bench: Bench, trace: Trace, folder: str, count: int) -> Verdict:
    """Judge a program by pytest files. The process that calls this should end soon after.

    Args:
        files: The files' names and texts.
        code: The program.
        bench: What to run it with.
        trace: What is known of the reference.
        folder: An empty folder for the files.
        count: How many tests the reference passes; 0 where there is none.
    """
    pytest_files.write_files(files, folder)
    session = bench.session(trace)
    try:
        session.load(code, [])
        sys.modules["solution"] = ProxyModule(session)
        counts = pytest_files.run_files(folder, list(files), session.conversation.take_fault)
        end = session.conversation.fault
    except (LoadError, Fault) as error:
        return of_failure(error, max(1, count), again=session.conversation.accident)
    finally:
        bench.end(session)
    if session.conversation.broken is not None:
        raise session.conversation.broken
    total = max(counts.collected, count, 1)
    verdict = Verdict("partial", counts.passed, total, counts.message, counts.test, exception=counts.exception)
    verdict.again = session.conversation.accident
    stop = session.conversation.stopped_by or end
    if stop is not None and stop.kind in ("timeout", "memory", "refused"):
        verdict.state = stop.kind
    elif session.calls and counts.collected == counts.passed == (count or counts.collected) and counts.collected:
        verdict.state = "passed"
    elif counts.raised and not counts.passed:
        verdict.state = "runtime_error"
    if verdict.state != "passed" and not verdict.message:
        wanted = f" of {count}" if count else ""
        verdict.message = f"{counts.collected}{wanted} tests were collected, {counts.passed} passed"
    return if_answered_once(verdict, session)


def count_of_reference(files: dict[str, str], reference: types.ModuleType, folder: str) -> int:
    """How many tests of pytest files the reference passes, all of those that there are.

    Raises:
        BadTests: If it does not pass all, or there is none.
    """
    pytest_files.write_files(files, folder)
    sys.modules["solution"] = reference
    counts = pytest_files.run_files(folder, list(files))
    if not counts.collected or counts.passed != counts.collected:
        text = f"of {counts.collected} tests the reference passes {counts.passed}"
        raise BadTests(f"{text}; {counts.message}" if counts.message else text)
    return counts.collected


class ProxyModule(types.ModuleType):
    """The program as a module of the judge's: each attribute is asked for when it is used."""

    def __init__(self, session: JudgeSession) -> None:
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

"""Judges a program by pytest and unittest files, which import it as module ``solution``."""

from __future__ import annotations

import ast
import sys
import types
from typing import Any

from ..common import pytest_files
from ..common.faults import BadTests, Fault, LoadError
from .names import stored
from .results import ProgramResult, if_answered_once, of_failure
from .runner import Runner
from .session import Facts, JudgeSession
from .suites import parse_trusted


def judge_files(
    files: dict[str, str], code: str, runner: Runner, facts: Facts, folder: str, count: int
) -> ProgramResult:
    """Judge a program by pytest files. The process that calls this should end soon after.

    Args:
        files: The files' names and texts.
        code: The program.
        runner: Runs it.
        facts: What is known of the reference.
        folder: An empty folder for the files.
        count: How many tests the reference passes; 0 where there is none.
    """
    pytest_files.write_files(files, folder)
    session = runner.session(facts)
    try:
        session.load(code)
        sys.modules["solution"] = ProxyModule(session)
        counts = pytest_files.run_files(folder, list(files), session.conversation.take_fault)
        last_fault = session.conversation.fault
    except (LoadError, Fault) as error:
        return of_failure(error, max(1, count), retry=session.conversation.accident)
    finally:
        runner.end(session.conversation)
    if session.conversation.broken is not None:
        raise session.conversation.broken
    total = max(counts.collected, count, 1)
    result = ProgramResult("partial", counts.passed, total, counts.message, counts.test, exception=counts.exception)
    result.retry = session.conversation.accident
    stop = session.conversation.stopped_by or last_fault
    if stop is not None and stop.kind in ("timeout", "memory", "refused"):
        result.state = stop.kind
    elif session.calls and counts.collected == counts.passed == (count or counts.collected) and counts.collected:
        result.state = "passed"
    elif counts.raised and not counts.passed:
        result.state = "runtime_error"
    if result.state != "passed" and not result.message:
        of_count = f" of {count}" if count else ""
        result.message = f"{counts.collected}{of_count} tests were collected, {counts.passed} passed"
    return if_answered_once(result, session.conversation)


def facts_of(context: str) -> Facts:
    """Return what the source of a reference shows of it."""
    if not context:
        return Facts()
    body = parse_trusted(context, "context").body
    classes = frozenset(one.name for one in body if isinstance(one, ast.ClassDef))
    names = {name for one in body if not isinstance(one, ast.Import | ast.ImportFrom) for name in stored(one)}
    return Facts(True, classes, frozenset(names))


def count_of_reference(files: dict[str, str], reference: types.ModuleType, folder: str) -> int:
    """Return how many tests there are in pytest files, all of which the reference passes.

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
    """The program as a module in the judge: each attribute is requested when it is used."""

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
        """Restore the attribute: pytest's monkeypatch undoes by deleting what is in no ``__dict__``."""
        self._session.set_attribute(name, self._before.pop(name))

"""Runs a problem's tests against a program, and decides its state.

It executes the tests, which are trusted, in this process, and uses the program through a
:class:`~.session.JudgeSession` only: answers are plain data or proxies, so no ``==`` here is the program's.

States, by the first rule that applies:

- ``timeout``, ``memory``, ``refused``: the program ran out of time or memory, or wrote to the judge's
  channel, or the tests pass it what cannot cross;
- ``compile_error``: it does not compile;
- ``runtime_error``: its module ended in an exception, or lacks the entry point, or no test passed and in
  at least one an exception was raised or the program's process ended;
- ``passed``: every test passed;
- ``partial``: it ran, and at least one answer was wrong; ``passed`` may be 0.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from ..common import codec
from ..common.compare import first_difference
from ..common.faults import BadTests, Broken, Diverged, Fault, Limits, LoadError
from ..common.messages import cut
from .alarm import Alarm
from .fork_client import ForkServerClient
from .session import JudgeSession
from .suites import Suite, Test
from .trace import Trace, no_trace


@dataclass
class ProgramResult:
    """The judge's part of a :class:`..job.Outcome`, which describes the fields.

    Args:
        state: As above; ``infrastructure`` where the sandbox failed.
        retry: Whether to run the program again: see :attr:`.conversation.Conversation.accident`. No part of outcomes.
    """

    state: str
    passed: int
    total: int
    message: str = ""
    test: str | None = None
    test_index: int | None = None
    expected: str | None = None
    got: str | None = None
    exception: str | None = None
    retry: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return dict(vars(self))


class Runner:
    """Starts and ends programs' processes.

    Args:
        server: The fork server.
        alarm: Watches their limits.
        limits: The limits of a job.
        on_start: Called before a program starts.
    """

    def __init__(self, server: ForkServerClient, alarm: Alarm, limits: Limits, on_start: Callable[[], None]) -> None:
        self.server = server
        self.alarm = alarm
        self.limits = limits
        self._on_start = on_start

    def session(self, trace: Trace, files: tuple[int, ...] = ()) -> JudgeSession:
        """Start a program's process, and the alarm."""
        self._on_start()
        session = JudgeSession(self.server, self.limits, trace, files)
        self.alarm.set(self.limits.wall, session.conversation.note_fault)
        return session

    def end(self, session: JudgeSession) -> None:
        """Stop the alarm, and end the process."""
        self.alarm.clear()
        session.conversation.end()


class TestTally:
    """Counts tests and keeps the first failure."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.passed = 0
        self._first: ProgramResult | None = None
        self._raised = False
        self._stop: Fault | None = None

    def test(self, session: JudgeSession, test: Test) -> bool:
        """Run one test; return whether the program can take another."""
        session.conversation.fault = None
        error: BaseException | None = None
        try:
            test.run()
        except (Broken, BadTests, Diverged):
            raise
        except BaseException as caught:
            if isinstance(caught, LoadError) and caught.stage == "compile":
                raise
            error = caught
        if session.conversation.broken is not None:
            raise session.conversation.broken
        if session.conversation.diverged:
            raise Diverged
        fault = session.conversation.fault  # also if the test caught it and continued
        if fault is not None:
            call = session.last_call()
            self._raised |= fault.kind in ("ended", "raised")
            self._stop = fault if fault.kind in ("timeout", "memory", "refused") else None
            self._fail(test, f"{fault.text} in {call}" if call else fault.text, exception=fault.exception)
            return not fault.fatal
        if error is None:
            self.passed += 1
            return True
        call = session.last_call()
        if isinstance(error, AssertionError):
            text = "; ".join(part for part in (call, cut(str(error))) if part)
            self._fail(test, text, expected=test.expected(error), got=session.got)
        elif isinstance(error, LoadError):
            self._raised = True
            self._fail(test, str(error), exception=error.exception)
        else:
            self._raised = True
            kind = type(error).__name__
            text = f"{kind}: {cut(str(error))}"
            self._fail(test, f"{text} in {call}" if call else text, exception=kind)
        return True

    def _fail(
        self,
        test: Test,
        text: str,
        expected: str | None = None,
        got: str | None = None,
        exception: str | None = None,
    ) -> None:
        if self._first is None:
            message = f"{test.label}: {text}"[:1000]
            self._first = ProgramResult("", 0, 0, message, test.label, test.index, expected, got, exception)

    def result(self) -> ProgramResult:
        """Return the result of the tests so far; tests that were not run count as failed."""
        if self._stop is not None:
            state: str = self._stop.kind
        elif self.passed == self.total:
            state = "passed"
        else:
            state = "runtime_error" if self._raised and self.passed == 0 else "partial"
        found = self._first or ProgramResult("", 0, 0)
        found.state, found.passed, found.total = state, self.passed, self.total
        return found


def of_failure(error: LoadError | Fault, total: int, retry: bool = False) -> ProgramResult:
    """Return the result of a program that failed as a whole, before or between its tests."""
    if isinstance(error, LoadError):
        state = "compile_error" if error.stage == "compile" else "runtime_error"
    else:
        states = {"ended": "runtime_error", "raised": "runtime_error", "unsupported": "refused"}
        state = states.get(error.kind, error.kind)
    return ProgramResult(state, 0, total, str(error), exception=error.exception, retry=retry)


def judge(suite: Suite, code: str, runner: Runner, trace: Trace) -> ProgramResult:
    """Judge a program that defines functions.

    Raises:
        Broken: If the sandbox failed.
        BadTests: If the tests are wrong.
        Diverged: If the tests made other calls than ``trace`` has.
    """
    session = runner.session(trace)
    try:
        result = _judge(suite, code, session)
    finally:
        runner.end(session)
    result.retry = session.conversation.accident
    return if_answered_once(result, session)


def if_answered_once(result: ProgramResult, session: JudgeSession) -> ProgramResult:
    """Return ``result``, or a refusal if the program answered a request twice; for a session that has ended."""
    if session.conversation.answered_too_much and result.passed:
        message = "the program wrote to the judge's channel: a reply that was not requested"
        return ProgramResult("refused", 0, result.total, message)
    return result


def _judge(suite: Suite, code: str, session: JudgeSession) -> ProgramResult:
    tally = TestTally(suite.total)
    try:
        found = session.load(code, suite.names)
        missing = [name for name in suite.names if name not in found]
        if suite.must_define and suite.entry not in found:
            raise LoadError("load", f"the program does not define {suite.entry}")
        for test in suite.tests(found):
            if not tally.test(session, test):
                break
        result = tally.result()
        if result.state == "passed":
            session.expect_no_more()
        if session.calls == 0 and result.state in ("passed", "partial", "runtime_error"):
            if suite.must_define:
                result.state, result.passed = "partial", 0
                result.message = result.message or "the check made no call"
                return result
            text = f"the program does not define {', '.join(missing)}" if missing else ""
            return ProgramResult("runtime_error", 0, suite.total, text or "the tests called nothing of the program")
        return result
    except (LoadError, Fault) as error:
        if session.conversation.diverged:
            raise Diverged from None
        return of_failure(error, suite.total)


def judge_program(tests: dict[str, Any], code: str, runner: Runner) -> ProgramResult:
    """Judge a whole program by its output; each case runs in a process of its own, with limits of its own."""
    cases: list[dict[str, str]] = tests["stdio"]
    blanks, tolerance = tests.get("ignore_trailing_blanks", True), tests.get("float_tolerance", 0.0)
    tally, accident = TestTally(len(cases)), False
    for index, case in enumerate(cases):
        expected = case["output"].encode("utf-8", "surrogateescape")
        with _file() as stdin, _file() as stdout:
            stdin.write(case["input"].encode("utf-8", "surrogateescape"))
            stdin.seek(0)
            session = runner.session(no_trace(), (stdin.fileno(), stdout.fileno()))

            def run(session: JudgeSession = session, stdout: IO[bytes] = stdout, expected: bytes = expected) -> None:
                session.run_program(code)
                stdout.seek(0)
                printed = stdout.read(runner.limits.output_bytes + 1)
                if len(printed) > runner.limits.output_bytes:
                    raise AssertionError(f"it printed more than {runner.limits.output_bytes} bytes")
                difference = first_difference(printed, expected, blanks, tolerance)
                if difference:
                    raise AssertionError(difference)

            try:
                can_continue = tally.test(session, Test(f"case {index}", run, index))
            except LoadError as error:  # it does not compile, in this case and in all others
                return of_failure(error, len(cases))
            finally:
                runner.end(session)
            accident |= session.conversation.accident
            # A program that was ended has failed, whatever else it sent.
            if can_continue and session.conversation.answered_too_much:
                return ProgramResult("refused", 0, len(cases), "the program wrote to the judge's channel")
            if not can_continue:
                break
    result = tally.result()
    result.retry = accident
    return result


def judge_weakly(kind: str, tests: dict[str, Any], entry: str | None, code: str, runner: Runner) -> ProgramResult:
    """Have the program's own process run the tests; see :mod:`..guest.weak`."""
    session = runner.session(no_trace())
    request = {"weak": kind, "tests": codec.pack(tests), "entry_point": entry, "code": code}
    try:
        passed, total, message = session.run_weak(request)
        passed, total, message = int(passed), int(total), cut(str(message), 1000)
        result = ProgramResult("passed" if passed == total > 0 else "partial", passed, total, message)
    except (LoadError, Fault) as error:
        result = of_failure(error, 1)
    except (TypeError, ValueError):
        result = ProgramResult("refused", 0, 1, "the program wrote to the judge's channel")
    finally:
        runner.end(session)
    result.retry = session.conversation.accident
    return if_answered_once(result, session)


def _file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("rrtf"), "wb+")
    return tempfile.TemporaryFile()

"""Runs a problem's tests against a program, and says what the results amount to.

This runs in the judge. It executes the tests, which are trusted, and reaches the program through a
:class:`~.session.JudgeSession` only: what comes back is plain data or a proxy, so every ``==`` here is Python's own.

States, by the first rule that fits:

- ``timeout``, ``memory``, ``refused``: the program ran out of time or memory, or wrote to the judge's
  channel, or the tests pass it what cannot cross;
- ``compile_error``: it does not compile;
- ``runtime_error``: its module ended in an exception, or lacks the entry point, or no test passed and at
  least one ended in an exception or with the program's process gone;
- ``passed``: every test passed;
- ``partial``: it ran, and at least one test gave a wrong answer; ``passed`` may be 0.
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
class Verdict:
    """What became of a program; see :class:`..job.Outcome` for the fields.

    Args:
        state: As above; ``infrastructure`` where we failed ourselves.
        passed: Tests passed.
        total: Tests in all.
        message: The first failure, for people.
        test: The test that failed first.
        test_index: Which one it is.
        expected: What it wanted.
        got: What it got.
        exception: The exception that ended it, or the program.
        again: Whether it may have been an accident of the machine: see :attr:`.conversation.Conversation.accident`.
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
    again: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return dict(vars(self))


class Bench:
    """What a program is run with.

    Args:
        server: The fork server.
        alarm: The clock.
        limits: What it may use.
        on_start: Called whenever a program starts.
    """

    def __init__(self, server: ForkServerClient, alarm: Alarm, limits: Limits, on_start: Callable[[], None]) -> None:
        self.server = server
        self.alarm = alarm
        self.limits = limits
        self._on_start = on_start

    def session(self, trace: Trace, files: tuple[int, ...] = ()) -> JudgeSession:
        """Start a program's process, and the clock."""
        self._on_start()
        session = JudgeSession(self.server, self.limits, trace, files)
        self.alarm.set(self.limits.wall, session.conversation.remember)
        return session

    def end(self, session: JudgeSession) -> None:
        """Stop the clock, and end the process."""
        self.alarm.clear()
        session.conversation.end()


class Tally:
    """Counts tests and keeps the first failure."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.passed = 0
        self._first: Verdict | None = None
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
        fault = session.conversation.fault  # also where the test swallowed it and went on
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
            self._first = Verdict("", 0, 0, message, test.label, test.index, expected, got, exception)

    def verdict(self) -> Verdict:
        """What the tests so far amount to; those that were never run have failed."""
        if self._stop is not None:
            state: str = self._stop.kind
        elif self.passed == self.total:
            state = "passed"
        else:
            state = "runtime_error" if self._raised and self.passed == 0 else "partial"
        found = self._first or Verdict("", 0, 0)
        found.state, found.passed, found.total = state, self.passed, self.total
        return found


def of_failure(error: LoadError | Fault, total: int, again: bool = False) -> Verdict:
    """The verdict on a program that failed as a whole, before or between its tests."""
    if isinstance(error, LoadError):
        state = "compile_error" if error.stage == "compile" else "runtime_error"
    else:
        others = {"ended": "runtime_error", "raised": "runtime_error", "unsupported": "refused"}
        state = others.get(error.kind, error.kind)
    return Verdict(state, 0, total, str(error), exception=error.exception, again=again)


def judge(suite: Suite, code: str, bench: Bench, trace: Trace) -> Verdict:
    """Judge a program that defines functions.

    Raises:
        Broken: If our own machinery failed.
        BadTests: If the tests are at fault.
        Diverged: If the tests did not ask what ``trace`` foresaw.
    """
    session = bench.session(trace)
    try:
        verdict = _judge(suite, code, session)
    finally:
        bench.end(session)
    verdict.again = session.conversation.accident
    return if_answered_once(verdict, session)


def if_answered_once(verdict: Verdict, session: JudgeSession) -> Verdict:
    """The verdict, if the program gave no second answer to anything; for a session that has ended."""
    if session.conversation.answered_too_much and verdict.passed:
        return Verdict("refused", 0, verdict.total, "the program wrote to the judge's channel: a reply to no call")
    return verdict


def _judge(suite: Suite, code: str, session: JudgeSession) -> Verdict:
    tally = Tally(suite.total)
    try:
        found = session.load(code, suite.names)
        missing = [name for name in suite.names if name not in found]
        if suite.must_define and suite.entry not in found:
            raise LoadError("load", f"the program does not define {suite.entry}")
        for test in suite.tests(found):
            if not tally.test(session, test):
                break
        verdict = tally.verdict()
        if verdict.state == "passed":
            session.expect_no_more()
        if session.calls == 0 and verdict.state in ("passed", "partial", "runtime_error"):
            if suite.must_define:
                verdict.state, verdict.passed = "partial", 0
                verdict.message = verdict.message or "the check made no call"
                return verdict
            text = f"the program does not define {', '.join(missing)}" if missing else ""
            return Verdict("runtime_error", 0, suite.total, text or "the tests called nothing of the program")
        return verdict
    except (LoadError, Fault) as error:
        if session.conversation.diverged:
            raise Diverged from None
        return of_failure(error, suite.total)


def judge_program(tests: dict[str, Any], code: str, bench: Bench) -> Verdict:
    """Judge a whole program by what it prints; every case is a process of its own, with limits of its own."""
    cases: list[dict[str, str]] = tests["stdio"]
    blanks, tolerance = tests.get("ignore_trailing_blanks", True), tests.get("float_tolerance", 0.0)
    tally, accident = Tally(len(cases)), False
    for index, case in enumerate(cases):
        wanted = case["output"].encode("utf-8", "surrogateescape")
        with _file() as stdin, _file() as stdout:
            stdin.write(case["input"].encode("utf-8", "surrogateescape"))
            stdin.seek(0)
            session = bench.session(no_trace(), (stdin.fileno(), stdout.fileno()))

            def run(session: JudgeSession = session, stdout: IO[bytes] = stdout, wanted: bytes = wanted) -> None:
                session.run_program(code)
                stdout.seek(0)
                printed = stdout.read(bench.limits.output_bytes + 1)
                if len(printed) > bench.limits.output_bytes:
                    raise AssertionError(f"it printed more than {bench.limits.output_bytes} bytes")
                difference = first_difference(printed, wanted, blanks, tolerance)
                if difference:
                    raise AssertionError(difference)

            try:
                goes_on = tally.test(session, Test(f"case {index}", run, index))
            except LoadError as error:  # it does not compile, in this case and in all others
                return of_failure(error, len(cases))
            finally:
                bench.end(session)
            accident |= session.conversation.accident
            # Where it does not go on, what it sent in its last moment changes nothing.
            if goes_on and session.conversation.answered_too_much:
                return Verdict("refused", 0, len(cases), "the program wrote to the judge's channel")
            if not goes_on:
                break
    verdict = tally.verdict()
    verdict.again = accident
    return verdict


def judge_weakly(kind: str, tests: dict[str, Any], entry: str | None, code: str, bench: Bench) -> Verdict:
    """Have the program's own process run the tests; see :mod:`..guest.weak`."""
    session = bench.session(no_trace())
    request = {"weak": kind, "tests": codec.pack(tests), "entry_point": entry, "code": code}
    try:
        passed, total, message = session.run_weak(request)
        passed, total, message = int(passed), int(total), cut(str(message), 1000)
        verdict = Verdict("passed" if passed == total > 0 else "partial", passed, total, message)
    except (LoadError, Fault) as error:
        verdict = of_failure(error, 1)
    except (TypeError, ValueError):
        verdict = Verdict("refused", 0, 1, "the program wrote to the judge's channel")
    finally:
        bench.end(session)
    verdict.again = session.conversation.accident
    return if_answered_once(verdict, session)


def _file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("rrtf"), "wb+")
    return tempfile.TemporaryFile()

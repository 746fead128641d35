"""A worker of the sandbox: receives jobs from the caller, judges them, and sends exactly one row for each.

It runs programs through one fork server, and the tests in its own process. Tests that leave something behind which
could change the next outcome (a thread, a patched module), and pytest files, are run in a process of their own,
forked for each job. When the caller ends, the worker ends with all that it started.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import math
import os
import resource
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from json import dumps, loads  # by name: tests may patch the module
from keyword import iskeyword
from typing import Any

from .common import codec, protocol
from .common.faults import BadTests, Broken, Limits
from .isolation import linux
from .isolation.tiers import Tier
from .judge import file_tests, own_process
from .judge.alarm import Alarm
from .judge.compiled_tests import CompiledTests, seed_random
from .judge.fork_client import ForkServerClient, Unavailable
from .judge.function_tests import judge_functions
from .judge.housekeeping import Housekeeping
from .judge.results import ProgramResult
from .judge.runner import Runner
from .judge.weak_tests import judge_weakly
from .judge.whole_programs import judge_program

_WARM = ("collections", "copy", "functools", "hashlib", "heapq", "itertools", "re", "string", "typing", "unicodedata")
_ATTEMPTS = 5
_KILLED_FROM_OUTSIDE = 2
"""How often a program is run again whose process was killed by an unknown sender, which may be the program itself."""
_TEST_MEMORY_MB = 4096
_MAX_RECURSION = 5000
"""The judge copies and compares data as deep as :data:`.common.codec.MAX_DEPTH`, by two or three calls a level."""
_MAX_KEPT_MB = 1024
"""Memory that tests may leave allocated before the worker is replaced, MiB."""
_GRACE = 3.0
"""Seconds after the deadline within which the tests' own process should have reported it."""
_STAGING = 10.0
"""Seconds that the judge's part of the tests may take at least, which is run once: it may import large modules."""
_HAVE_CODE = ("check", "asserts", "pytest")
"""Kinds of tests that are code, which may never end whatever the program does."""


def main(caller_fd: int) -> int:
    """Serve jobs from the socket ``caller_fd`` until it closes; return the exit status."""
    stream = socket.socket(fileno=caller_fd)
    stream.set_inheritable(False)
    caller = protocol.Channel(stream)
    settings = loads(caller.receive())
    if sys.platform == "linux":
        linux.hide_memory()
        linux.die_with_parent(signal.SIGKILL)  # also while it runs code that never returns to the interpreter
        if os.getppid() != settings["caller"]:
            return 1
    for name in _WARM:
        importlib.import_module(name)
    sys.setrecursionlimit(_MAX_RECURSION)
    warnings.simplefilter("ignore")  # they are of the tests' code, and for its author only
    memory = _TEST_MEMORY_MB * 2**20
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
    try:
        worker = _Worker(caller, settings)
    except Unavailable as error:
        caller.send(dumps({"unavailable": str(error)}).encode())
        return 1
    except Broken as error:  # the caller starts another worker
        print(f"rrtf sandbox: {error}", file=sys.stderr)
        return 1
    caller.send(dumps(worker.isolation).encode())
    gc.collect()
    gc.freeze()
    try:
        worker.serve()
    except (protocol.Closed, _CallerEnded):
        return 0
    finally:
        worker.stop()
    return 0


class _CallerEnded(Exception):
    """The caller has ended."""


class _Failed(Exception):
    """The sandbox failed at a program, in each attempt."""


def canary_of(tests: CompiledTests) -> str:
    """Return a harmless program for these tests: the reference, and else one whose functions do nothing.

    Where it cannot be judged, or its tests do not end, that is not because of a program.
    """
    names = [name for name in tests.names if name.isidentifier() and not iskeyword(name)]
    missing = [f"if {name!r} not in globals():\n    def {name}(*args, **kwargs): pass\n" for name in names]
    return "\n".join([tests.context_source, *missing])


class _Worker:
    def __init__(self, caller: protocol.Channel, settings: dict[str, Any]) -> None:
        self._caller = caller
        self._settings = settings
        self._known_tests: dict[int, CompiledTests | str] = {}
        """By number; a text where tests are broken."""
        self._known_to_end: set[int] = set()
        self._not_ended: dict[int, int] = {}
        """By number, how often tests did not end with the canary."""
        timeout: float = settings["timeout"]
        self._limits = Limits(
            cpu=timeout,
            wall=3 * timeout + 1,
            memory_mb=settings["memory_mb"],
            output_bytes=settings["output_kb"] * 1024,
        )
        self._pid = os.getpid()
        self._last_beat = time.monotonic()
        self._server: ForkServerClient | None = None
        self._runner = self._start()
        self._housekeeping = Housekeeping()
        self._retire = False
        self._is_staging = False

    def serve(self) -> None:
        while not self._retire:
            self._caller.wait(self._check_caller)
            frame = codec.parse(self._caller.receive(protocol.MAX_JOB_FRAME))
            for number in frame["forget"]:
                self._known_tests.pop(number, None)
                self._known_to_end.discard(number)
                self._not_ended.pop(number, None)
            number = frame["suite"]
            if "body" in frame:
                self._known_tests[number] = self._compile(frame["body"])
            if frame["broken"] is not None:
                self._known_tests[number] = frame["broken"]
            start = self._last_beat = time.monotonic()
            result, notes = self._result(number, frame["code"])
            row = {**result.to_json(), **self.isolation, "seq": frame["seq"], "seconds": time.monotonic() - start}
            for name in ("retry", "used_up", "idle"):  # used here only
                del row[name]
            self._caller.send(dumps({**row, "notes": notes}).encode())

    def _compile(self, packed: Any) -> CompiledTests | str:
        try:
            return CompiledTests(codec.unpack(packed), hashlib.sha256(codec.dump(packed)).digest())
        except BadTests as error:
            return f"the tests are broken: {error}"

    def _result(self, number: int, code: str | None) -> tuple[ProgramResult, dict[str, Any]]:
        """Judge a program, or for None the canary of these tests; return the result, and notes for the caller.

        The notes are ``failure``, what went wrong where the sandbox failed; ``broken_tests``, whether the tests fail
        whatever the program; and ``second_try``, whether the program should be run again when less else runs.
        """
        tests = self._known_tests[number]
        notes: dict[str, Any] = {"failure": "", "broken_tests": False, "second_try": False}
        if not isinstance(tests, str):
            try:
                result = self._judge(tests, canary_of(tests) if code is None else code)
                notes["second_try"] = result.state == "timeout" and not result.used_up
                if result.state == "timeout" and code is not None and self._may_never_end(number, tests):
                    return self._without_end(number, tests, result, notes)
                if result.state == "passed":
                    self._known_to_end.add(number)
                return result, notes
            except BadTests as error:
                tests = self._known_tests[number] = f"the tests are broken: {error}"
            except _Failed as error:
                return ProgramResult("infrastructure", 0, 0, str(error)), {**notes, "failure": str(error)}
        return ProgramResult("infrastructure", 0, 0, tests), {**notes, "broken_tests": True}

    def _may_never_end(self, number: int, tests: CompiledTests) -> bool:
        return tests.kind in _HAVE_CODE and number not in self._known_to_end

    def _without_end(
        self, number: int, tests: CompiledTests, result: ProgramResult, notes: dict[str, Any]
    ) -> tuple[ProgramResult, dict[str, Any]]:
        """Return what becomes of a program at which tests did not end: it depends on whether they do with the canary.

        Raises:
            BadTests: If they do not, and not for want of a processor, or again.
        """
        canary = self._judge(tests, canary_of(tests))
        if canary.state != "timeout":
            self._known_to_end.add(number)
            return result, notes
        what = "the reference" if tests.context_source else "a program that does nothing"
        units = tests.script()[0].units[1:] if tests.is_suite else []
        named = canary.test or (units[0].label if len(units) == 1 else "they")
        text = f"{named} did not end in time with {what} either"
        self._not_ended[number] = self._not_ended.get(number, 0) + 1
        if canary.used_up or canary.idle or self._not_ended[number] > 1:
            raise BadTests(text)
        return ProgramResult("infrastructure", 0, 0, f"the tests: {text}"), {**notes, "second_try": True}

    def _judge(self, tests: CompiledTests, code: str) -> ProgramResult:
        """Judge a program; where our own side fails, again on a new fork server. Raises :class:`_Failed`."""
        failure, killed = "", 0
        for _ in range(_ATTEMPTS):
            try:
                self._runner = self._start()
                result = self._attempt(tests, code)
            except (BadTests, protocol.Closed, _CallerEnded):
                raise
            except (Broken, Unavailable) as error:
                failure = str(error)
                self.stop()
                continue
            except BaseException as error:  # a bug here, or damage to this process, which is replaced
                self.stop()
                self._retire = True
                raise _Failed("".join(traceback.format_exception_only(error))[-1000:].strip()) from None
            if self._runner.alarm.interrupted_import:
                self._retire = True
            killed += 1
            if not result.retry or killed > _KILLED_FROM_OUTSIDE:
                return result
        raise _Failed(failure or "the program was killed again and again")

    def _attempt(self, tests: CompiledTests, code: str) -> ProgramResult:
        tests.runs += 1
        if tests.weak:
            return self._with_time(lambda: judge_weakly(tests.kind, tests.data, tests.entry, code, self._runner))
        if tests.kind == "stdio":
            return self._with_time(lambda: judge_program(tests.data, code, self._runner))
        if tests.kind == "pytest" and tests.count < 0:
            tests.count_is(self._count_of_reference(tests))
        if tests.own_process:
            return self._in_own_process(lambda folder: self._run(tests, code, folder))
        first = tests.runs == 1
        if first:
            self._housekeeping.remember_modules()
        try:
            return self._run(tests, code, "")
        finally:
            self._tidy(tests, first)

    def _run(self, tests: CompiledTests, code: str, folder: str) -> ProgramResult:
        return self._with_time(lambda: self._run_tests(tests, code, folder))

    def _with_time(self, run: Callable[[], ProgramResult]) -> ProgramResult:
        """Note in a result whether its program, or the tests here, used up processor time, or hardly any."""
        start = time.process_time()
        result, here = run(), time.process_time() - start
        last = self._runner.last
        if last is not None:
            result.used_up = last.used_up or here > self._limits.wall / 2
            result.idle = last.idle and here < self._limits.wall / 20
        return result

    def _run_tests(self, tests: CompiledTests, code: str, folder: str) -> ProgramResult:
        seed_random(tests.seed)
        if not tests.is_suite:
            facts = file_tests.facts_of(tests.context_source)
            return file_tests.judge_files(tests.data["files"], code, self._runner, facts, folder, tests.count)
        self._stage(tests)
        return judge_functions(tests, code, self._runner)

    def _stage(self, tests: CompiledTests) -> None:
        """Run the judge's part of the tests, once."""
        seconds = max(_STAGING, self._limits.wall)
        self._runner.alarm.set(seconds, lambda fault: BadTests("the tests themselves do not end in time"))
        self._is_staging = True
        try:
            tests.script()
        finally:
            self._runner.alarm.clear()
            self._is_staging = False

    def _tidy(self, tests: CompiledTests, first: bool) -> None:
        """Undo what the tests changed in this process, which is replaced where something cannot be undone."""
        left_behind = self._housekeeping.tidy(compare_modules=first)
        if left_behind:
            tests.own_process = True
            self._retire = True
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 > self._housekeeping.peak_mb + _MAX_KEPT_MB:
            self._retire = True

    # -- Tests in a process of their own ---------------------------------------------------------------

    def _count_of_reference(self, tests: CompiledTests) -> int:
        reference = tests.reference()
        if reference is None:
            return 0
        files = tests.data["files"]
        result = self._in_own_process(
            lambda folder: ProgramResult("passed", file_tests.count_of_reference(files, reference, folder), 0)
        )
        if result.state != "passed":
            raise BadTests(f"the reference: {result.message}")
        return result.passed

    def _in_own_process(self, run: Callable[[str], ProgramResult]) -> ProgramResult:
        result = own_process.judge_apart(run, 2 * self._limits.wall + _GRACE, self._while_waiting)
        if result is None:
            self.stop()  # which may be in the middle of an order
            return ProgramResult("timeout", 0, 1, "the tests did not end in time", idle=True)
        return result

    def _while_waiting(self) -> None:
        self._check_caller()
        self._beat()

    # -- Start and end --------------------------------------------------------------------------------------------

    def _check_caller(self) -> None:
        # A process that the caller forked may hold the socket open after the caller's death.
        if os.getppid() != self._settings["caller"]:
            raise _CallerEnded

    def _tick(self) -> None:
        if self._is_staging and os.getpid() == self._pid:
            self._beat()
        if os.getppid() not in (self._settings["caller"], self._pid):
            os._exit(0)  # the fork server then cleans up and ends

    def _beat(self) -> None:
        """Send the caller a sign, every few seconds, that a long job is being judged."""
        now = time.monotonic()
        if now - self._last_beat > protocol.HEARTBEAT:
            self._last_beat = now
            self._caller.send(b"{}")

    def _start(self) -> Runner:
        if self._server is None:
            cpu_seconds = max(1, math.ceil(self._limits.cpu))
            tiers: list[Tier] = self._settings["tiers"]
            self._server = ForkServerClient(tiers, cpu_seconds, self._limits.memory_mb, self._settings["empty"])
            self.isolation: dict[str, str] = {"tier": self._server.tier, "isolation": self._server.isolation}
            tiers[:] = [self._server.tier]  # type: ignore[list-item]  # the others failed once and would again
            alarm = Alarm(self._server.pid, self._limits, self._beat, self._tick)
            self._runner = Runner(self._server, alarm, self._limits)
        return self._runner

    def stop(self) -> None:
        """End the fork server and all its descendants."""
        if self._server is not None:
            server, self._server = self._server, None
            server.stop()

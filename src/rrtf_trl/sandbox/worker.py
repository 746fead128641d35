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
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from json import dumps, loads  # by name: tests may patch the module
from typing import Any

from .common import codec, protocol
from .common.faults import BadTests, Broken, Diverged, Fault, Limits
from .isolation import linux
from .isolation.tiers import Tier
from .judge import file_tests, outcomes, own_process, rehearsal
from .judge.alarm import Alarm
from .judge.compiled_tests import CompiledTests, seed_random
from .judge.fork_client import ForkServerClient, Unavailable
from .judge.housekeeping import Housekeeping
from .judge.outcomes import ProgramResult, Runner

_WARM = ("collections", "copy", "functools", "hashlib", "heapq", "itertools", "re", "string", "typing", "unicodedata")
_ATTEMPTS = 5
_KILLED_FROM_OUTSIDE = 2
"""How often a program is run again whose process was killed by an unknown sender, which may be the program itself."""
_TEST_MEMORY_MB = 4096
_MAX_KEPT_MB = 1024
"""Memory that tests may leave allocated before the worker is replaced, MiB."""
_GRACE = 3.0
"""Seconds after the deadline within which the tests' own process should have reported it."""


def main(caller_fd: int) -> int:
    """Serve jobs from the socket ``caller_fd`` until it closes; return the exit status."""
    stream = socket.socket(fileno=caller_fd)
    stream.set_inheritable(False)
    caller = protocol.Channel(stream)
    if sys.platform == "linux":
        linux.hide_memory()
    settings = loads(caller.receive())
    for name in _WARM:
        importlib.import_module(name)
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


class _Worker:
    def __init__(self, caller: protocol.Channel, settings: dict[str, Any]) -> None:
        self._caller = caller
        self._settings = settings
        self._known_tests: dict[int, CompiledTests | str] = {}
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

    def serve(self) -> None:
        while not self._retire:
            self._caller.wait(self._check_caller)
            frame = codec.parse(self._caller.receive(protocol.MAX_JOB_FRAME))
            for number in frame["forget"]:
                self._known_tests.pop(number, None)
            number = frame["suite"]
            if "body" in frame:
                self._known_tests[number] = self._compile(frame["body"])
            start = self._last_beat = time.monotonic()
            result = self._judge(self._known_tests[number], frame["code"])
            row = {**result.to_json(), **self.isolation, "seq": frame["seq"], "seconds": time.monotonic() - start}
            del row["retry"]  # used here only
            self._caller.send(dumps(row).encode())

    def _compile(self, packed: Any) -> CompiledTests | str:
        try:
            return CompiledTests(codec.unpack(packed), hashlib.sha256(codec.dump(packed)).digest())
        except BadTests as error:
            return f"the tests are broken: {error}"

    def _judge(self, tests: CompiledTests | str, code: str) -> ProgramResult:
        """Judge a program; where our own side fails, again on a new fork server."""
        if isinstance(tests, str):
            return ProgramResult("infrastructure", 0, 0, tests)
        failure, killed = "", 0
        for _ in range(_ATTEMPTS):
            try:
                self._runner = self._start()
                result = self._attempt(tests, code)
            except BadTests as error:
                return ProgramResult("infrastructure", 0, 0, f"the tests are broken: {error}")
            except (Broken, Unavailable) as error:
                failure = str(error)
                self.stop()
                continue
            except Exception:  # a bug here, or damage that the tests did to this process, which is replaced
                failure = traceback.format_exc()[-1000:]
                self.stop()
                self._retire = True
                break
            if self._runner.alarm.interrupted_import:
                self._retire = True
            killed += 1
            if not result.retry or killed > _KILLED_FROM_OUTSIDE:
                return result
        return ProgramResult("infrastructure", 0, 0, failure)

    def _attempt(self, tests: CompiledTests, code: str) -> ProgramResult:
        tests.runs += 1
        if tests.weak:
            return outcomes.judge_weakly(tests.kind, tests.data, tests.entry, code, self._runner)
        if tests.kind == "stdio":
            return outcomes.judge_program(tests.data, code, self._runner)
        if tests.kind == "pytest" and tests.count < 0:
            tests.count = self._count_of_reference(tests)
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
        seed_random(tests.seed)
        if tests.suite is None:
            trace = rehearsal.trace_without_suite(tests.context_source)
            files = tests.data["files"]
            return file_tests.judge_files(files, code, self._runner, trace, folder, tests.count)
        ahead = tests.runs > 1
        if ahead or (tests.suite.keeps_arguments and tests.context_source):
            self._rehearse(tests)
        try:
            trace = rehearsal.trace_of(tests.suite, tests.facts, ahead)
            return outcomes.judge(tests.suite, code, self._runner, trace)
        except Diverged:
            seed_random(tests.seed)
            trace = rehearsal.trace_of(tests.suite, tests.facts, ahead=False)
            return outcomes.judge(tests.suite, code, self._runner, trace)

    def _rehearse(self, tests: CompiledTests) -> None:
        self._runner.alarm.set(self._limits.wall, lambda fault: fault)
        try:
            tests.facts()
        except Fault:
            pass  # it takes too long: programs are then judged call by call
        finally:
            self._runner.alarm.clear()

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
            return ProgramResult("timeout", 0, 1, "the tests did not end in time")
        return result

    def _while_waiting(self) -> None:
        self._check_caller()
        self._beat()

    # -- Start and end --------------------------------------------------------------------------------------------

    def _check_caller(self) -> None:
        # A process that the caller forked may hold the socket open after the caller's death.
        if os.getppid() != self._settings["caller"]:
            raise _CallerEnded

    def _leave_with_caller(self) -> None:
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
            alarm = Alarm(self._server.pid, self._limits.memory_mb, self._leave_with_caller)
            self._runner = Runner(self._server, alarm, self._limits, self._beat)
        return self._runner

    def stop(self) -> None:
        """End the fork server and all its descendants."""
        if self._server is not None:
            server, self._server = self._server, None
            server.stop()

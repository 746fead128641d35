"""A worker process as the caller sees it: starts it, exchanges jobs and rows with it, and ends it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .attempts import Pending
from .common import codec, processes, protocol
from .common.interpreter import ENVIRONMENT, python_command
from .job import Job, suite_body

_KEPT_SUITES = 1024
"""The most problems that a worker remembers."""
_PATIENCE = 10.0
"""Seconds within which a worker ends by itself, with all that it runs."""
_MOST_PROCESSES = 10_000
_CPU_OF_STUCK = 1.0
"""Seconds of processor time that a worker uses after a program's time is up, and more only where it is stuck in code
that never returns to the interpreter: its alarm does not end that."""


class SandboxUnavailable(RuntimeError):
    """This machine does not offer the required isolation; the message states why, and what to do."""


class KnownSuites:
    """Numbers the problems, so that each is sent to a worker once and not with every program."""

    def __init__(self) -> None:
        # By identity of the tests, which callers use for all jobs of a problem; the reference to them keeps it unique.
        self._known: OrderedDict[tuple[Any, ...], tuple[int, bytes, Any]] = OrderedDict()
        self._numbers = itertools.count()

    def number(self, job: Job) -> tuple[int, bytes]:
        """Return the number of a job's problem, and its body; raises :class:`ValueError` as :func:`.job.check_job`."""
        key = (id(job.tests), job.entry_point, job.context, job.helpers, job.trust)
        found = self._known.get(key)
        if found is None:
            found = (next(self._numbers), suite_body(job), job.tests)
            self._known[key] = found
            if len(self._known) > _KEPT_SUITES:
                self._known.popitem(last=False)
        return found[0], found[1]


_starter: tuple[int, ThreadPoolExecutor] | None = None


def _start(command: list[str], descriptor: int) -> subprocess.Popen[bytes]:
    """Start a worker, from a thread that lasts: the kernel ends a worker when the thread that started it ends."""
    global _starter
    if _starter is None or _starter[0] != os.getpid():  # threads do not survive a fork
        _starter = os.getpid(), ThreadPoolExecutor(1, "rrtf-sandbox")
    return (
        _starter[1]
        .submit(
            subprocess.Popen,
            command,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C at the terminal is for the caller to handle
        )
        .result()
    )


class WorkerProcess:
    """One worker process and the jobs that were sent to it, the first of which it judges."""

    def __init__(self, settings: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        self.channel = protocol.Channel(ours)
        self.pending: list[Pending] = []
        self.hello: dict[str, Any] = {}
        self.last_received = time.monotonic()
        self._sequence: list[int] = []
        self._cpu_before: float | None = None
        self._knows: OrderedDict[int, None] = OrderedDict()
        code = f"from rrtf_trl.sandbox.worker import main; sys.exit(main({theirs.fileno()}))"
        with theirs:
            self._process = _start(python_command(code), theirs.fileno())
        with contextlib.suppress(protocol.Closed):
            self.channel.send(json.dumps({**settings, "caller": os.getpid()}).encode())

    def greet(self) -> bool:
        """Wait until it is ready; return False if it died before.

        Raises:
            SandboxUnavailable: If the machine does not offer the required isolation.
        """
        try:
            self.hello = json.loads(self.channel.receive())
        except (protocol.Closed, OSError):
            return False
        if "unavailable" in self.hello:
            raise SandboxUnavailable(_advice(self.hello["unavailable"]))
        return True

    def send(self, pending: Pending, sequence: int, broken: str | None) -> bool:
        """Send a job; return False if the worker is dead.

        Args:
            pending: The job.
            sequence: Its number.
            broken: What is wrong with its tests, whatever the program; None where nothing is known to be.
        """
        forget = []
        known = pending.suite in self._knows
        if not known:
            self._knows[pending.suite] = None
            if len(self._knows) > _KEPT_SUITES:
                forget.append(self._knows.popitem(last=False)[0])
        program = pending.job.code if pending.canary_for is None else None
        frame = codec.dump({"seq": sequence, "suite": pending.suite, "code": program, "forget": forget,
                             "broken": broken})  # fmt: skip
        if not known:
            frame = frame[:-1] + b',"body":' + pending.body + b"}"
        try:
            self.channel.send(frame)
        except (protocol.Closed, OSError):
            return False
        if not self.pending:
            self.last_received = time.monotonic()
        self.pending.append(pending)
        self._sequence.append(sequence)
        return True

    def receive(self) -> dict[str, Any] | None:
        """Receive the row of a job, ``{}`` as a sign that the worker is working, or None if it died."""
        try:
            row: dict[str, Any] = json.loads(self.channel.receive())
        except (protocol.Closed, OSError):
            return None
        self.last_received = time.monotonic()
        if row and row.pop("seq") != self._sequence.pop(0):
            return None
        return row

    def close(self) -> None:
        """Close the channel, after which the worker ends by itself."""
        self.channel.close()

    def is_stuck(self, silence: float) -> bool:
        """Return whether it computes without end; to be asked each second after it was silent for so many seconds."""
        if time.monotonic() - self.last_received <= silence:
            self._cpu_before = None
            return False
        use = processes.use_of(self._process.pid)
        if use is None:
            return False
        if self._cpu_before is None:
            self._cpu_before = use.cpu
        return use.cpu - self._cpu_before > _CPU_OF_STUCK

    def stop(self) -> int:
        """End it and all that it runs, at once where it is judging; return its exit status."""
        self.channel.close()
        if not self.pending:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(_PATIENCE)
        return self._kill()

    def _kill(self) -> int:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGSTOP)  # it then starts nothing more
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and (living := self._living()):
            for pid in reversed(living):  # the fork server last: it adopts what it did not start
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        self._process.kill()
        return self._process.wait()

    def _living(self) -> list[int]:
        found = []
        for pid in processes.descendants(self._process.pid, _MOST_PROCESSES):
            use = processes.use_of(pid)
            if use is not None and not use.ended:
                found.append(pid)
        return found


def _advice(reason: str) -> str:
    return (
        f"the sandbox cannot isolate programs here: {reason}. `rrtf doctor` shows what is missing. Untrusted programs "
        "run only with allow_unsafe=True, and should then run on a machine that holds nothing of value."
    )

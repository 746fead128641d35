"""A worker process as the caller sees it: starts it, exchanges jobs and rows with it, and ends it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from .common import codec, protocol
from .common.interpreter import ENVIRONMENT, python_command
from .job import Job, suite_body

_KEPT_SUITES = 1024
"""The most problems that a worker remembers."""


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
        key = (id(job.tests), job.entry_point, job.context, job.trust)
        found = self._known.get(key)
        if found is None:
            found = (next(self._numbers), suite_body(job), job.tests)
            self._known[key] = found
            if len(self._known) > _KEPT_SUITES:
                self._known.popitem(last=False)
        return found[0], found[1]


@dataclass
class Pending:
    """A job without an outcome yet.

    Args:
        job: The job.
        suite: The number of its problem.
        body: The problem, as it is sent to each worker once.
        attempts: How many workers died while they judged it.
        alone: Whether it ran out of time once, and is run while no other job runs.
    """

    job: Job
    suite: int
    body: bytes
    attempts: int = 0
    alone: bool = False


class WorkerProcess:
    """One worker process and the jobs that were sent to it, the first of which it judges."""

    def __init__(self, settings: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        self.channel = protocol.Channel(ours)
        self.pending: list[Pending] = []
        self.hello: dict[str, Any] = {}
        self.last_received = time.monotonic()
        self._sequence: list[int] = []
        self._knows: OrderedDict[int, None] = OrderedDict()
        code = f"from rrtf_trl.sandbox.worker import main; sys.exit(main({theirs.fileno()}))"
        with theirs:
            self._process = subprocess.Popen(
                python_command(code),
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C at the terminal is for the caller to handle
            )
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

    def send(self, pending: Pending, sequence: int) -> bool:
        """Send a job; return False if the worker is dead."""
        forget = []
        known = pending.suite in self._knows
        if not known:
            self._knows[pending.suite] = None
            if len(self._knows) > _KEPT_SUITES:
                forget.append(self._knows.popitem(last=False)[0])
        frame = codec.dump({"seq": sequence, "suite": pending.suite, "code": pending.job.code, "forget": forget})
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

    def stop(self) -> None:
        """End it and all that it runs."""
        self.channel.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _advice(reason: str) -> str:
    return (
        f"the sandbox cannot isolate programs here: {reason}. `rrtf doctor` shows what is missing. Untrusted programs "
        "run only with allow_unsafe=True, and should then run on a machine that holds nothing of value."
    )

"""A worker process, as the caller sees it: started, given jobs, heard, and ended."""

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
"""Problems that a worker remembers, at most."""


class SandboxUnavailable(RuntimeError):
    """This machine does not offer the isolation that was asked for; the message says why and what to do."""


class KnownSuites:
    """Numbers the problems, so that each goes to a worker once and not with every program."""

    def __init__(self) -> None:
        # By identity of the tests, which the callers share between the jobs of a problem; kept alive here for that.
        self._known: OrderedDict[tuple[Any, ...], tuple[int, bytes, Any]] = OrderedDict()
        self._numbers = itertools.count()

    def of(self, job: Job) -> tuple[int, bytes]:
        """The number of a job's problem, and what to send of it; refuses a job that cannot be judged."""
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
    """A job on its way.

    Args:
        job: What was asked.
        suite: The number of its problem.
        body: What a worker has to know of the problem, once.
        attempts: Workers that died of it, or with it.
        alone: Whether it has run out of time, and has nothing beside it now.
    """

    job: Job
    suite: int
    body: bytes
    attempts: int = 0
    alone: bool = False


class WorkerProcess:
    """One worker process and the jobs that it holds, the first of which it judges."""

    def __init__(self, settings: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        self.channel = protocol.Channel(ours)
        self.pending: list[Pending] = []
        self.hello: dict[str, Any] = {}
        self.heard = time.monotonic()
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
                start_new_session=True,  # Ctrl-C at the terminal is the caller's affair
            )
        with contextlib.suppress(protocol.Closed):
            self.channel.send(json.dumps({**settings, "caller": os.getpid()}).encode())

    def greet(self) -> bool:
        """Wait until it is ready; False where it died before.

        Raises:
            SandboxUnavailable: If the machine does not offer the isolation that was asked for.
        """
        try:
            self.hello = json.loads(self.channel.receive())
        except (protocol.Closed, OSError):
            return False
        if "unavailable" in self.hello:
            raise SandboxUnavailable(_advice(self.hello["unavailable"]))
        return True

    def give(self, pending: Pending, sequence: int) -> bool:
        """Send a job; False where the worker is dead."""
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
            self.heard = time.monotonic()
        self.pending.append(pending)
        self._sequence.append(sequence)
        return True

    def take(self) -> dict[str, Any] | None:
        """Receive a row; nothing but ``{}`` where it only lives, None where it died."""
        try:
            row: dict[str, Any] = json.loads(self.channel.receive())
        except (protocol.Closed, OSError):
            return None
        self.heard = time.monotonic()
        if row and row.pop("seq") != self._sequence.pop(0):
            return None
        return row

    def hang_up(self) -> None:
        """Let it end."""
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
        f"the sandbox cannot isolate programs here: {reason}. `rrtf doctor` says more. Untrusted programs run only "
        "where you say allow_unsafe=True, and should then run on a machine that holds nothing of value."
    )

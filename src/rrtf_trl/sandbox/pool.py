"""The caller's side: jobs in, outcomes out, over a few worker processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import socket
import subprocess
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, get_args

from . import codec, isolation, protocol
from .job import Job, Outcome, suite_body
from .server import ENVIRONMENT

_ATTEMPTS = 5
_STARTS, _PATIENCE = 10, 20.0
"""How often, and for how many seconds, a worker is started anew that does not come to life, before this is taken for
more than bad luck: whoever kills workers may kill many before one has started."""
_KEPT_SUITES = 1024
"""Problems that a worker remembers, at most."""
_SILENCE = 10.0
"""Seconds beyond the wall time of a program in which a worker should have been heard of."""


class SandboxUnavailable(RuntimeError):
    """This machine does not offer the walls that were asked for; the message says why and what to do."""


class Sandbox:
    """Judges untrusted programs in worker processes; use it in a ``with`` statement.

    Args:
        workers: Worker processes; ``None`` for one a processor.
        timeout: Processor time that a program may use, seconds. Wall time is limited to three times this plus
            one second for a whole job, or a case of a ``stdio`` job. A program that runs out of time is tried
            once more, when nothing else runs here.
        memory_mb: Memory that a program may hold, all its processes together, and address space of each, MiB.
        output_kb: What a whole program (``stdio``) may print in a case, KiB, at most 16 MiB. What functions
            print is thrown away.
        tier: ``auto`` takes the best that the machine offers; another name wants this tier and no other.
        allow_unsafe: Whether to go on where the machine offers neither namespaces nor Landlock, or is no Linux:
            there a program can do whatever its user can.
    """

    def __init__(
        self,
        workers: int | None = None,
        timeout: float = 5.0,
        memory_mb: int = 1024,
        output_kb: int = 1024,
        tier: isolation.Tier | Literal["auto"] = "auto",
        allow_unsafe: bool = False,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers: expected at least 1, got {workers}")
        if not 0 < timeout < 1e6:
            raise ValueError(f"timeout: expected a positive number of seconds, got {timeout}")
        if memory_mb < 64:
            raise ValueError(f"memory_mb: expected at least 64 (Python alone takes about 40), got {memory_mb}")
        if not 0 < output_kb * 1024 <= isolation.FILE_BYTES:
            raise ValueError(f"output_kb: expected 1 to {isolation.FILE_BYTES // 1024}, got {output_kb}")
        if tier not in ("auto", *get_args(isolation.Tier)):
            raise ValueError(f"tier: expected auto, {', '.join(get_args(isolation.Tier))}, got {tier!r}")
        if tier == "unsafe" and not allow_unsafe:
            raise ValueError("tier: unsafe needs allow_unsafe=True")
        self.workers = workers or _processors()
        self._silence = 3 * timeout + 1 + _SILENCE
        self._settings = {
            "timeout": float(timeout),
            "memory_mb": memory_mb,
            "output_kb": output_kb,
            "tiers": isolation.tiers_to_try(allow_unsafe) if tier == "auto" else [tier],
        }
        self._pool: list[_Worker] = []
        self._empty: tempfile.TemporaryDirectory[str] | None = None
        self._suites = _Suites()
        self._running = False
        self._numbers = itertools.count(1)

    def identity(self) -> dict[str, Any]:
        """Return its limits, which decide a verdict."""
        return {name: self._settings[name] for name in ("timeout", "memory_mb", "output_kb")}

    def __enter__(self) -> Sandbox:
        if self._empty is None:
            self._empty = tempfile.TemporaryDirectory(prefix="rrtf-sandbox-")
            os.chmod(self._empty.name, 0o755)
            self._settings["empty"] = self._empty.name
        try:
            while len(self._pool) < self.workers:
                self._pool.append(_Worker(self._settings))
            for index, worker in enumerate(self._pool):
                if not worker.greet():
                    self._replace(index)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all workers and whatever they run."""
        for worker in self._pool:
            worker.hang_up()
        while self._pool:
            self._pool.pop().stop()
        if self._empty is not None:
            self._empty.cleanup()
            self._empty = None

    @property
    def tier(self) -> str:
        """The tier that holds."""
        if not self._pool:
            raise RuntimeError("use the sandbox in a with statement: with Sandbox() as sandbox")
        return str(self._pool[0].hello["tier"])

    def run_many(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Judge jobs as they come; yield exactly one outcome for each, in the order in which they finish.

        ``jobs`` is read as workers become free, so it may be endless; two jobs a worker are in flight at most,
        and a few that wait for their second try.

        Raises:
            ValueError: For a job that cannot be judged at all: no tests, no entry point where the tests need
                one, test data that is not plain.
            RuntimeError: If an earlier iteration of this sandbox is not finished, or outside of ``with``.
        """
        if not self._pool:
            raise RuntimeError("use the sandbox in a with statement: with Sandbox() as sandbox")
        if self._running:
            raise RuntimeError("this sandbox is already judging; finish or close that iteration, or use another one")
        self._running = True
        try:
            yield from self._run(iter(jobs))
        finally:
            self._running = False
            for index, worker in enumerate(self._pool):
                if worker.pending:  # the iteration was left early
                    self._replace(index)

    def _run(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        again: list[_Pending] = []
        alone: list[_Pending] = []
        more = True
        with selectors.DefaultSelector() as selector:
            while True:
                crowd = [] if len(alone) >= 4 * self.workers else self._pool  # then the rest waits for them
                for index, worker in enumerate(crowd):
                    while len(worker.pending) < (1 if again else 2):
                        if not again and more:
                            job = next(jobs, None)
                            more = job is not None
                            if job is not None:
                                again.append(_Pending(job, *self._suites.of(job)))
                        if not again:
                            break
                        again += self._give(index, again.pop())
                        worker = self._pool[index]
                busy = [index for index, worker in enumerate(self._pool) if worker.pending]
                if not busy:
                    if not alone:
                        return
                    again += self._give(0, alone.pop(0))
                    busy = [0]
                for index, silent in self._wait(selector, busy):
                    yield from self._take(index, silent, again, alone)

    def _give(self, index: int, pending: _Pending) -> list[_Pending]:
        """Give a job to a worker, or to the one that takes the place of a dead one; return what that had before."""
        lost: list[_Pending] = []
        for _ in _starts():
            if self._pool[index].give(pending, next(self._numbers)):
                return lost
            lost += self._pool[index].pending
            self._replace(index)
        raise SandboxUnavailable("the sandbox cannot start a worker that lives")

    def _wait(self, selector: selectors.BaseSelector, busy: list[int]) -> list[tuple[int, bool]]:
        """Wait until busy workers have something to say, or were silent for too long; return which, and whether."""
        if read := [index for index in busy if self._pool[index].channel.has_frame]:
            return [(index, False) for index in read]
        wanted = {self._pool[index].channel.stream: index for index in busy}
        for key in list(selector.get_map().values()):
            if wanted.get(key.fileobj) != key.data:  # type: ignore[call-overload]
                selector.unregister(key.fileobj)
        for stream, index in wanted.items():
            if stream not in selector.get_map():
                selector.register(stream, selectors.EVENT_READ, index)
        while True:
            if ready := selector.select(1.0):
                return [(key.data, False) for key, _ in ready]
            now = time.monotonic()
            if silent := [index for index in busy if now - self._pool[index].heard > self._silence]:
                return [(index, True) for index in silent]

    def _take(self, index: int, silent: bool, again: list[_Pending], alone: list[_Pending]) -> Iterator[Outcome]:
        """Receive what a worker says of its job; where it died, its jobs go to other ones, a few times."""
        worker = self._pool[index]
        row = None if silent else worker.take()
        if row == {}:
            return
        if row is None:
            lost, *rest = worker.pending
            self._replace(index)
            again += rest
            lost.attempts += 1
            state, message = "infrastructure", f"the worker died {_ATTEMPTS} times while it judged this job"
            if silent:
                state, message = "timeout", "the tests did not end in time"
            row = {"state": state, "passed": 0, "total": 1 if silent else 0, "message": message,
                   "seconds": self._silence if silent else 0.0, **worker.hello}  # fmt: skip
            if not silent and lost.attempts < _ATTEMPTS:
                again.append(lost)
                return
        else:
            lost = worker.pending.pop(0)
        if (
            row["state"] == "timeout" and not lost.alone
        ):  # other work slows a processor down, which nobody can tell here
            lost.alone = True
            alone.append(lost)
            return
        yield Outcome(job_id=lost.job.job_id, trust=lost.job.trust, **row)

    def _replace(self, index: int) -> None:
        for _ in _starts():
            self._pool[index].stop()
            self._pool[index] = _Worker(self._settings)
            if self._pool[index].greet():
                return
        raise SandboxUnavailable("the sandbox's worker process does not start; see above for its last words")


class _Suites:
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
class _Pending:
    job: Job
    suite: int
    body: bytes
    attempts: int = 0
    alone: bool = False


class _Worker:
    """One worker process and the jobs that it holds, the first of which it judges."""

    def __init__(self, settings: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        self.channel = protocol.Channel(ours)
        self.pending: list[_Pending] = []
        self.hello: dict[str, Any] = {}
        self.heard = time.monotonic()
        self._sequence: list[int] = []
        self._knows: OrderedDict[int, None] = OrderedDict()
        code = f"from rrtf_trl.sandbox.worker import main; sys.exit(main({theirs.fileno()}))"
        with theirs:
            self._process = subprocess.Popen(
                isolation.python_command(code),
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
            SandboxUnavailable: If the machine does not offer the walls that were asked for.
        """
        try:
            self.hello = json.loads(self.channel.receive())
        except (protocol.Closed, OSError):
            return False
        if "unavailable" in self.hello:
            raise SandboxUnavailable(_advice(self.hello["unavailable"]))
        return True

    def give(self, pending: _Pending, sequence: int) -> bool:
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
        """Receive what it says; nothing but ``{}`` where it only lives, None where it died."""
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


def _starts() -> Iterator[None]:
    """One item a start that is worth trying."""
    begin = time.monotonic()
    for number in itertools.count():
        if number >= _STARTS and time.monotonic() - begin > _PATIENCE:
            return
        yield


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _advice(reason: str) -> str:
    return (
        f"the sandbox has no walls to put up here: {reason}. `rrtf doctor` tells more. Untrusted programs run only "
        "where you say allow_unsafe=True, and should then run on a machine that holds nothing of value."
    )

"""The sandbox as its caller sees it: distributes jobs to worker processes and yields their outcomes."""

from __future__ import annotations

import itertools
import os
import selectors
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, get_args

from .attempts import Attempts, Pending, failure_of
from .isolation import tiers
from .job import Job, Outcome
from .worker_process import KnownSuites, SandboxUnavailable, WorkerProcess

_STARTS, _PATIENCE = 10, 20.0
"""A worker that does not start is tried at least so often, and for so many seconds, before the sandbox gives up: what
kills workers may kill many before one has started."""
UNSAFE = {"tier": "unsafe", "allow_unsafe": True}
"""Part of the identity of judgements of programs that ran without isolation, and of no others."""
_SILENCE = 10.0
"""Seconds beyond a program's wall time after which a worker that sent nothing counts as hanging, whatever it does."""

_State = Literal["sent", "stuck", "silent"]
"""Of a worker: it sent something, or ended; it computes long after a program's time was up; or it only was silent."""


class Sandbox:
    """Judges untrusted programs in worker processes; use it in a ``with`` statement.

    Args:
        workers: Number of worker processes; ``None`` for one per processor.
        timeout: Processor time that a program may use, seconds. Wall time is limited to three times this plus
            one second for a whole job, or a case of a ``stdio`` job. A program that runs out of wall time is run
            once more, while none runs that may use much processor time.
        memory_mb: Memory that a program may hold, all its processes together, and address space of each, MiB.
        output_kb: What a whole program (``stdio``) may print in a case, KiB, at most 16 MiB; what is expected it
            may print in any case. What functions print is thrown away.
        tier: ``auto`` takes the best that the machine offers; another value requires that tier.
        allow_unsafe: Whether to run programs where the machine offers neither namespaces nor Landlock, or is
            not Linux: there a program can do whatever its user can.
    """

    def __init__(
        self,
        workers: int | None = None,
        timeout: float = 5.0,
        memory_mb: int = 1024,
        output_kb: int = 1024,
        tier: tiers.Tier | Literal["auto"] = "auto",
        allow_unsafe: bool = False,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers: expected at least 1, got {workers}")
        if not 0 < timeout < 1e6:
            raise ValueError(f"timeout: expected a positive number of seconds, got {timeout}")
        if memory_mb < 64:
            raise ValueError(f"memory_mb: expected at least 64 (Python alone takes about 40), got {memory_mb}")
        if not 0 < output_kb * 1024 <= tiers.FILE_BYTES:
            raise ValueError(f"output_kb: expected 1 to {tiers.FILE_BYTES // 1024}, got {output_kb}")
        if tier not in ("auto", *get_args(tiers.Tier)):
            raise ValueError(f"tier: expected auto, {', '.join(get_args(tiers.Tier))}, got {tier!r}")
        if tier == "unsafe" and not allow_unsafe:
            raise ValueError("tier: unsafe needs allow_unsafe=True")
        self.workers = workers or _processors()
        self._wall = 3 * timeout + 1
        self._settings = {
            "timeout": float(timeout),
            "memory_mb": memory_mb,
            "output_kb": output_kb,
            "tiers": tiers.tiers_to_try(allow_unsafe) if tier == "auto" else [tier],
        }
        self._pool: list[WorkerProcess] = []
        self._empty: tempfile.TemporaryDirectory[str] | None = None
        self._suites = KnownSuites()
        self._broken: dict[int, str] = {}
        self._running = False
        self._numbers = itertools.count(1)
        self._may_be_unsafe = allow_unsafe and tier in ("auto", "unsafe")

    @cached_property
    def is_unsafe(self) -> bool:
        """Whether programs run without isolation; where only an attempt shows it, a worker is started."""
        if not self._may_be_unsafe or self._settings["tiers"] == ["unsafe"]:
            return self._may_be_unsafe
        if self._pool:
            return self.tier == "unsafe"
        with Sandbox(workers=1, allow_unsafe=True) as trial:
            return trial.tier == "unsafe"

    def identity(self) -> dict[str, Any]:
        """Return all that decides an outcome: the limits, and that programs run without isolation, where they do."""
        limits = {name: self._settings[name] for name in ("timeout", "memory_mb", "output_kb")}
        return {**limits, **UNSAFE} if self.is_unsafe else limits

    def __enter__(self) -> Sandbox:
        if self._empty is None:
            self._empty = tempfile.TemporaryDirectory(prefix="rrtf-sandbox-")
            os.chmod(self._empty.name, 0o755)
            self._settings["empty"] = self._empty.name
        try:
            while len(self._pool) < self.workers:
                self._pool.append(WorkerProcess(self._settings))
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
            worker.close()
        while self._pool:
            self._pool.pop().stop()
        if self._empty is not None:
            self._empty.cleanup()
            self._empty = None

    @property
    def tier(self) -> str:
        """The tier of the running workers."""
        if not self._pool:
            raise RuntimeError("use the sandbox in a with statement: with Sandbox() as sandbox")
        return str(self._pool[0].hello["tier"])

    def run_many(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Judge jobs; yield exactly one outcome for each, in the order in which they finish.

        ``jobs`` is read as workers become free, so it may be endless; at most two jobs per worker are read
        ahead, and a few that wait for their second try.

        The state ``infrastructure`` is for what is not because of the program: the tests are broken, or the sandbox
        failed at it, and at a canary right after.

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
        attempts = Attempts(self._broken)
        more, second_tries = True, False
        with selectors.DefaultSelector() as selector:
            while True:
                reads = more and not second_tries and len(attempts.later) < 4 * self.workers
                for index, worker in enumerate(self._pool[: _processors()] if second_tries else self._pool):
                    while len(worker.pending) < (2 if reads and not attempts.queue else 1):
                        if not attempts.queue and reads:
                            job = next(jobs, None)
                            reads = more = job is not None
                            if job is not None:
                                attempts.queue.append(Pending(job, *self._suites.number(job)))
                        if not attempts.queue:
                            break
                        self._send(index, attempts)
                        worker = self._pool[index]
                busy = [index for index, worker in enumerate(self._pool) if worker.pending]
                if busy:
                    for index, state in self._wait(selector, busy):
                        outcome = self._receive(index, state, attempts)
                        if outcome is not None:
                            yield outcome
                elif attempts.later:  # all together, and nothing beside them
                    attempts.queue, attempts.later, second_tries = attempts.later[::-1], [], True
                elif more:
                    second_tries = False
                else:
                    return

    def _send(self, index: int, attempts: Attempts) -> None:
        """Send a job to a worker, which is replaced where it is dead; the jobs that it had go back into the queue."""
        pending = attempts.queue.pop()
        for _ in _starts():
            if self._pool[index].send(pending, next(self._numbers), attempts.broken.get(pending.suite)):
                return
            attempts.queue += self._pool[index].pending
            self._replace(index)
        raise SandboxUnavailable("the sandbox's worker processes end as soon as they have started")

    def _wait(self, selector: selectors.BaseSelector, busy: list[int]) -> list[tuple[int, _State]]:
        """Wait for workers; return the indices of those that sent something, or that hang, and which of both.

        Args:
            selector: Kept between calls.
            busy: Indices of workers that have jobs.
        """
        if read := [index for index in busy if self._pool[index].channel.has_frame]:
            return [(index, "sent") for index in read]
        wanted = {self._pool[index].channel.stream: index for index in busy}
        for key in list(selector.get_map().values()):
            if wanted.get(key.fileobj) != key.data:  # type: ignore[call-overload]
                selector.unregister(key.fileobj)
        for stream, index in wanted.items():
            if stream not in selector.get_map():
                selector.register(stream, selectors.EVENT_READ, index)
        while True:
            if ready := selector.select(1.0):
                return [(key.data, "sent") for key, _ in ready]
            if stuck := [index for index in busy if self._pool[index].is_stuck(self._wall)]:
                return [(index, "stuck") for index in stuck]
            end = time.monotonic() - self._wall - _SILENCE
            if silent := [index for index in busy if self._pool[index].last_received < end]:
                return [(index, "silent") for index in silent]

    def _receive(self, index: int, state: _State, attempts: Attempts) -> Outcome | None:
        """Receive a worker's row; where it hangs or died, replace it. Return the job's outcome; None without one."""
        worker = self._pool[index]
        row = worker.receive() if state == "sent" else None
        if row == {}:
            return None
        if row is not None:
            return attempts.judged(worker.pending.pop(0), row)
        pending, *rest = worker.pending
        attempts.queue += rest
        failure = failure_of(worker.stop(), hangs=state != "sent")
        self._replace(index)
        if state == "silent" and not pending.second_try and pending.canary_for is None:
            attempts.try_later(pending)  # it may have waited for a processor
            return None
        seconds = time.monotonic() - worker.last_received
        return attempts.failed(pending, failure, {**worker.hello, "seconds": seconds})

    def _replace(self, index: int) -> None:
        for _ in _starts():
            self._pool[index].stop()
            self._pool[index] = WorkerProcess(self._settings)
            if self._pool[index].greet():
                return
        raise SandboxUnavailable("the sandbox's worker process does not start; see its messages above")


def _starts() -> Iterator[None]:
    """Yield once for each start of a worker that is to be tried."""
    begin = time.monotonic()
    for number in itertools.count():
        if number >= _STARTS and time.monotonic() - begin > _PATIENCE:
            return
        yield


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1

"""The caller's side: jobs in, outcomes out, over a few worker processes."""

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

from .isolation import tiers
from .job import Job, Outcome
from .worker_process import KnownSuites, Pending, SandboxUnavailable, WorkerProcess

_ATTEMPTS = 5
_STARTS, _PATIENCE = 10, 20.0
"""How often, and for how many seconds, a worker is started anew that does not come to life, before this is taken for
more than bad luck: whoever kills workers may kill many before one has started."""
UNSAFE = {"tier": "unsafe", "allow_unsafe": True}
"""Marks verdicts of programs that ran without isolation: those of isolated ones never carry it."""
_SILENCE = 10.0
"""Seconds beyond the wall time of a program in which a worker should have been heard of."""


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
        self._silence = 3 * timeout + 1 + _SILENCE
        self._settings = {
            "timeout": float(timeout),
            "memory_mb": memory_mb,
            "output_kb": output_kb,
            "tiers": tiers.tiers_to_try(allow_unsafe) if tier == "auto" else [tier],
        }
        self._pool: list[WorkerProcess] = []
        self._empty: tempfile.TemporaryDirectory[str] | None = None
        self._suites = KnownSuites()
        self._running = False
        self._numbers = itertools.count(1)
        self._may_be_unsafe = allow_unsafe and tier in ("auto", "unsafe")

    @cached_property
    def is_unsafe(self) -> bool:
        """Whether programs run without isolation; where only trying tells, it is tried."""
        if not self._may_be_unsafe or self._settings["tiers"] == ["unsafe"]:
            return self._may_be_unsafe
        if self._pool:
            return self.tier == "unsafe"
        with Sandbox(workers=1, allow_unsafe=True) as trial:
            return trial.tier == "unsafe"

    def identity(self) -> dict[str, Any]:
        """Return what decides a verdict: its limits, and that programs run without isolation, where they do."""
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
        again: list[Pending] = []
        alone: list[Pending] = []
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
                                again.append(Pending(job, *self._suites.of(job)))
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

    def _give(self, index: int, pending: Pending) -> list[Pending]:
        """Give a job to a worker, or to the one that takes the place of a dead one; return what that had before."""
        lost: list[Pending] = []
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

    def _take(self, index: int, silent: bool, again: list[Pending], alone: list[Pending]) -> Iterator[Outcome]:
        """Receive a worker's row about its job; where it died, its jobs go to other ones, a few times."""
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
            self._pool[index] = WorkerProcess(self._settings)
            if self._pool[index].greet():
                return
        raise SandboxUnavailable("the sandbox's worker process does not start; see above for its last words")


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

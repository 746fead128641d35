"""The caller's side: jobs in, outcomes out, over a few worker processes."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

from rrtf_trl import records

from . import codec, isolation, protocol

OutcomeState = records.State | Literal["infrastructure"]
"""A state of the records, or ``infrastructure``: our own failure, to be retried and never scored."""

_ATTEMPTS = 3
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}  # the same program gets the same verdict every time


@dataclass(frozen=True)
class Job:
    """One program and the tests it should pass.

    Args:
        job_id: Comes back with the outcome; the sandbox gives it no meaning.
        code: The untrusted program, complete.
        tests: Any kind of :mod:`rrtf_trl.records` but ``pytest``.
        entry_point: The function that ``check`` and ``cases`` call; optional for ``asserts``, unused for
            ``stdio``.
        context: Trusted code for ``check`` and ``asserts``, executed on the judge's side before the tests;
            for HumanEval the prompt with the reference answer, since a few checks call the prompt's helpers.
            It must never come from the candidate.
    """

    job_id: str
    code: str
    tests: records.Tests
    entry_point: str | None = None
    context: str = ""


@dataclass(frozen=True)
class Outcome:
    """What happened to one job.

    Args:
        job_id: The job.
        state: See :mod:`rrtf_trl.sandbox.verdicts`; ``infrastructure`` says nothing of the program.
        passed: How many tests passed; a ``check`` is one test.
        total: How many there are.
        message: The first failure: which test, the call and its answer, the exception. Empty where all
            passed.
        seconds: Wall time of the judging.
        isolation: The walls that held, for instance ``namespaces+seccomp+nobody+rlimits``.
    """

    job_id: str
    state: OutcomeState
    passed: int
    total: int
    message: str
    seconds: float
    isolation: str


class Sandbox:
    """Judges untrusted programs in worker processes; use it in a ``with`` statement.

    Args:
        workers: Worker processes; ``None`` for one a processor.
        timeout: Processor time that a program may use, seconds. Wall time is limited to three times this plus
            one second for a whole job, so that a loaded machine does not fail right programs.
        memory_mb: Address space of a program's process, MiB.
        output_kb: What a whole program (``stdio``) may print in a case, KiB, at most 16 MiB. What functions
            print is thrown away.
        namespaces: Whether to use namespaces where the kernel offers them; ``False`` is for trying out what
            happens where it does not.
    """

    def __init__(
        self,
        workers: int | None = None,
        timeout: float = 5.0,
        memory_mb: int = 1024,
        output_kb: int = 1024,
        namespaces: bool = True,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers: expected at least 1, got {workers}")
        if not 0 < timeout < 1e6:
            raise ValueError(f"timeout: expected a positive number of seconds, got {timeout}")
        if memory_mb < 64:
            raise ValueError(f"memory_mb: expected at least 64 (Python alone takes about 40), got {memory_mb}")
        if not 0 < output_kb * 1024 <= isolation.FILE_BYTES:
            raise ValueError(f"output_kb: expected 1 to {isolation.FILE_BYTES // 1024}, got {output_kb}")
        self.workers = workers or len(os.sched_getaffinity(0))
        self._settings = {
            "timeout": float(timeout),
            "memory_mb": memory_mb,
            "output_kb": output_kb,
            "namespaces": namespaces,
            "environment": _ENVIRONMENT,
        }
        self._pool: list[_Worker] = []
        self._running = False
        self._sequence = 0

    def __enter__(self) -> Sandbox:
        while len(self._pool) < self.workers:
            self._pool.append(_Worker(self._settings))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all workers and whatever they run."""
        while self._pool:
            self._pool.pop().stop()

    def run_many(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Judge jobs as they come; yield exactly one outcome for each, in the order in which they finish.

        ``jobs`` is read as workers become free, so it may be endless; at most one job a worker is in flight.

        Raises:
            ValueError: For a job that cannot be judged at all: an unsupported kind of tests, no tests, no
                entry point where the tests need one, test data that is not plain.
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
                if worker.pending is not None:  # the iteration was left early
                    self._replace(index)

    def _run(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        again: list[_Pending] = []
        more = True
        while True:
            for index, worker in enumerate(self._pool):
                if worker.pending is not None:
                    continue
                if not again and more:
                    job = next(jobs, None)
                    if job is None:
                        more = False
                    else:
                        self._sequence += 1
                        again.append(_Pending(job, _frame(job, self._sequence), self._sequence))
                if again and not worker.give(again[-1]):
                    self._replace(index)
                    worker = self._pool[index]
                    if not worker.give(again[-1]):
                        raise RuntimeError("the sandbox cannot start a worker that lives")
                if again:
                    again.pop()
            busy = [index for index, worker in enumerate(self._pool) if worker.pending is not None]
            if not busy:
                return
            with selectors.DefaultSelector() as selector:
                for index in busy:
                    selector.register(self._pool[index].channel.stream, selectors.EVENT_READ, index)
                answered = [key.data for key, _ in selector.select()]
            for index in answered:
                outcome = self._pool[index].take()
                if outcome is None:
                    outcome = self._recover(index, again)
                if outcome is not None:
                    yield outcome

    def _recover(self, index: int, again: list[_Pending]) -> Outcome | None:
        """Replace a dead worker; its job goes to another one, but only a few times."""
        lost = self._pool[index].pending
        self._replace(index)
        assert lost is not None
        lost.attempts += 1
        if lost.attempts < _ATTEMPTS:
            again.append(lost)
            return None
        message = f"the worker died {_ATTEMPTS} times while it judged this job"
        return Outcome(lost.job.job_id, "infrastructure", 0, 0, message, 0.0, "none")

    def _replace(self, index: int) -> None:
        self._pool[index].stop()
        self._pool[index] = _Worker(self._settings)


@dataclass
class _Pending:
    job: Job
    frame: bytes
    sequence: int
    attempts: int = field(default=0)


class _Worker:
    """One worker process and the job that it holds."""

    def __init__(self, settings: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        self.channel = protocol.Channel(ours)
        self.pending: _Pending | None = None
        code = f"from rrtf_trl.sandbox.judge import main; sys.exit(main({theirs.fileno()}))"
        with theirs:
            self._process = subprocess.Popen(
                isolation.python_command(code, site=False),
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C at the terminal is the caller's affair
            )
        self.channel.send(json.dumps({**settings, "caller": os.getpid()}).encode())

    def give(self, pending: _Pending) -> bool:
        """Send a job; False where the worker is dead."""
        try:
            self.channel.send(pending.frame)
        except (protocol.Closed, OSError):
            return False
        self.pending = pending
        return True

    def take(self) -> Outcome | None:
        """Receive the outcome of the job; None where the worker died before it was complete."""
        assert self.pending is not None
        try:
            row = json.loads(self.channel.receive())
        except (protocol.Closed, OSError):
            return None
        if row.pop("seq") != self.pending.sequence:
            return None
        job, self.pending = self.pending.job, None
        return Outcome(job_id=job.job_id, **row)

    def stop(self) -> None:
        self.channel.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def check_job(job: Job) -> None:
    """Raise :class:`ValueError`, without running anything, for a job that :meth:`Sandbox.run_many` would refuse."""
    _frame(job, 0)


def _frame(job: Job, sequence: int) -> bytes:
    """The job as it goes to a worker; refuses one that cannot be judged."""
    tests = job.tests
    if isinstance(tests, records.PytestTests):
        raise ValueError(f"job {job.job_id}: tests of kind 'pytest' are not supported by the sandbox yet")
    if isinstance(tests, records.CheckTests | records.CaseTests) and not job.entry_point:
        raise ValueError(f"job {job.job_id}: tests of kind {tests.kind!r} need an entry_point")
    body = dict(vars(tests))
    if not all(body[name] for name in ("asserts", "cases", "stdio", "check") if name in body):
        raise ValueError(f"job {job.job_id}: there are no tests")
    row = {
        "seq": sequence,
        "code": job.code,
        "kind": tests.kind,
        "tests": body,
        "entry_point": job.entry_point,
        "context": job.context,
    }
    try:
        return codec.encode(row)
    except codec.Refused as error:
        raise ValueError(f"job {job.job_id}: test data must be plain, but there is {error}") from None

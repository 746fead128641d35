"""Draws and judges each candidate once: what the store has already is neither drawn nor judged again.

Several processes may fill one store at a time. Each locks what it is about to do, leaves out what another process has
locked, and returns to it at the end: by then it is done, or the other process is gone and it is done here.
"""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rich.console import Console

from rrtf_trl.chat import ReportsSpending
from rrtf_trl.feedback import ComparesCandidates, Feedback
from rrtf_trl.monitoring.progress import Meter, meter
from rrtf_trl.monitoring.status_file import current_status
from rrtf_trl.records import Candidate, Judgement, Problem
from rrtf_trl.samplers import Sampler
from rrtf_trl.storage.store import LockResult, Store, batches, judgement_keys, unit_key

from .executor import Executor, LocalExecutor

Problems = Callable[[], Iterator[Problem]]
"""Returns the same problems in the same order each time it is called."""

Drawn = tuple[Problem, list[Candidate]]
"""A problem with candidates for it."""

Work = TypeVar("Work")

_FLUSH_SECONDS = 0.1  # judgements of this long may be lost by a kill
_LOCKED_AT_ONCE = 32  # judgements that another process may have to wait for
_READ_AT_ONCE = 32  # problems


@dataclass
class Collector:
    """Fills the store.

    Args:
        store: Keeps candidates and judgements, by content.
        console: Where progress goes.
        executor: Where candidates are drawn and judged.
    """

    store: Store
    console: Console
    executor: Executor = field(default_factory=LocalExecutor)

    # -- Drawn --------------------------------------------------------------------------------------

    def draw(self, label: str, sampler: Sampler, problems: Problems, number: int | None = None) -> dict[str, int]:
        """Draw the candidates that are not in the store yet.

        Args:
            label: The sampler's name in progress and messages.
            sampler: Draws.
            problems: To draw for.
            number: How many problems, where that is known; otherwise they are counted.

        Returns:
            How many candidates were ``drawn`` and ``reused``, and how many problems were ``skipped``.
        """
        total = (sum(1 for _ in problems()) if number is None else number) * sampler.draws
        counts = {"drawn": 0, "reused": 0, "skipped": 0}
        with meter(self.console, f"sample {label}", total, "candidates") as progress:
            units = batches(problems(), sampler.batch_size)
            _in_passes(units, lambda: _Drawing(self.store, sampler, progress, counts), self.executor, progress)
        sampler.close()
        self._print_spending(label, sampler)
        if counts["skipped"]:
            self.console.print(
                f"[yellow]sample {label}: {counts['skipped']} problems skipped[/], for instance", end=" "
            )
            task_id, reason = next(self.skipped(sampler, problems))
            self.console.print(f"{task_id}: {reason}", highlight=False)
        return counts

    def skipped(self, sampler: Sampler, problems: Problems) -> Iterator[tuple[str, str]]:
        """Yield the task ids that could not be sampled, each with the reason."""
        identity = sampler.identity()
        for batch in batches(problems(), sampler.batch_size):
            yield from self.store.skipped(unit_key(identity, batch)).items()

    def drawn(self, sampler: Sampler, problems: Problems) -> Iterator[Drawn]:
        """Yield each problem with its candidates from one sampler, in order."""
        identity = sampler.identity()
        for batch in batches(problems(), sampler.batch_size):
            by_task: dict[str, list[Candidate]] = {problem.task_id: [] for problem in batch}
            for candidate in self.store.candidates(unit_key(identity, batch)):
                by_task[candidate.task_id].append(candidate)
            yield from ((problem, by_task[problem.task_id]) for problem in batch)

    def drawn_by_all(self, samplers: Iterable[Sampler], problems: Problems) -> Iterator[Drawn]:
        """Yield each problem with its candidates from all samplers."""
        sources = [self.drawn(sampler, problems) for sampler in samplers]
        for rows in zip(*sources, strict=True):
            yield rows[0][0], [candidate for _, candidates in rows for candidate in candidates]

    # -- Judgements --------------------------------------------------------------------------------------

    def judge(
        self, label: str, source: Feedback, drawn: Callable[[], Iterator[Drawn]], number: int | None = None
    ) -> dict[str, int]:
        """Judge the candidates that are not judged yet; the same code for the same problem is judged once.

        Args:
            label: The source's name in progress and messages.
            source: Judges.
            drawn: Returns the candidates.
            number: How many candidates, where that is known; otherwise they are counted.

        Returns:
            How many candidates were ``judged``, and of how many the judgements were ``reused``.
        """
        total = sum(len(candidates) for _, candidates in drawn()) if number is None else number
        counts = {"judged": 0, "reused": 0}
        with meter(self.console, label, total, "judgements") as progress:
            _in_passes(drawn(), lambda: _Judging(self.store, source, progress, counts), self.executor, progress)
        self._print_spending(label, source)
        return counts

    def judgements(self, source: Feedback, problem: Problem, candidates: list[Candidate]) -> list[Judgement]:
        """Return a source's judgement of each candidate of a problem, all of which were judged."""
        return self._read(source, [(problem, candidates)])[0]

    def judged(
        self, sources: Iterable[Feedback], drawn: Iterable[Drawn]
    ) -> Iterator[tuple[Problem, list[Candidate], list[list[Judgement]]]]:
        """Yield each problem with its candidates and, for each source, its judgements of them."""
        sources = list(sources)
        for some in batches(drawn, _READ_AT_ONCE):
            columns = [self._read(source, some) for source in sources]
            for number, (problem, candidates) in enumerate(some):
                yield problem, candidates, [column[number] for column in columns]

    def _read(self, source: Feedback, drawn: list[Drawn]) -> list[list[Judgement]]:
        keys = [_judgement_keys(source, problem, candidates) for problem, candidates in drawn]
        found = self.store.judgements(itertools.chain.from_iterable(keys))
        columns = []
        for of_problem, (_, candidates) in zip(keys, drawn, strict=True):
            missing = [c.candidate_id for c, key in zip(candidates, of_problem, strict=True) if key not in found]
            assert not missing, f"not judged by {source.name}: {', '.join(missing)}"
            columns.append(
                [
                    Judgement(c.candidate_id, (row := found[key]).feedback, row.state, row.score, row.detail)
                    for c, key in zip(candidates, of_problem, strict=True)
                ]
            )
        return columns

    def _print_spending(self, label: str, source: Sampler | Feedback) -> None:
        if isinstance(source, ReportsSpending) and (spending := source.describe_spending()):
            self.console.print(f"{label}: {spending}", highlight=False)


class _Pass(ABC, Generic[Work]):
    """One pass over some work: does what is not done, and leaves out what another process is doing.

    Attributes:
        left_out: What another process has locked.
        holder: One of the processes that have.
    """

    def __init__(self, store: Store, progress: Meter, counts: dict[str, int]) -> None:
        self.store, self.progress, self.counts = store, progress, counts
        self.left_out: list[Work] = []
        self.holder = ""

    @abstractmethod
    def run(self, work: Iterable[Work], executor: Executor) -> None:
        """Do what can be done now."""

    def leave_out(self, work: Work, holder: str) -> None:
        """Leave some work to the next pass."""
        self.left_out.append(work)
        self.holder = holder


def _in_passes(work: Iterable[Work], new_pass: Callable[[], _Pass[Work]], executor: Executor, progress: Meter) -> None:
    """Do all of the work, in as many passes as other processes make necessary."""
    while True:
        one_pass = new_pass()
        one_pass.run(work, executor)
        if not one_pass.left_out:
            return
        progress.wait_for(one_pass.holder)
        work = one_pass.left_out


class _Drawing(_Pass[list[Problem]]):
    """Draws units.

    Args:
        store: Keeps the candidates.
        sampler: Draws.
        progress: Counts the candidates that are there.
        counts: Likewise: ``drawn``, ``reused`` and ``skipped``.
    """

    def __init__(self, store: Store, sampler: Sampler, progress: Meter, counts: dict[str, int]) -> None:
        super().__init__(store, progress, counts)
        self.sampler = sampler
        self._identity = sampler.identity()
        self._pending: deque[tuple[str, list[Problem]]] = deque()  # locked, and not written yet

    def run(self, work: Iterable[list[Problem]], executor: Executor) -> None:
        try:
            for samples in executor.sample(self.sampler, self._to_draw(work)):
                key, unit = self._pending[0]
                self.store.add_unit(key, self._identity, samples.candidates, samples.skipped)
                _show(samples.candidates[-1:])
                self._pending.popleft()
                self._count("drawn", key, unit)
        finally:
            self.store.release([key for key, _ in self._pending])

    def _to_draw(self, units: Iterable[list[Problem]]) -> Iterator[list[Problem]]:
        for unit in units:
            key = unit_key(self._identity, unit)
            lock = LockResult("done") if self.store.has_unit(key) else self.store.lock("units", [[key]])[0]
            if lock.state == "held":
                self.leave_out(unit, lock.holder)
            elif lock.state == "done":
                self._count("reused", key, unit)
            else:
                self._pending.append((key, unit))
                yield unit

    def _count(self, how: str, key: str, unit: list[Problem]) -> None:
        self.counts[how] += len(unit) * self.sampler.draws
        self.counts["skipped"] += len(self.store.skipped(key))
        self.progress.advance(len(unit) * self.sampler.draws, cached=how == "reused")


class _Judging(_Pass[Drawn]):
    """Judges candidates.

    Args:
        store: Keeps the judgements.
        source: Judges.
        progress: Counts the judgements that are there.
        counts: Likewise: ``judged`` and ``reused``.
    """

    def __init__(self, store: Store, source: Feedback, progress: Meter, counts: dict[str, int]) -> None:
        super().__init__(store, progress, counts)
        self.source = source
        self._locked: set[str] = set()  # keys that are neither written nor released
        self._pending: dict[str, tuple[str, Candidate]] = {}  # by candidate_id: handed out, and not written yet
        self._finished: list[tuple[str, Judgement]] = []

    def run(self, work: Iterable[Drawn], executor: Executor) -> None:
        last_flush = time.monotonic()
        items = self._to_judge(work)
        try:
            first = list(itertools.islice(items, 1))
            for judgement in executor.judge(self.source, itertools.chain(first, items)) if first else ():
                key, candidate = self._pending[judgement.candidate_id]
                self._finished.append((key, judgement))
                _show([candidate], judgement.state)
                self.counts["judged"] += 1
                self.progress.advance()
                if time.monotonic() - last_flush > _FLUSH_SECONDS:
                    self._flush()
                    last_flush = time.monotonic()
        finally:
            self._flush()
            self.store.release(list(self._locked))

    def _to_judge(self, drawn: Iterable[Drawn]) -> Iterator[tuple[Problem, Candidate]]:
        for (problem, candidates), keys, lock in self._lock(self._split(drawn)):
            if lock.state == "held":
                self.leave_out((problem, candidates), lock.holder)
            elif lock.state == "done":
                self.counts["reused"] += len(keys)
                self.progress.advance(len(keys), cached=True)
            else:
                self._pending.update((c.candidate_id, (key, c)) for c, key in zip(candidates, keys, strict=True))
                yield from ((problem, candidate) for candidate in candidates)

    def _split(self, drawn: Iterable[Drawn]) -> Iterator[tuple[Drawn, list[str]]]:
        """Yield each candidate by itself with its key; or a problem's candidates together where they are compared."""
        for problem, candidates in drawn:
            keys = _judgement_keys(self.source, problem, candidates)
            if _compares(self.source):
                yield (problem, candidates), keys
            else:
                yield from (((problem, [c]), [key]) for c, key in zip(candidates, keys, strict=True))

    def _lock(self, work: Iterable[tuple[Drawn, list[str]]]) -> Iterator[tuple[Drawn, list[str], LockResult]]:
        """Lock work in batches, one transaction each, and yield it in order."""
        for some in batches(work, _LOCKED_AT_ONCE):
            done = self.store.present("verdicts", itertools.chain.from_iterable(keys for _, keys in some))
            done |= self._locked  # will be done by this pass
            missing = list(dict.fromkeys(tuple(keys) for _, keys in some if not done.issuperset(keys)))
            locks = dict(zip(missing, self.store.lock("verdicts", missing), strict=True))
            self._locked.update(key for keys, lock in locks.items() if lock.state == "acquired" for key in keys)
            for candidates, keys in some:
                lock = locks.get(tuple(keys), LockResult("done"))
                if lock.state == "acquired":
                    locks[tuple(keys)] = LockResult("done")  # the same code again is not judged twice
                yield candidates, keys, lock

    def _flush(self) -> None:
        self.store.add_judgements(self._finished)
        for key, judgement in self._finished:
            self._locked.discard(key)
            del self._pending[judgement.candidate_id]
        self._finished.clear()


def _show(candidates: list[Candidate], state: str | None = None) -> None:
    """Show candidates in `rrtf watch`."""
    status = current_status()
    if status is not None:
        for candidate in candidates:
            status.sample(candidate, state)


def _judgement_keys(source: Feedback, problem: Problem, candidates: list[Candidate]) -> list[str]:
    identity = source.identity()
    if _compares(source):
        identity["together"] = sorted(candidate.candidate_id for candidate in candidates)
    return judgement_keys(identity, problem, candidates)


def _compares(source: Feedback) -> bool:
    """Return whether a judgement of the source depends on the problem's other candidates."""
    return isinstance(source, ComparesCandidates) and source.compares

"""Draws answers and has them judged, each once: what the store has already is neither drawn nor judged again.

Several processes may fill one store at a time. Each claims what it is about to do, leaves aside what another has
claimed, and comes back to it at the end: by then it is there, or the other is gone and it is done here.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console

from rrtf_trl.feedback import Feedback
from rrtf_trl.monitoring.progress import Meter, meter
from rrtf_trl.monitoring.status_file import current_status
from rrtf_trl.records import Candidate, Judgement, Problem
from rrtf_trl.samplers import Sampler
from rrtf_trl.storage.store import Claim, Store, batches, unit_key, verdict_keys

from .executor import Executor, LocalExecutor

Problems = Callable[[], Iterator[Problem]]
"""Gives the same problems in the same order each time it is called."""

Answers = tuple[Problem, list[Candidate]]
"""A problem with candidates for it."""

_FLUSH_SECONDS = 0.1  # what a kill may cost of verdicts
_CLAIMED_AT_ONCE = 32  # verdicts; what another process may have to wait for
_READ_AT_ONCE = 32  # problems


@dataclass
class Collector:
    """Fills the store.

    Args:
        store: Where samples and verdicts are kept, by content.
        console: Where progress goes.
        executor: Where answers are drawn and judged.
    """

    store: Store
    console: Console
    executor: Executor = field(default_factory=LocalExecutor)

    # -- Samples -----------------------------------------------------------------------------------------

    def draw(self, label: str, sampler: Sampler, problems: Problems, number: int | None = None) -> dict[str, int]:
        """Draw what is not in the store yet; return how many problems were skipped, and why in the store.

        Args:
            label: The sampler's name in what is shown of progress.
            sampler: Draws.
            problems: For which.
            number: How many these are, where that is known; otherwise they are counted.
        """
        total = (sum(1 for _ in problems()) if number is None else number) * sampler.draws
        counts = {"drawn": 0, "reused": 0, "skipped": 0}
        with meter(self.console, f"sample {label}", total, "answers") as progress:
            units: Iterable[list[Problem]] = batches(problems(), sampler.batch_size)
            while True:
                drawing = _Drawing(self.store, sampler, progress, counts)
                drawing.draw(units, self.executor)
                if not drawing.taken:
                    break
                progress.wait_for(drawing.holder)
                units = drawing.taken
        sampler.close()
        self._tell_spending(label, sampler)
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

    def drawn(self, sampler: Sampler, problems: Problems) -> Iterator[Answers]:
        """Yield each problem with its candidates from one sampler, in order."""
        identity = sampler.identity()
        for batch in batches(problems(), sampler.batch_size):
            by_task: dict[str, list[Candidate]] = {problem.task_id: [] for problem in batch}
            for candidate in self.store.candidates(unit_key(identity, batch)):
                by_task[candidate.task_id].append(candidate)
            yield from ((problem, by_task[problem.task_id]) for problem in batch)

    def drawn_by_all(self, samplers: Iterable[Sampler], problems: Problems) -> Iterator[Answers]:
        """Yield each problem with its candidates from all samplers."""
        sources = [self.drawn(sampler, problems) for sampler in samplers]
        for rows in zip(*sources, strict=True):
            yield rows[0][0], [candidate for _, candidates in rows for candidate in candidates]

    # -- Verdicts ----------------------------------------------------------------------------------------

    def judge(
        self, label: str, source: Feedback, drawn: Callable[[], Iterator[Answers]], number: int | None = None
    ) -> dict[str, int]:
        """Judge what has no verdict yet; the same code for the same problem is judged once.

        Args:
            label: Stands before what is shown of progress.
            source: Judges.
            drawn: What.
            number: How many answers these are, where that is known; otherwise they are counted.
        """
        total = sum(len(candidates) for _, candidates in drawn()) if number is None else number
        counts = {"judged": 0, "reused": 0}
        with meter(self.console, label, total, "verdicts") as progress:
            answers: Iterable[Answers] = drawn()
            while True:
                judging = _Judging(self.store, source, progress, counts)
                judging.judge(answers, self.executor)
                if not judging.taken:
                    break
                progress.wait_for(judging.holder)
                answers = judging.taken
        self._tell_spending(label, source)
        return counts

    def verdicts(self, source: Feedback, problem: Problem, candidates: list[Candidate]) -> list[Judgement]:
        """Return a source's judgement of each candidate of a problem, all of which were judged."""
        return self._verdicts(source, [(problem, candidates)])[0]

    def judged(
        self, sources: Iterable[Feedback], answers: Iterable[Answers]
    ) -> Iterator[tuple[Problem, list[Candidate], list[list[Judgement]]]]:
        """Yield each problem with its candidates and, for each source, its judgements of them."""
        sources = list(sources)
        for some in batches(answers, _READ_AT_ONCE):
            columns = [self._verdicts(source, some) for source in sources]
            for number, (problem, candidates) in enumerate(some):
                yield problem, candidates, [column[number] for column in columns]

    def _verdicts(self, source: Feedback, answers: list[Answers]) -> list[list[Judgement]]:
        keys = [_verdict_keys(source, problem, candidates) for problem, candidates in answers]
        found = self.store.verdicts(itertools.chain.from_iterable(keys))
        columns = []
        for of_problem, (_, candidates) in zip(keys, answers, strict=True):
            missing = [c.candidate_id for c, key in zip(candidates, of_problem, strict=True) if key not in found]
            assert not missing, f"not judged by {source.name}: {', '.join(missing)}"
            columns.append(
                [
                    Judgement(c.candidate_id, (row := found[key]).feedback, row.state, row.score, row.detail)
                    for c, key in zip(candidates, of_problem, strict=True)
                ]
            )
        return columns

    def _tell_spending(self, label: str, source: Sampler | Feedback) -> None:
        words = source.describe_spending() if hasattr(source, "describe_spending") else ""
        if words:
            self.console.print(f"{label}: {words}", highlight=False)


class _Drawing:
    """One pass over units: draws those that are not there, and leaves aside those that another process draws.

    Args:
        store: Where samples are kept.
        sampler: Draws.
        progress: Counts what is settled.
        counts: Likewise: ``drawn``, ``reused`` and ``skipped``.

    Attributes:
        taken: What was left aside.
        holder: One who has it.
    """

    def __init__(self, store: Store, sampler: Sampler, progress: Meter, counts: dict[str, int]) -> None:
        self.store, self.sampler, self.progress, self.counts = store, sampler, progress, counts
        self.taken: list[list[Problem]] = []
        self.holder = ""
        self._identity = sampler.identity()
        self._pending: deque[tuple[str, list[Problem]]] = deque()  # claimed, and not written yet

    def draw(self, units: Iterable[list[Problem]], executor: Executor) -> None:
        """Draw what can be drawn now."""
        try:
            for samples in executor.sample(self.sampler, self._units(units)):
                key, unit = self._pending[0]
                self.store.add_unit(key, self._identity, samples.candidates, samples.skipped)
                _show(samples.candidates[-1:])
                self._pending.popleft()
                self._settle("drawn", key, unit)
        finally:
            self.store.release([key for key, _ in self._pending])

    def _units(self, units: Iterable[list[Problem]]) -> Iterator[list[Problem]]:
        for unit in units:
            key = unit_key(self._identity, unit)
            claim = Claim("there") if self.store.has_unit(key) else self.store.claim("units", [[key]])[0]
            if claim.state == "taken":
                self.taken.append(unit)
                self.holder = claim.holder
            elif claim.state == "there":
                self._settle("reused", key, unit)
            else:
                self._pending.append((key, unit))
                yield unit

    def _settle(self, how: str, key: str, unit: list[Problem]) -> None:
        self.counts[how] += len(unit) * self.sampler.draws
        self.counts["skipped"] += len(self.store.skipped(key))
        self.progress.advance(len(unit) * self.sampler.draws, cached=how == "reused")


class _Judging:
    """One pass over answers: judges those that have no verdict, and leaves aside those that another process judges.

    Args:
        store: Where verdicts are kept.
        source: Judges.
        progress: Counts what is settled.
        counts: Likewise: ``judged`` and ``reused``.

    Attributes:
        taken: What was left aside.
        holder: One who has it.
    """

    def __init__(self, store: Store, source: Feedback, progress: Meter, counts: dict[str, int]) -> None:
        self.store, self.source, self.progress, self.counts = store, source, progress, counts
        self.taken: list[Answers] = []
        self.holder = ""
        self._held: set[str] = set()  # keys that were claimed and are neither written nor given back
        self._pending: dict[str, tuple[str, Candidate]] = {}  # by candidate_id: handed out, and not yet written
        self._finished: list[tuple[str, Judgement]] = []

    def judge(self, answers: Iterable[Answers], executor: Executor) -> None:
        """Judge what can be judged now."""
        last_flush = time.monotonic()
        items = self._items(answers)
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
            self.store.release(list(self._held))

    def _items(self, answers: Iterable[Answers]) -> Iterator[tuple[Problem, Candidate]]:
        for (problem, candidates), keys, claim in self._asked(self._pieces(answers)):
            if claim.state == "taken":
                self.taken.append((problem, candidates))
                self.holder = claim.holder
            elif claim.state == "there":
                self.counts["reused"] += len(keys)
                self.progress.advance(len(keys), cached=True)
            else:
                self._pending.update((c.candidate_id, (key, c)) for c, key in zip(candidates, keys, strict=True))
                yield from ((problem, candidate) for candidate in candidates)

    def _pieces(self, answers: Iterable[Answers]) -> Iterator[tuple[Answers, list[str]]]:
        """Split answers into what is judged by itself: each candidate, or all of a problem where they are compared."""
        for problem, candidates in answers:
            keys = _verdict_keys(self.source, problem, candidates)
            if _compares(self.source):
                yield (problem, candidates), keys
            else:
                yield from (((problem, [c]), [key]) for c, key in zip(candidates, keys, strict=True))

    def _asked(self, pieces: Iterable[tuple[Answers, list[str]]]) -> Iterator[tuple[Answers, list[str], Claim]]:
        """Claim pieces, some at a time so that it costs little, and yield them in order."""
        for some in batches(pieces, _CLAIMED_AT_ONCE):
            there = self.store.present("verdicts", itertools.chain.from_iterable(keys for _, keys in some))
            there |= self._held  # they will be there by this pass
            asked = list(dict.fromkeys(tuple(keys) for _, keys in some if not there.issuperset(keys)))
            claims = dict(zip(asked, self.store.claim("verdicts", asked), strict=True))
            self._held.update(key for keys, claim in claims.items() if claim.state == "ours" for key in keys)
            for answers, keys in some:
                claim = claims.get(tuple(keys), Claim("there"))
                if claim.state == "ours":
                    claims[tuple(keys)] = Claim("there")  # for the same code again
                yield answers, keys, claim

    def _flush(self) -> None:
        self.store.add_verdicts(self._finished)
        for key, judgement in self._finished:
            self._held.discard(key)
            del self._pending[judgement.candidate_id]
        self._finished.clear()


def _show(candidates: list[Candidate], state: str | None = None) -> None:
    """Show answers to whoever watches the run."""
    told = current_status()
    if told is not None:
        for candidate in candidates:
            told.sample(candidate, state)


def _verdict_keys(source: Feedback, problem: Problem, candidates: list[Candidate]) -> list[str]:
    identity = source.identity()
    if _compares(source):
        identity["together"] = sorted(candidate.candidate_id for candidate in candidates)
    return verdict_keys(identity, problem, candidates)


def _compares(source: Feedback) -> bool:
    """Whether a judgement of the source depends on the problem's other candidates."""
    return bool(getattr(source, "compares", False))

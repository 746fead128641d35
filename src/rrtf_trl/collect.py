"""Draws answers and has them judged, each once: what the store has already is neither drawn nor judged again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console

from rrtf_trl.executors import Executor, LocalExecutor
from rrtf_trl.feedback import Feedback
from rrtf_trl.live import live
from rrtf_trl.progress import meter
from rrtf_trl.records import Candidate, Judgement, Problem
from rrtf_trl.samplers import Sampler
from rrtf_trl.store import Store, batches, unit_key, verdict_key

Problems = Callable[[], Iterator[Problem]]
"""Gives the same problems in the same order each time it is called."""

_FLUSH_SECONDS = 1.0


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

    def draw(self, label: str, sampler: Sampler, problems: Problems) -> dict[str, int]:
        """Draw what is not in the store yet; return how many problems were skipped, and why in the store."""
        identity = sampler.identity()
        total = sum(1 for _ in problems()) * sampler.draws
        counts = {"drawn": 0, "reused": 0, "skipped": 0}
        with meter(self.console, f"sample {label}", total, "answers") as progress:
            for batch in batches(problems(), sampler.batch_size):
                key = unit_key(identity, batch)
                there = self.store.has_unit(key)
                if not there:
                    samples = sampler.sample(batch)
                    self.store.add_unit(key, identity, samples.candidates, samples.skipped)
                    _show(samples.candidates[-1:])
                counts["reused" if there else "drawn"] += len(batch) * sampler.draws
                counts["skipped"] += len(self.store.skipped(key))
                progress.advance(len(batch) * sampler.draws, cached=there)
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

    def drawn(self, sampler: Sampler, problems: Problems) -> Iterator[tuple[Problem, list[Candidate]]]:
        """Yield each problem with its candidates from one sampler, in order."""
        identity = sampler.identity()
        for batch in batches(problems(), sampler.batch_size):
            by_task: dict[str, list[Candidate]] = {problem.task_id: [] for problem in batch}
            for candidate in self.store.candidates(unit_key(identity, batch)):
                by_task[candidate.task_id].append(candidate)
            yield from ((problem, by_task[problem.task_id]) for problem in batch)

    def drawn_by_all(
        self, samplers: Iterable[Sampler], problems: Problems
    ) -> Iterator[tuple[Problem, list[Candidate]]]:
        """Yield each problem with its candidates from all samplers."""
        sources = [self.drawn(sampler, problems) for sampler in samplers]
        for rows in zip(*sources, strict=True):
            yield rows[0][0], [candidate for _, candidates in rows for candidate in candidates]

    # -- Verdicts ----------------------------------------------------------------------------------------

    def judge(
        self, label: str, source: Feedback, drawn: Callable[[], Iterator[tuple[Problem, list[Candidate]]]]
    ) -> dict[str, int]:
        """Judge what has no verdict yet; the same code for the same problem is judged once."""
        total = sum(len(candidates) for _, candidates in drawn())
        pending: dict[str, tuple[str, Candidate]] = {}  # by candidate_id: handed out, and not yet written
        in_flight: set[str] = set()  # their keys
        finished: list[tuple[str, Judgement]] = []
        counts = {"judged": 0, "reused": 0}
        with meter(self.console, label, total, "verdicts") as progress:

            def without_verdict() -> Iterator[tuple[Problem, Candidate]]:
                for problem, candidates in drawn():
                    keys = _verdict_keys(source, problem, candidates)
                    there = [self.store.verdict(key, "") is not None for key in keys]
                    if _compares(source) and not all(there):
                        there = [False] * len(keys)  # they are judged together
                    for candidate, key, judged in zip(candidates, keys, there, strict=True):
                        if judged or key in in_flight:
                            counts["reused"] += 1
                            progress.advance(cached=True)
                        else:
                            pending[candidate.candidate_id] = key, candidate
                            in_flight.add(key)
                            yield problem, candidate

            def flush() -> None:
                self.store.add_verdicts(finished)
                for key, judgement in finished:
                    in_flight.discard(key)
                    del pending[judgement.candidate_id]
                finished.clear()

            last_flush = time.monotonic()
            try:
                for judgement in self.executor.judge(source, without_verdict()):
                    key, candidate = pending[judgement.candidate_id]
                    finished.append((key, judgement))
                    _show([candidate], judgement.state)
                    counts["judged"] += 1
                    progress.advance()
                    if time.monotonic() - last_flush > _FLUSH_SECONDS:
                        flush()
                        last_flush = time.monotonic()
            finally:
                flush()
        self._tell_spending(label, source)
        return counts

    def verdicts(self, source: Feedback, problem: Problem, candidates: list[Candidate]) -> list[Judgement]:
        """Return a source's judgement of each candidate of a problem, all of which were judged."""
        keys = _verdict_keys(source, problem, candidates)
        found = [self.store.verdict(key, c.candidate_id) for key, c in zip(keys, candidates, strict=True)]
        missing = [c.candidate_id for c, verdict in zip(candidates, found, strict=True) if verdict is None]
        assert not missing, f"not judged by {source.name}: {', '.join(missing)}"
        return [verdict for verdict in found if verdict is not None]

    def _tell_spending(self, label: str, source: Sampler | Feedback) -> None:
        words = source.describe_spending() if hasattr(source, "describe_spending") else ""
        if words:
            self.console.print(f"{label}: {words}", highlight=False)


def _show(candidates: list[Candidate], state: str | None = None) -> None:
    """Show answers to whoever watches the run."""
    told = live()
    if told is not None:
        for candidate in candidates:
            told.sample(candidate, state)


def _verdict_keys(source: Feedback, problem: Problem, candidates: list[Candidate]) -> list[str]:
    identity = source.identity()
    if _compares(source):
        identity["together"] = sorted(candidate.candidate_id for candidate in candidates)
    return [verdict_key(identity, problem, candidate) for candidate in candidates]


def _compares(source: Feedback) -> bool:
    """Whether a judgement of the source depends on the problem's other candidates."""
    return bool(getattr(source, "compares", False))

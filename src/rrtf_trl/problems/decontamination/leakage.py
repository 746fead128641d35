"""Find a benchmark's problems in a model's training data, by the same evidence as decontamination.

Training leaves such problems out (:class:`rrtf_trl.problems.Decontaminator`). This is for measuring a model that was
trained by others, or before the benchmark was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rrtf_trl.records import PUBLISHED_PROMPT, Problem

from .finder import Decontaminator


@dataclass(frozen=True)
class Leak:
    """A benchmark's problem that the training data has too.

    Args:
        task_id: The benchmark's problem.
        train_task_id: The most similar training problem.
        kind: ``ngram``, ``signature``, ``ast`` or ``tests``.
        share: For ``ngram`` the fraction of the shorter prompt's n-grams that both have; else 1.
        evidence: The shared words, the function's signature, or a shared test.
    """

    task_id: str
    train_task_id: str
    kind: str
    share: float
    evidence: str


def find_leaks(benchmark: Iterable[Problem], train: Iterable[Problem], kinds: list[str] | None = None) -> list[Leak]:
    """Return the benchmark's problems that are in the training data too, each once, by falling ``share``.

    Prompts are compared as published, whatever form the model is asked in. Memory grows with the benchmark, not with
    the training data.

    Args:
        benchmark: The problems to measure on.
        train: The problems that were trained on.
        kinds: The kinds of evidence, see :class:`rrtf_trl.problems.Decontaminator`; all by default.
    """
    index = Decontaminator(against=[], kinds=kinds).index(map(_as_published, benchmark))
    worst: dict[str, Leak] = {}
    for problem in train:
        for match in index.matches(_as_published(problem)):
            share = match.score if match.kind == "ngram" else 1.0
            found = worst.get(match.benchmark_task_id)
            if found is None or share > found.share:
                worst[match.benchmark_task_id] = Leak(
                    match.benchmark_task_id, problem.task_id, match.kind, round(share, 4), match.evidence
                )
    return sorted(worst.values(), key=lambda leak: (-leak.share, leak.task_id))


def _as_published(problem: Problem) -> Problem:
    return replace(problem, prompt=problem.metadata.get(PUBLISHED_PROMPT, problem.prompt))

"""Whether a benchmark's problems were in the training data, by what decontamination goes by.

Whoever trains leaves such problems out (:class:`rrtf_trl.problems.Decontaminator`); whoever measures a model that
others trained, or that was trained before the benchmark was chosen, is told of them here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rrtf_trl.records import PUBLISHED_PROMPT, Problem

from .. import Decontaminator


@dataclass(frozen=True)
class Leak:
    """A benchmark's problem that the training data has too.

    Args:
        task_id: The benchmark's problem.
        train_task_id: The training problem that has most of it.
        kind: ``ngram``, ``signature``, ``ast`` or ``tests``.
        share: Of the shorter prompt's n-grams that both have, for ``ngram``; else 1.
        evidence: The shared words, the function's signature, or a shared test.
    """

    task_id: str
    train_task_id: str
    kind: str
    share: float
    evidence: str


def find_leaks(benchmark: Iterable[Problem], train: Iterable[Problem], kinds: list[str] | None = None) -> list[Leak]:
    """Return the benchmark's problems that training problems have too, each once, the worst first.

    Prompts are compared as they were published, whatever form the model is asked in. Memory grows with the benchmark,
    not with the training data.

    Args:
        benchmark: The problems to be measured on.
        train: The problems that were trained on.
        kinds: What counts, see :class:`rrtf_trl.problems.Decontaminator`; by default all of it.
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

"""Whether a benchmark's problems were in the training data: exact prompts, and n-grams in common.

A share of common n-grams is what GPT-3 and its successors looked at (arXiv 2005.14165, appendix C). It finds
copies and near copies; a problem that is told in other words it does not find.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from rrtf_trl.records import PUBLISHED_PROMPT, Problem, Prompt

NGRAM = 10
"""Words in a row, as many as StarCoder's authors take for overlaps with benchmarks."""

SHARE = 0.5
"""A problem counts as leaked where a training problem has at least this share of its n-grams."""

_WORD = re.compile(r"[A-Za-z_]+|\d+|[^\sA-Za-z_\d]")


@dataclass(frozen=True)
class Leak:
    """A benchmark's problem that the training data has too.

    Args:
        task_id: The benchmark's problem.
        train_task_id: The training problem that has most of it.
        what: ``prompt`` or ``reference``.
        share: Of its n-grams, in (0, 1]; 1 for a copy.
    """

    task_id: str
    train_task_id: str
    what: str
    share: float


def find_leaks(benchmark: Iterable[Problem], train: Iterable[Problem], ngram: int = NGRAM) -> list[Leak]:
    """Return the benchmark's problems of which a training problem holds at least half, each once, the worst first.

    Case and spaces make no difference. A prompt shorter than ``ngram`` words has to be there as a whole prompt; a
    reference that short says nothing. Memory grows with the benchmark, not with the training data.

    Args:
        benchmark: The problems to be measured on.
        train: The problems that were trained on.
        ngram: Words in a row.
    """
    sizes: dict[tuple[str, str], int] = {}
    owners: dict[tuple[str, ...], set[tuple[str, str]]] = defaultdict(set)
    for problem in benchmark:
        for what, text in _texts(problem):
            grams = _ngrams(text, ngram, short=what == "prompt")
            sizes[problem.task_id, what] = len(grams)
            for gram in grams:
                owners[gram].add((problem.task_id, what))
    worst: dict[str, Leak] = {}
    for problem in train:
        found = {gram for what, text in _texts(problem) for gram in _ngrams(text, ngram, short=what == "prompt")}
        shared = Counter(owner for gram in found & owners.keys() for owner in owners[gram])
        for (task_id, what), count in shared.items():
            share = count / sizes[task_id, what]
            if share >= SHARE and (task_id not in worst or share > worst[task_id].share):
                worst[task_id] = Leak(task_id, problem.task_id, what, round(share, 4))
    return sorted(worst.values(), key=lambda leak: (-leak.share, leak.task_id))


def _ngrams(text: str, ngram: int, short: bool) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    if len(words) < ngram:
        return {tuple(words)} if short and words else set()
    return {tuple(words[start : start + ngram]) for start in range(len(words) - ngram + 1)}


def _texts(problem: Problem) -> list[tuple[str, str]]:
    prompt = problem.metadata.get(PUBLISHED_PROMPT, problem.prompt)
    texts = [("prompt", _plain(prompt))]
    if problem.reference is not None:
        own = problem.reference.removeprefix(prompt) if isinstance(prompt, str) else problem.reference
        texts.append(("reference", own))
    return texts


def _plain(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(message["content"] for message in prompt)

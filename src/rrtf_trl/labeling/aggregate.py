"""From several people's rankings to one score for each candidate.

``borda``: the fraction of the other candidates that it was ranked above, a tie counting half, over all labels
(de Borda, 1781, divided by the number of rivals so that rankings of different length can be added).

``bradley_terry``: the strengths under which the comparisons are likeliest (Bradley and Terry, 1952), a tie counting
as half a win for either side; the score is the mean probability of winning against the problem's other candidates.
It allows for *which* others a candidate was compared with, which Borda does not: use it where people saw different
subsets. The library ``choix`` fits it. Every two candidates start with a tenth of a comparison, tied: without that,
one that always won would be infinitely strong.

Either way scores are in [0, 1], equal scores are ties, and a tie makes no training pair.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Literal, get_args

from rrtf_trl.errors import UserError

from .items import prompt_key
from .labels import Label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Method = Literal["borda", "bradley_terry"]
METHODS: tuple[str, ...] = get_args(Method)

PRIOR_WINS = 0.05
"""Wins of each candidate against each other one before any label is counted."""

_DIGITS = 4  # smaller differences are the optimizer's error


@dataclass
class CandidateScore:
    """What the labels of all people say of one candidate.

    Args:
        answer_id: The candidate.
        score: From 0 (below all others) to 1 (above all others).
        votes: A dict for each label: ``annotator``, ``rank``, ``of`` (how many were ranked), and ``seconds``.
        agreement: Over every two people and every pair with this candidate that both ranked, the fraction on which
            they agree; ``None`` where there is no such pair.
    """

    answer_id: str
    score: float
    votes: list[dict[str, object]] = field(default_factory=list)
    agreement: float | None = None


def aggregate(labels: Iterable[Label], method: Method = "borda") -> dict[str, CandidateScore]:
    """Return the score of every labelled candidate, by ``answer_id``.

    Labels of the same prompt are counted together, whichever item they are of.

    Raises:
        ValueError: If there is no such method.
    """
    if method not in METHODS:
        raise ValueError(f"aggregation must be one of {', '.join(METHODS)}, got {method!r}")
    by_prompt: dict[str, list[Label]] = {}
    for label in labels:
        by_prompt.setdefault(prompt_key(label.item.prompt), []).append(label)
    found: dict[str, CandidateScore] = {}
    for group in by_prompt.values():
        scores = borda(group) if method == "borda" else bradley_terry(group)
        agreement = _agreement_by_candidate(group)
        for candidate, score in scores.items():
            votes = [_vote(label, candidate) for label in group if candidate in label.ranks]
            found[candidate] = CandidateScore(candidate, score, votes, agreement.get(candidate))
    return found


def borda(labels: Iterable[Label]) -> dict[str, float]:
    """Return the fraction of rivals that each candidate beat, by ``answer_id``; for labels of one prompt."""
    won: defaultdict[str, float] = defaultdict(float)
    rivals: Counter[str] = Counter()
    for label in labels:
        for one, other, better in label.pairs():
            won[one] += (1 + better) / 2
            won[other] += (1 - better) / 2
            rivals.update((one, other))
    return {candidate: round(won[candidate] / rivals[candidate], _DIGITS) for candidate in won}


def bradley_terry(labels: Iterable[Label], prior: float = PRIOR_WINS) -> dict[str, float]:
    """Return each candidate's mean probability to win against the others, by ``answer_id``; for labels of one prompt.

    Args:
        labels: The labels.
        prior: Wins of each against each beforehand; with 0, strengths can be infinite.
    """
    import numpy as np

    wins: defaultdict[tuple[str, str], float] = defaultdict(float)
    for label in labels:
        for one, other, better in label.pairs():
            wins[one, other] += (1 + better) / 2
            wins[other, one] += (1 - better) / 2
    candidates = sorted({candidate for pair in wins for candidate in pair})
    matrix = np.full((len(candidates), len(candidates)), prior)
    np.fill_diagonal(matrix, 0.0)
    for (one, other), count in wins.items():
        matrix[candidates.index(one), candidates.index(other)] += count
    strength = strengths(matrix)
    beats = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    mean = (beats.sum(axis=1) - 0.5) / max(len(candidates) - 1, 1)
    return {candidate: round(float(mean[index]), _DIGITS) for index, candidate in enumerate(candidates)}


def strengths(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Bradley-Terry strengths: logarithms, with mean zero; float64, shape ``[n]``.

    Args:
        wins: ``wins[i, j]`` is how often i beat j; float64, shape ``[n, n]``.
    """
    try:
        from choix import ilsr_pairwise_dense
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'rrtf-trl[label]'") from None
    found: NDArray[np.float64] = ilsr_pairwise_dense(wins, max_iter=10_000)
    return found


def _vote(label: Label, candidate: str) -> dict[str, object]:
    vote: dict[str, object] = {"annotator": label.annotator, "rank": label.ranks[candidate], "of": len(label.ranks)}
    return vote if label.seconds is None else {**vote, "seconds": label.seconds}


def _agreement_by_candidate(labels: list[Label]) -> dict[str, float]:
    """Return, by candidate, how often two people agree on a pair with it, over every two who ranked that pair."""
    by_pair: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for label in labels:
        for one, other, better in label.pairs():
            by_pair[one, other].append(better)
    same: defaultdict[str, list[bool]] = defaultdict(list)
    for pair, choices in by_pair.items():
        for candidate in pair:
            same[candidate].extend(a == b for a, b in combinations(choices, 2))
    return {candidate: round(sum(equal) / len(equal), _DIGITS) for candidate, equal in same.items() if equal}

"""From several people's rankings to one score an answer.

``borda``: the share of the other answers that it was ranked above, a tie counting half, over all labels
(de Borda, 1781, divided by the number of rivals so that rankings of different length can be added).

``bradley_terry``: the strengths under which the comparisons are likeliest (Bradley and Terry, 1952), a tie
counting as half a win for either side, as a probability: how likely it is to win against the other answers
of its problem, on average. It allows for *whom* an answer was compared with, which Borda does not: take it
where people saw different subsets. Fitted with the library ``choix``; everybody has tied with everybody by a
tenth of a comparison beforehand, without which the one who always won would be infinitely strong.

Either way scores lie in [0, 1], equal scores are ties, and a tie makes no training pair.
"""

from __future__ import annotations

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
"""What each answer has won against each other one before anybody has said anything."""

_DIGITS = 4  # what an optimizer leaves beyond is no difference


@dataclass
class Opinion:
    """What people together say of one answer.

    Args:
        answer_id: The answer.
        score: From 0 (below all others) to 1 (above all others).
        votes: A dict a label: ``annotator``, ``rank``, ``of`` (how many were ranked), and ``seconds``.
        agreement: The share of pairs with this answer on which two people agree, over all such two; ``None`` where
            no two people ranked the same pair.
    """

    answer_id: str
    score: float
    votes: list[dict[str, object]] = field(default_factory=list)
    agreement: float | None = None


def aggregate(labels: Iterable[Label], method: Method = "borda") -> dict[str, Opinion]:
    """Return the opinion on every labelled answer, by ``answer_id``.

    Labels of the same prompt go together, whichever item they were made on.

    Args:
        labels: All labels.
        method: ``borda`` or ``bradley_terry``.

    Raises:
        ValueError: If there is no such method.
    """
    if method not in METHODS:
        raise ValueError(f"aggregation must be one of {', '.join(METHODS)}, got {method!r}")
    by_prompt: dict[str, list[Label]] = {}
    for label in labels:
        by_prompt.setdefault(prompt_key(label.item.prompt), []).append(label)
    opinions: dict[str, Opinion] = {}
    for group in by_prompt.values():
        scores = borda(group) if method == "borda" else bradley_terry(group)
        agreement = _agreement(group)
        for answer, score in scores.items():
            votes = [_vote(label, answer) for label in group if answer in label.ranks]
            opinions[answer] = Opinion(answer, score, votes, agreement.get(answer))
    return opinions


def borda(labels: Iterable[Label]) -> dict[str, float]:
    """Return the mean share of rivals that each answer beat, by ``answer_id``; for labels of one prompt."""
    won: dict[str, float] = {}
    rivals: dict[str, int] = {}
    for label in labels:
        for one, other, better in label.pairs():
            for answer, points in ((one, (1 + better) / 2), (other, (1 - better) / 2)):
                won[answer] = won.get(answer, 0.0) + points
                rivals[answer] = rivals.get(answer, 0) + 1
    return {answer: round(won[answer] / rivals[answer], _DIGITS) for answer in won}


def bradley_terry(labels: Iterable[Label], prior: float = PRIOR_WINS) -> dict[str, float]:
    """Return each answer's mean probability to win against the others, by ``answer_id``; for labels of one prompt.

    Args:
        labels: The labels.
        prior: Wins of each against each beforehand; without any, strengths can be infinite.
    """
    import numpy as np

    wins: dict[tuple[str, str], float] = {}
    for label in labels:
        for one, other, better in label.pairs():
            wins[one, other] = wins.get((one, other), 0.0) + (1 + better) / 2
            wins[other, one] = wins.get((other, one), 0.0) + (1 - better) / 2
    answers = sorted({answer for pair in wins for answer in pair})
    matrix = np.full((len(answers), len(answers)), prior)
    np.fill_diagonal(matrix, 0.0)
    for (one, other), count in wins.items():
        matrix[answers.index(one), answers.index(other)] += count
    strength = strengths(matrix)
    beats = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    mean = (beats.sum(axis=1) - 0.5) / max(len(answers) - 1, 1)
    return {answer: round(float(mean[index]), _DIGITS) for index, answer in enumerate(answers)}


def strengths(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Bradley-Terry strengths: logarithms, with mean zero.

    Args:
        wins: ``wins[i, j]`` is how often i beat j; shape ``[n, n]``.
    """
    try:
        from choix import ilsr_pairwise_dense
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'rrtf-trl[label]'") from None
    found: NDArray[np.float64] = ilsr_pairwise_dense(wins, max_iter=10_000)
    return found


def _vote(label: Label, answer: str) -> dict[str, object]:
    vote: dict[str, object] = {"annotator": label.annotator, "rank": label.ranks[answer], "of": len(label.ranks)}
    return vote if label.seconds is None else {**vote, "seconds": label.seconds}


def _agreement(labels: list[Label]) -> dict[str, float]:
    """Return, by answer, the share of equal verdicts among all two people who ranked the same pair with it."""
    verdicts: dict[tuple[str, str], list[int]] = {}
    for label in labels:
        for one, other, better in label.pairs():
            verdicts.setdefault((one, other), []).append(better)
    same: dict[str, list[bool]] = {}
    for pair, said in verdicts.items():
        for answer in pair:
            same.setdefault(answer, []).extend(a == b for a, b in combinations(said, 2))
    return {answer: round(sum(equal) / len(equal), _DIGITS) for answer, equal in same.items() if equal}

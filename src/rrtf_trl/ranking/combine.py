"""How the scores of several sources become one score for each candidate.

A source's score is a number, larger is better, or ``None`` where it abstained. Two names are special: ``unit_tests``,
where tests are among the sources, is the score of the candidate's state; ``sample`` is no feedback source but the
candidate's own source, 0 for the student and 1 for any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

TESTS, SAMPLE = "unit_tests", "sample"

SourceScores = Mapping[str, float | None]
"""The score of one candidate by each source."""

_DECIMALS = 9  # to which scores are compared: they are sums of floats


@dataclass(frozen=True)
class Standing:
    """A candidate's score, and the scores of the sources that led to it.

    Args:
        candidate_id: The candidate.
        score: The score that the trainer gets.
        opinions: Its score by each source; the name is the one in ``standings.jsonl``.
    """

    candidate_id: str
    score: float
    opinions: dict[str, float | None]


@dataclass(frozen=True)
class Conflict:
    """How two sources disagree on the order of a problem's candidates.

    Args:
        task_id: The problem.
        sources: Their names.
        pairs: How many pairs of candidates both put in an order.
        opposed: The pairs that they put in opposite orders, the one that the first source prefers first.
    """

    task_id: str
    sources: tuple[str, str]
    pairs: int
    opposed: list[tuple[str, str]]


def lexicographic(candidates: Sequence[SourceScores], order: Sequence[str], tie_break: float) -> list[float]:
    """Score candidates by the tests, equal ones by the next source, and so on.

    Candidates with equal test scores get scores at most ``tie_break`` apart, and always below the next better test
    score. Where a source abstained on some of them, these get the mean of its scores of the others, as in rank
    aggregation where a voter left candidates out.

    Without tests the other sources alone make the order, and the scores are its steps, scaled to [0, 1]: the lowest
    candidates get 0, the highest 1, with equal distances between. If all are equal, all get 0.

    Args:
        candidates: The scores of each candidate of a problem.
        order: Names of the sources that break ties, most important first.
        tie_break: How far apart candidates with equal test scores may be.

    Returns:
        A score for each candidate; of those with equal test scores, the lowest keeps the test score.
    """
    if not tested(candidates):
        keys = _keys(candidates, order)
        steps = sorted(set(keys))
        return [steps.index(key) / max(len(steps) - 1, 1) for key in keys]
    tests = [_test_score(candidate) for candidate in candidates]
    scores = list(tests)
    for level in set(tests):
        members = [i for i, score in enumerate(tests) if score == level]
        keys = _keys([candidates[i] for i in members], order)
        steps = sorted(set(keys))
        above = [score for score in tests if score > level]
        width = min(tie_break, (min(above) - level) / 2) if above else tie_break
        for i, key in zip(members, keys, strict=True):
            scores[i] = level + width * steps.index(key) / max(len(steps) - 1, 1)
    return scores


def tested(candidates: Sequence[SourceScores]) -> bool:
    """Return whether the tests have judged all candidates."""
    return all(TESTS in candidate for candidate in candidates)


def _keys(candidates: Sequence[SourceScores], order: Sequence[str]) -> list[tuple[float, ...]]:
    """Return the rounded scores of each candidate by the sources of ``order``, to sort by."""
    columns = [_fill([candidate.get(source) for candidate in candidates]) for source in order]
    return [tuple(round(column[i], _DECIMALS) for column in columns) for i in range(len(candidates))]


def _fill(scores: Sequence[float | None]) -> list[float]:
    """Return scores with the mean of the known ones in place of ``None``; 0 if none is known."""
    known = [score for score in scores if score is not None]
    mean = sum(known) / len(known) if known else 0.0
    return [mean if score is None else score for score in scores]


def weighted(
    candidates: Sequence[SourceScores], weights: Mapping[str, float], scale: tuple[float, float]
) -> list[float]:
    """Score candidates by the weighted mean over the sources that did not abstain.

    A candidate without such a source gets the mean score of the others.

    Args:
        candidates: The scores of each candidate of a problem; all but those of the tests are in [0, 1].
        weights: The weight of each source; a source without one does not count.
        scale: The lowest and the highest test score, which are mapped to 0 and 1.
    """
    low, high = scale
    means: list[float | None] = []
    for candidate in candidates:
        scores = dict(candidate)
        if TESTS in scores:
            scores[TESTS] = (_test_score(scores) - low) / (high - low)
        terms = [(weight, score) for name, weight in weights.items() if (score := scores.get(name)) is not None]
        total = sum(weight for weight, _ in terms)
        means.append(sum(weight * score for weight, score in terms) / total if total else None)
    return _fill(means)


def paper(candidates: Sequence[SourceScores], states: Sequence[str], tie_break: float) -> list[float]:
    """Score candidates by the tests, a teacher's above all of the student's in the same state.

    The rule of PanGu-Coder2 (arXiv 2307.14936, section 3.2). A teacher's candidate stays below the next better state.

    Args:
        candidates: The scores of each candidate of a problem; only ``unit_tests`` and ``sample`` count.
        states: The state of each candidate by its tests.
        tie_break: How far a teacher's candidate is put above the student's best.
    """
    tests = [_test_score(candidate) for candidate in candidates]
    scores = list(tests)
    for index, candidate in enumerate(candidates):
        rivals = [tests[i] for i, other in enumerate(candidates) if not other[SAMPLE] and states[i] == states[index]]
        if candidate[SAMPLE] and rivals and tie_break:
            best = max(rivals)
            above = [score for score in tests if score > best] + [best + 2 * tie_break]
            scores[index] = max(tests[index], best + min(tie_break, (min(above) - best) / 2))
    return scores


def conflicts(task_id: str, candidates: Mapping[str, SourceScores], sources: Sequence[str]) -> list[Conflict]:
    """Find the pairs of candidates that sources put in opposite orders.

    Args:
        task_id: The problem.
        candidates: The scores of each candidate, by its id.
        sources: The sources to compare.

    Returns:
        One for every two sources that both put any two candidates in an order.
    """
    found = []
    for pair in combinations(sources, 2):
        both = 0
        opposed = []
        for one, other in combinations(candidates, 2):
            first, second = (_difference(candidates[one], candidates[other], source) for source in pair)
            both += bool(first and second)
            if first * second < 0:
                opposed.append((one, other) if first > 0 else (other, one))
        if both:
            found.append(Conflict(task_id, pair, both, opposed))
    return found


def _difference(one: SourceScores, other: SourceScores, source: str) -> float:
    left, right = one.get(source), other.get(source)
    return 0.0 if left is None or right is None else round(left - right, _DECIMALS)


def _test_score(scores: SourceScores) -> float:
    score = scores[TESTS]
    assert score is not None, "unit tests never abstain"
    return score

"""How the opinions of several sources become one score an answer.

An opinion is a number, larger is better, or ``None`` where a source abstained. Two of them are particular:
``unit_tests`` is the score of the answer's state, where tests are among the sources, and ``sample`` is no source of
feedback but says whose sample the answer is, 1 for a teacher's and 0 for the student's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

TESTS, SAMPLE = "unit_tests", "sample"

Opinions = Mapping[str, float | None]
"""What each source says of one answer."""

_SAME = 9  # decimals to which two opinions are the same: they are sums of floats


@dataclass(frozen=True)
class Standing:
    """Where an answer stands in its problem, and by whose word.

    Args:
        candidate_id: The answer.
        score: What the trainer gets.
        opinions: What each source said.
    """

    candidate_id: str
    score: float
    opinions: dict[str, float | None]


@dataclass(frozen=True)
class Conflict:
    """Two sources that put answers of a problem in opposite orders.

    Args:
        task_id: The problem.
        sources: Their names.
        pairs: Pairs of answers that both put in an order.
        opposed: The pairs that they put in opposite orders, each with the first source's better answer first.
    """

    task_id: str
    sources: tuple[str, str]
    pairs: int
    opposed: list[tuple[str, str]]


def lexicographic(answers: Sequence[Opinions], order: Sequence[str], tie_break: float) -> list[float]:
    """Score answers by the tests, and those that the tests leave level by the next source, and so on.

    Answers level by the tests stand at most ``tie_break`` apart, and never as high as the next better ones. A source
    that abstained on some of them leaves those at the mean of the others, as rank aggregation does with what a voter
    left out: neither praised nor blamed.

    Without tests the other sources alone make the order, and the scores are its steps, scaled to [0, 1]: the lowest
    answers get 0, the highest 1, and those between stand in equal distances. Where nobody tells any two answers
    apart, all get 0.

    Args:
        answers: The opinions on each answer of a problem.
        order: Names of the sources that break ties, most important first.
        tie_break: How far answers that are level by the tests may stand apart.

    Returns:
        One score an answer; the lowest of a level keeps the score of the tests.
    """
    if not tested(answers):
        keys = _keys(answers, order)
        steps = sorted(set(keys))
        return [steps.index(key) / max(len(steps) - 1, 1) for key in keys]
    tests = [_of_tests(opinions) for opinions in answers]
    scores = list(tests)
    for level in set(tests):
        members = [i for i, score in enumerate(tests) if score == level]
        keys = _keys([answers[i] for i in members], order)
        steps = sorted(set(keys))
        if len(steps) == 1:
            continue
        above = [score for score in tests if score > level]
        room = min(tie_break, (min(above) - level) / 2) if above else tie_break
        for i, key in zip(members, keys, strict=True):
            scores[i] = level + room * steps.index(key) / (len(steps) - 1)
    return scores


def tested(answers: Sequence[Opinions]) -> bool:
    """Return whether the tests have judged all answers."""
    return all(TESTS in answer for answer in answers)


def _keys(answers: Sequence[Opinions], order: Sequence[str]) -> list[tuple[float, ...]]:
    columns = []
    for source in order:
        given = [opinion for answer in answers if (opinion := answer.get(source)) is not None]
        middle = sum(given) / len(given) if given else 0.0
        column = [middle if (opinion := answer.get(source)) is None else opinion for answer in answers]
        columns.append([round(value, _SAME) for value in column])
    return list(zip(*columns, strict=True)) if columns else [()] * len(answers)


def weighted(answers: Sequence[Opinions], weights: Mapping[str, float], scale: tuple[float, float]) -> list[float]:
    """Score answers by the weighted mean of all opinions that there are; one without any gets the others' mean.

    Args:
        answers: The opinions on each answer of a problem; all but those of the tests lie in [0, 1].
        weights: The weight of each source; a source without one has no say.
        scale: The lowest and highest score of the tests, which stand for 0 and 1. Where there are no tests, they
            have no say.
    """
    low, high = scale
    scores: list[float | None] = []
    for answer in answers:
        opinions = {**answer, TESTS: (_of_tests(answer) - low) / (high - low)} if TESTS in answer else answer
        given = [(weight, opinion) for name, weight in weights.items() if (opinion := opinions.get(name)) is not None]
        total = sum(weight for weight, _ in given)
        scores.append(sum(weight * opinion for weight, opinion in given) / total if total else None)
    told = [score for score in scores if score is not None]
    middle = sum(told) / len(told) if told else 0.0
    return [middle if score is None else score for score in scores]


def paper(answers: Sequence[Opinions], states: Sequence[str], tie_break: float) -> list[float]:
    """Score answers by the tests, a teacher's sample above all of the student's in the same state.

    The rule of PanGu-Coder2 (arXiv 2307.14936, section 3.2). A teacher's answer never gets level with the state above.

    Args:
        answers: The opinions on each answer of a problem; only those of the tests, and whose sample it is, count.
        states: What happened to each answer in its tests.
        tie_break: How much it stands above the student's best.
    """
    tests = [_of_tests(opinions) for opinions in answers]
    scores = list(tests)
    for index, opinions in enumerate(answers):
        rivals = [tests[i] for i, other in enumerate(answers) if not other[SAMPLE] and states[i] == states[index]]
        if opinions[SAMPLE] and rivals and tie_break:
            best = max(rivals)
            above = [score for score in tests if score > best] + [best + 2 * tie_break]
            scores[index] = max(tests[index], best + min(tie_break, (min(above) - best) / 2))
    return scores


def conflicts(task_id: str, answers: Mapping[str, Opinions], sources: Sequence[str]) -> list[Conflict]:
    """Find the pairs of answers that sources put in opposite orders.

    Args:
        task_id: The problem.
        answers: The opinions on each answer, by its id.
        sources: Whose opinions are compared.

    Returns:
        One for every two sources that both put any two answers in an order.
    """
    found = []
    for pair in combinations(sources, 2):
        both = 0
        opposed = []
        for one, other in combinations(answers, 2):
            first, second = (_difference(answers[one], answers[other], source) for source in pair)
            both += bool(first and second)
            if first * second < 0:
                opposed.append((one, other) if first > 0 else (other, one))
        if both:
            found.append(Conflict(task_id, pair, both, opposed))
    return found


def _difference(one: Opinions, other: Opinions, source: str) -> float:
    left, right = one.get(source), other.get(source)
    return 0.0 if left is None or right is None else round(left - right, _SAME)


def _of_tests(opinions: Opinions) -> float:
    score = opinions[TESTS]
    assert score is not None, "unit tests never abstain"
    return score

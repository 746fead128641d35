"""Compare models on the same problems, problem by problem."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from rrtf_trl.statistics.pass_at_k import Estimate, paired_gain

Counts = Mapping[str, list[int]]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same problems.

    Args:
        names: Of the two.
        problems: How many both have.
        wins: Problems of which the second solves a larger share of its samples than the first.
        losses: Problems of which it solves a smaller share.
        gained: Problems that the second solves and the first does not, at least once in their samples.
        lost: Problems that the first solves and the second does not.
        p_value: Of McNemar's exact test on ``gained`` and ``lost``, two-sided.
        gain: The second's pass@1 less the first's, with its 95% interval over problems.
    """

    names: tuple[str, str]
    problems: int
    wins: int
    losses: int
    gained: int
    lost: int
    p_value: float
    gain: Estimate


@dataclass(frozen=True)
class Overlap:
    """One field of a Venn diagram of solved problems.

    Args:
        models: Who solves these problems; all the others do not. Empty for the problems that none solves.
        tasks: The problems.
    """

    models: tuple[str, ...]
    tasks: list[str]


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: a fair coin decides each problem on which two differ.

    Args:
        gained: Problems that only the second solves.
        lost: Problems that only the first solves.

    Raises:
        ValueError: If a count is negative.
    """
    if gained < 0 or lost < 0:
        raise ValueError(f"counts of problems cannot be negative, got {gained} and {lost}")
    total = gained + lost
    tail = sum(math.comb(total, index) for index in range(min(gained, lost) + 1))
    return min(1.0, float(2 * tail / 2**total))


def compare(first: Counts, second: Counts, names: tuple[str, str] = ("first", "second")) -> Comparison:
    """Compare two models.

    Args:
        first: Samples and passes of each problem, by ``task_id``.
        second: The same of the other model.
        names: Of the two.

    Raises:
        ValueError: If they do not have the same problems.
    """
    _check_same(dict(zip(names, (first, second), strict=True)))
    rates = [(_rate(first[task]), _rate(second[task])) for task in first]
    gained = sum(before == 0 < after for before, after in rates)
    lost = sum(after == 0 < before for before, after in rates)
    return Comparison(
        names=names,
        problems=len(rates),
        wins=sum(after > before for before, after in rates),
        losses=sum(after < before for before, after in rates),
        gained=gained,
        lost=lost,
        p_value=mcnemar(gained, lost),
        gain=paired_gain([before for before, _ in rates], [after for _, after in rates]),
    )


def overlaps(models: Mapping[str, Counts]) -> list[Overlap]:
    """Return the fields of the Venn diagram of the problems that each model solves, as the paper draws it.

    Args:
        models: Samples and passes of each problem, by model. A problem is solved if any sample passes.

    Raises:
        ValueError: If they do not have the same problems.
    """
    _check_same(models)
    tasks = list(next(iter(models.values())))
    solvers = {task: tuple(name for name, counts in models.items() if counts[task][1]) for task in tasks}
    fields = [chosen for size in range(len(models), -1, -1) for chosen in itertools.combinations(models, size)]
    return [Overlap(chosen, [task for task in tasks if solvers[task] == chosen]) for chosen in fields]


def _rate(pair: list[int]) -> float:
    samples, passed = pair
    return passed / samples


def _check_same(models: Mapping[str, Counts]) -> None:
    (name, first), *others = models.items()
    for other, counts in others:
        missing, more = sorted(first.keys() - counts.keys()), sorted(counts.keys() - first.keys())
        if missing or more or not first:
            told = f"{other} lacks {', '.join(missing[:3])}" if missing else f"{name} lacks {', '.join(more[:3])}"
            raise ValueError(f"a paired comparison needs the same problems: {told if first else f'{name} has none'}")

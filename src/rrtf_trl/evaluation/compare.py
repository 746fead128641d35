"""Compare models that were measured on the same problems."""

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
        names: The two models' names.
        problems: Number of problems.
        wins: Problems on which a larger fraction of the second model's samples passes than of the first's.
        losses: Problems on which a smaller fraction passes.
        gained: Problems that only the second model solves. A problem is solved if any sample passes.
        lost: Problems that only the first model solves.
        p_value: McNemar's exact two-sided test on ``gained`` and ``lost``.
        gain: The second's pass@1 minus the first's, with its 95% interval over problems.
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
    """One region of a Venn diagram of solved problems.

    Args:
        models: The models that solve these problems, which no other model solves. Empty for problems that none solves.
        tasks: The problems' ids.
    """

    models: tuple[str, ...]
    tasks: list[str]


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    The null hypothesis is that each problem which only one model solves is equally likely to be either's.

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
        first: Numbers of samples and of passes of each problem, by ``task_id``.
        second: The same for the other model.
        names: The two models' names.

    Raises:
        ValueError: If they do not have the same problems.
    """
    _check_same(dict(zip(names, (first, second), strict=True)))
    rates = [tuple(passed / samples for samples, passed in (first[task], second[task])) for task in first]
    gained = sum(one == 0 < other for one, other in rates)
    lost = sum(other == 0 < one for one, other in rates)
    return Comparison(
        names=names,
        problems=len(rates),
        wins=sum(other > one for one, other in rates),
        losses=sum(other < one for one, other in rates),
        gained=gained,
        lost=lost,
        p_value=mcnemar(gained, lost),
        gain=paired_gain([one for one, _ in rates], [other for _, other in rates]),
    )


def overlaps(models: Mapping[str, Counts]) -> list[Overlap]:
    """Return all regions of the Venn diagram of solved problems (PanGu-Coder2's figure), largest intersections first.

    Args:
        models: Numbers of samples and of passes of each problem, by model. A problem is solved if any sample passes.

    Raises:
        ValueError: If they do not have the same problems.
    """
    _check_same(models)
    tasks = list(next(iter(models.values())))
    solvers = {task: tuple(name for name, counts in models.items() if counts[task][1]) for task in tasks}
    return [
        Overlap(names, [task for task in tasks if solvers[task] == names])
        for size in range(len(models), -1, -1)
        for names in itertools.combinations(models, size)
    ]


def _check_same(models: Mapping[str, Counts]) -> None:
    (name, first), *others = models.items()
    for other, counts in others:
        missing, more = sorted(first.keys() - counts.keys()), sorted(counts.keys() - first.keys())
        if missing or more or not first:
            fault = f"{other} lacks {', '.join(missing[:3])}" if missing else f"{name} lacks {', '.join(more[:3])}"
            raise ValueError(f"a paired comparison needs the same problems: {fault if first else f'{name} has none'}")

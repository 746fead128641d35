"""The effect of each setting: the mean figure of the runs with each value of it, over all other settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtf_trl.evaluation import Estimate

from .table import Row, SweepTable

_MOST_LEVELS = 8
_BINS = 4
_RESAMPLES = 2000


@dataclass(frozen=True)
class Level:
    """A value of a setting, or a range of values.

    Args:
        label: The value or range as text.
        runs: Number of runs with it.
        mean: Their mean figure.
    """

    label: str
    runs: int
    mean: Estimate


def effects(table: SweepTable) -> dict[str, list[Level]]:
    """Return the levels of each setting with their marginal means; settings with fewer than two levels are left out.

    The 95% intervals come from a bootstrap over runs and over problems, the same problems for all runs of a level. A
    number with many values, as in a search, is divided into ranges with equal numbers of runs.
    """
    levels = {name: _levels(table.measured, name, table.figures[0]) for name in table.settings}
    return {name: found for name, found in levels.items() if len(found) > 1}


def _levels(measured: list[Row], name: str, figure: str) -> list[Level]:
    known = [row for row in measured if name in row.settings]
    values = sorted({row.settings[name] for row in known}, key=lambda value: (isinstance(value, str), value))
    if len(values) <= _MOST_LEVELS:
        groups = {show(value): [row for row in known if row.settings[name] == value] for value in values}
    elif any(isinstance(value, str) for value in values):
        return []  # about as many values as runs, so there is nothing to average
    else:
        known.sort(key=lambda row: row.settings[name])
        bins = [[known[index] for index in part] for part in np.array_split(np.arange(len(known)), _BINS)]
        groups = {f"{show(rows[0].settings[name])} to {show(rows[-1].settings[name])}": rows for rows in bins}
    return [Level(label, len(group), _marginal_mean(group, figure)) for label, group in groups.items()]


def _marginal_mean(rows: list[Row], figure: str) -> Estimate:
    values = np.array([row.figures[figure]["value"] for row in rows])
    rng = np.random.default_rng(0)
    runs = rng.integers(0, len(rows), (_RESAMPLES, len(rows)))
    tasks = sorted(set.intersection(*({*row.solved.get(figure, {})} for row in rows)))
    if tasks:
        solved = np.array([[row.solved[figure][task] for task in tasks] for row in rows])  # runs × problems
        weights = rng.multinomial(len(tasks), [1 / len(tasks)] * len(tasks), _RESAMPLES) / len(tasks)
        by_run = weights @ solved.T  # resamples × runs
    else:
        by_run = np.broadcast_to(values, (_RESAMPLES, len(rows)))
    low, high = np.percentile(np.take_along_axis(by_run, runs, axis=1).mean(axis=1), [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))


def show(value: float | str) -> str:
    """Return a setting's value as text."""
    return value if isinstance(value, str) else f"{value:.4g}"

"""pass@k with intervals, and the gain of one model over another on the same problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean over problems with its 95% interval.

    Args:
        value: The mean over problems, in [0, 1] (for a difference in [-1, 1]).
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate of pass@k, 1 − C(n−c, k) / C(n, k) (Codex, arXiv 2107.03374, eq. 1).

    Args:
        n: Number of candidates for the problem.
        c: How many of them pass.
        k: How many may be tried; at most ``n``.

    Raises:
        ValueError: Unless 1 <= k <= n and 0 <= c <= n.
    """
    if not 1 <= k <= n or not 0 <= c <= n:
        raise ValueError(f"pass@k needs 1 <= k <= n and 0 <= c <= n, got n={n}, c={c}, k={k}")
    if n - c < k:
        return 1.0
    return 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def mean_interval(values: Sequence[float], resamples: int = 10_000, seed: int = 0) -> Estimate:
    """Return the mean with a 95% percentile bootstrap interval over problems.

    Args:
        values: One value for each problem, or one difference for a paired comparison.
        resamples: Number of bootstrap resamples, a multiple of 100.
        seed: Seeds the resampling.

    Raises:
        ValueError: If there are no values.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise ValueError("no problems were evaluated: there is nothing to average")
    rng = np.random.default_rng(seed)
    # In blocks of 100: an index matrix for all resamples of a large benchmark would not fit into memory.
    means = [data[rng.integers(0, data.size, (100, data.size))].mean(axis=1) for _ in range(resamples // 100)]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Estimate(float(data.mean()), float(low), float(high))


def paired_gain(before: Sequence[float], after: Sequence[float], seed: int = 0) -> Estimate:
    """Return the mean gain from ``before`` to ``after`` on the same problems, with its 95% interval.

    Raises:
        ValueError: If the two do not have one value for each problem.
    """
    if len(before) != len(after):
        raise ValueError(f"a paired comparison needs the same problems: {len(before)} before, {len(after)} after")
    return mean_interval([b - a for a, b in zip(before, after, strict=True)], seed=seed)

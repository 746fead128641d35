"""A proportion, with its 95% interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z = 1.959964  # 95% of the standard normal distribution lie within -_Z and _Z


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the ends of the 95% interval of the proportion ``hits / count`` (Wilson, 1927).

    Args:
        hits: Number of successes.
        count: Number of trials, at least 1.
    """
    proportion = hits / count
    middle = (proportion + _Z * _Z / (2 * count)) / (1 + _Z * _Z / count)
    half = (
        _Z * math.sqrt(proportion * (1 - proportion) / count + _Z * _Z / (4 * count * count)) / (1 + _Z * _Z / count)
    )
    return max(middle - half, 0.0), min(middle + half, 1.0)


@dataclass(frozen=True)
class Share:
    """A proportion with its 95% interval.

    Args:
        share: The proportion, from 0 to 1.
        low: The interval's lower end.
        high: Its upper end.
        n: Number of trials.
        expected: The proportion to compare with: that of chance, or of others; ``None`` where it is not known.
    """

    share: float
    low: float
    high: float
    n: int
    expected: float | None = None

    @classmethod
    def of(cls, hits: int, count: int, expected: float | None = None) -> Share:
        """Return the proportion ``hits / count``, where ``count`` is at least 1."""
        return cls(hits / count, *wilson(hits, count), count, expected)

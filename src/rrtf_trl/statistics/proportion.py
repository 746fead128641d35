"""A share, with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z = 1.959964  # of the normal distribution, 95% lie within


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the ends of the 95% interval of the share ``hits / count`` (Wilson, 1927).

    Args:
        hits: How often something was so.
        count: Out of how many, at least 1.
    """
    share = hits / count
    middle = (share + _Z * _Z / (2 * count)) / (1 + _Z * _Z / count)
    half = _Z * math.sqrt(share * (1 - share) / count + _Z * _Z / (4 * count * count)) / (1 + _Z * _Z / count)
    return max(middle - half, 0.0), min(middle + half, 1.0)


@dataclass(frozen=True)
class Share:
    """How often something was so, with its 95% interval.

    Args:
        share: From 0 to 1.
        low: The interval's lower end.
        high: Its upper end.
        n: Out of how many.
        expected: The share that would say nothing: chance, or what others have; ``None`` where it is not known.
    """

    share: float
    low: float
    high: float
    n: int
    expected: float | None = None

    @classmethod
    def of(cls, hits: int, count: int, expected: float | None = None) -> Share:
        """Return the share of ``hits`` in ``count``, which is at least 1."""
        return cls(hits / count, *wilson(hits, count), count, expected)

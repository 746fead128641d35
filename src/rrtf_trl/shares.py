"""The uncertainty of a share."""

from __future__ import annotations

import math

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

"""Whether an answer is the expected value: as Python compares, exactly, and in bounded time."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from rrtf_trl.sandbox.common.compare import same
from rrtf_trl.sandbox.common.messages import short

BIG = 2**53 + 1


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = [leaf]
    return leaf


@pytest.mark.parametrize(
    ("expected", "answer", "atol", "equal"),
    [
        # integers beside floats
        (BIG, float(BIG), 0, False),
        (float(BIG), BIG, 0, False),
        (BIG, float(BIG), 0.5, False),
        (BIG, float(BIG), 1, True),
        (BIG, np.float64(BIG), 0, False),
        (np.int64(BIG), float(BIG), 0, False),
        ([np.int64(BIG)], [np.float64(BIG)], 0, False),
        (np.array([BIG]), np.array([float(BIG)]), 0, False),
        (10**400, 10**400 + 1, 1, True),
        (10**400, 10**400 + 2, 1, False),
        (10**400, 1.5, 1, False),
        (10**400, math.inf, 1, False),
        (10**400, 1j, 1, False),
        (0.5, 1, 0.5, True),
        (0.1, np.float32(0.1), 0, False),
        (0.1, np.float32(0.1), 1e-6, True),
        (1, True, 0, True),
        (1 + 1j, 1 + 1.01j, 0.1, True),
        (math.nan, math.inf, 1, False),
        (Decimal("NaN"), Decimal("NaN"), 0, True),
        (Decimal("sNaN"), Decimal("sNaN"), 0, False),
        (1, Decimal("sNaN"), 0, False),
        (Decimal("0.1"), 0.1, 0, False),
        (Fraction(1, 2), 0.5, 0, True),
        # containers
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), 0, False),
        (OrderedDict(a=1, b=2), {"b": 2, "a": 1}, 0, True),
        ({"a": 1, "b": 2}, OrderedDict(b=2, a=1), 0, True),
        (OrderedDict(a=1.0), OrderedDict(a=1.1), 0.2, True),
        (Counter(a=1, b=0), Counter(a=1), 0, True),
        (Counter(a=1), Counter(a=2), 0, False),
        (Counter(a=1), Counter(a=1, b=1), 0, False),
        ({"a": 1, "b": 0}, Counter(a=1), 0, False),
        (deque([1, math.nan]), deque([1, math.nan]), 0, True),
        (deque([1]), [1], 0, False),
        (deque([1]), deque([1, 2]), 0, False),
        ([1], deque([1]), 0, False),
        (range(10**12), range(10**12), 0, True),
        ([0, 1], range(2), 0, False),
        (nested(950, 1), nested(950, 1), 0, True),
        (nested(950, 1), nested(950, 2), 0, False),
        (nested(950, 1), nested(949, 1), 0, False),
        ("\U0001f600", "\ud83d\ude00", 0, False),
        # arrays
        ([1, 2], np.array(["1", "2"]), 0, False),
        ([1, "2"], np.array(["1", "2"]), 0, False),
        (["1", "2"], np.array(["1", "2"]), 0, True),
        (np.array([1, 2]), np.array(["1", "2"]), 0, False),
        (np.array([1, 2]), [1, 2], 0, False),
        ([1, 2], np.array([1.0, 2.0]), 0, True),
        ((1, 2), np.array([1, 2]), 0, True),
        ([[1], [2]], np.array([1, 2]), 0, False),
        ([1, 2], np.array([[1, 2]]), 0, False),
        ([[], []], np.zeros((2, 0)), 0, True),
        ([np.array([1, 2]), (3, 4)], np.array([[1, 2], [3, 4]]), 0, True),
        (5, np.array(5), 0, True),
        (5, np.array([5]), 0, False),
        ([1.0, math.nan], np.array([1.01, math.nan]), 0.1, True),
        ("ab", np.array(["a", "b"]), 0, False),
        ({"a": np.array([1, 2])}, {"a": np.array([1, 2])}, 0, True),
        (np.array(["2020-01-01"], "M8[D]"), np.array([18262]), 0, False),
        (np.array([1], "M8[ns]"), np.array([1], "m8[ns]"), 0, False),
        (np.array([1, "NaT"], "M8[s]"), np.array([1000, "NaT"], "M8[ms]"), 0, True),
        (np.datetime64("NaT"), np.timedelta64("NaT"), 0, False),
        (np.datetime64("NaT"), math.nan, 0, False),
        (np.zeros(1, [("a", "i4")]), np.zeros(1, [("b", "i4")]), 0, False),
    ],
)
def test_same(expected: Any, answer: Any, atol: float, equal: bool) -> None:
    assert same(expected, answer, atol) is equal


def test_what_cannot_be_printed_is_described() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise KeyError

    for value in (10**5000, [10**5000], nested(2000, 1), Silent(), [Silent()], np.frombuffer(b"\x7f" * 4, "<U1")):
        assert "cannot be printed" in short(value)

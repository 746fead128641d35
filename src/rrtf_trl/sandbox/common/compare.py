"""Whether an answer equals what a test expects."""

from __future__ import annotations

import math
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import Any, Literal

from .messages import short

_EXACT_FLOAT = 1 << 53
"""Integers up to here are floats too."""


def same(expected: Any, answer: Any, atol: float) -> bool:
    """Return whether two values of plain data are equal: by ``==``, but a nan equals a nan.

    Args:
        expected: What the test expects.
        answer: What the program returned. A list never equals a tuple. Two ``OrderedDict`` have the same order.
        atol: Absolute tolerance for numbers, inside lists, tuples, deques, dict values and NumPy arrays too.
    """
    waiting: list[Iterator[tuple[Any, Any]]] = [iter([(expected, answer)])]  # not recursive: data may be deep
    while waiting:
        pair = next(waiting[-1], None)
        if pair is None:
            waiting.pop()
            continue
        inner = _inner_pairs(*pair)
        if inner is None and not _same_item(*pair, atol):
            return False
        if inner is False:
            return False
        if inner:
            waiting.append(inner)
    return True


def _inner_pairs(expected: Any, answer: Any) -> Iterator[tuple[Any, Any]] | Literal[False] | None:
    """Return what has to be equal for two containers to be so, False where they are not, None if they are none."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and (isinstance(expected, numpy.ndarray) or isinstance(answer, numpy.ndarray)):
        return _inner_pairs_of_arrays(expected, answer, numpy)
    if isinstance(expected, list | tuple | deque):
        if not isinstance(answer, type(expected)) or len(answer) != len(expected):
            return False
        return zip(expected, answer, strict=True)
    if isinstance(expected, Counter) and isinstance(answer, Counter):
        return ((expected[key], answer[key]) for key in [*expected, *answer])  # what is missing counts as 0
    if isinstance(expected, dict):
        if not isinstance(answer, dict) or answer.keys() != expected.keys():
            return False
        ordered = isinstance(expected, OrderedDict) and isinstance(answer, OrderedDict)
        if ordered and list(expected) != list(answer):
            return False
        return ((value, answer[key]) for key, value in expected.items())
    return None


def _inner_pairs_of_arrays(expected: Any, answer: Any, numpy: Any) -> Iterator[tuple[Any, Any]] | Literal[False]:
    """As :func:`_inner_pairs`; an array may stand for the expected lists, never lists for an expected array."""
    if not isinstance(answer, numpy.ndarray):
        return False
    if isinstance(expected, numpy.ndarray):
        same_form = expected.shape == answer.shape and expected.dtype.names == answer.dtype.names
        masked = sys.modules.get("numpy.ma")
        if masked is not None:
            same_form &= isinstance(expected, masked.MaskedArray) == isinstance(answer, masked.MaskedArray)
        return zip(_items(expected), _items(answer), strict=True) if same_form else False
    # Item by item: as an array, the expected lists would lose trailing NULs, and numbers beside text become text.
    level = [expected]
    for size in answer.shape:
        if any(not isinstance(part, list | tuple | numpy.ndarray) or len(part) != size for part in level):
            return False
        level = [item for part in level for item in part]
    return zip(level, _items(answer), strict=True)


def _items(array: Any) -> list[Any]:
    """Return all items of an array; dates stay NumPy's, which Python's may not be able to hold."""
    flat = array.ravel()
    return list(flat) if array.dtype.kind in "mM" else list(flat.tolist())


def _same_item(expected: Any, answer: Any, atol: float) -> bool:
    expected, answer = _plain_number(expected), _plain_number(answer)
    numbers = isinstance(expected, int | float | complex) and isinstance(answer, int | float | complex)
    try:
        if bool(expected == answer):
            return True
        if (numbers or type(expected) is type(answer)) and bool(answer != answer):  # nan, or NumPy's NaT
            return bool(expected != expected)
    except Exception:  # decimal.InvalidOperation, for instance
        return False
    return numbers and atol > 0 and _are_close(expected, answer, atol)


def _plain_number(value: Any) -> Any:
    """Return a number of NumPy's as one of Python's, which compares exactly: NumPy rounds integers to floats."""
    numpy = sys.modules.get("numpy")
    is_number = numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in "biufc"
    return value.item() if is_number else value


def _are_close(expected: Any, answer: Any, atol: float) -> bool:
    """Return whether two numbers differ by at most ``atol``; large integers are not rounded to floats."""
    mixed = {type(expected), type(answer)} >= {int, float}
    try:
        if mixed and max(abs(expected), abs(answer)) >= _EXACT_FLOAT:
            from fractions import Fraction  # here: few tests need it

            return abs(Fraction(expected) - Fraction(answer)) <= atol
        return bool(abs(expected - answer) <= atol)
    except (OverflowError, ValueError):  # a large integer beside a complex number, or beside an infinity
        return False


def first_difference(printed: bytes, expected: bytes, blanks: bool, tolerance: float) -> str:
    """Describe where a program's output first differs from the expected one; empty where it does not.

    Args:
        printed: What the program printed.
        expected: What it should have printed.
        blanks: Whether to ignore white space at line ends, and empty lines at the end.
        tolerance: By how much numbers may differ, absolutely or relatively; 0 compares text.
    """
    if printed == expected:
        return ""
    left, right = _lines(printed, blanks), _lines(expected, blanks)
    for number, (got, wanted) in enumerate(zip(left, right, strict=False), 1):
        if got != wanted and not (tolerance and _close(got, wanted, tolerance)):
            return f"line {number}: expected {_shown(wanted)}, got {_shown(got)}"
    return "" if len(left) == len(right) else f"expected {len(right)} lines, got {len(left)}"


def _lines(text: bytes, blanks: bool) -> list[bytes]:
    if not blanks:
        return text.split(b"\n")
    return [line.rstrip() for line in text.rstrip().split(b"\n")]


def _close(got: bytes, wanted: bytes, tolerance: float) -> bool:
    left, right = got.split(), wanted.split()
    if len(left) != len(right):
        return False
    for one, other in zip(left, right, strict=True):
        if one == other:
            continue
        try:
            numbers = float(one), float(other)
        except ValueError:
            return False
        if not math.isclose(*numbers, rel_tol=tolerance, abs_tol=tolerance):
            return False
    return True


def _shown(line: bytes) -> str:
    return short(line.decode("utf-8", "replace"))

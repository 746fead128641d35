"""Whether an answer equals what a test expects."""

from __future__ import annotations

import math
import sys
from typing import Any

from .messages import short


def same(expected: Any, answer: Any, atol: float) -> bool:
    """Return whether two values of plain data are equal: by ``==``, but a nan equals a nan.

    Args:
        expected: What the test expects.
        answer: What the program returned. A list never equals a tuple.
        atol: Absolute tolerance for numbers, inside lists, tuples, dict values and NumPy arrays too.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and (isinstance(expected, numpy.ndarray) or isinstance(answer, numpy.ndarray)):
        return _same_array(expected, answer, atol, numpy)
    if isinstance(expected, list | tuple):
        if not isinstance(answer, type(expected)) or len(answer) != len(expected):
            return False
        return all(same(left, right, atol) for left, right in zip(expected, answer, strict=True))
    if isinstance(expected, dict):
        if not isinstance(answer, dict) or answer.keys() != expected.keys():
            return False
        return all(same(value, answer[key], atol) for key, value in expected.items())
    if bool(expected == answer):
        return True
    if isinstance(expected, int | float | complex) and isinstance(answer, int | float | complex):
        if expected != expected or answer != answer:
            return expected != expected and answer != answer
        try:
            return atol > 0 and not math.isinf(abs(expected)) and abs(expected - answer) <= atol
        except OverflowError:  # an integer too large for a float
            return False
    return False


def _same_array(expected: Any, answer: Any, atol: float, numpy: Any) -> bool:
    if not isinstance(answer, numpy.ndarray) or answer.shape != numpy.shape(expected):
        return False
    return same(numpy.asarray(expected).tolist(), answer.tolist(), atol)


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

"""When an answer equals what a test expects."""

from __future__ import annotations

import math
from typing import Any

from .session import short


def same(expected: Any, answer: Any, atol: float) -> bool:
    """Whether two values of plain data are equal: as ``==`` says, but a nan equals a nan.

    Args:
        expected: What the test wants.
        answer: What the program returned. A list never equals a tuple.
        atol: Absolute tolerance for numbers, inside lists, tuples and dict values too.
    """
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


def lines(text: str) -> list[str]:
    """The lines of a program's output that count: no white space at line ends, no empty lines at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")]


def first_difference(answer: list[str], expected: list[str]) -> str:
    """Say where two outputs differ first."""
    for number, (left, right) in enumerate(zip(answer, expected, strict=False), 1):
        if left != right:
            return f"line {number}: expected {short(right)}, got {short(left)}"
    return f"expected {len(expected)} lines, got {len(answer)}"

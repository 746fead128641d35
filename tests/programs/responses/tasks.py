"""The tasks that the responses answer, each with tests in plain Python, and the pieces that responses are made of."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from typing import Any

CHAT = [{"role": "user", "content": "Return the running maximum of a list, as top."}]
PROSE = "Return the running maximum of a list, as top."
HEAD = '''from typing import List


def top(xs: List[int]) -> List[int]:
    """Return the running maximum.

    >>> top([1, 3, 2])
    [1, 3, 3]
    """
'''
QUOTED = '"""\nReturn the running maximum of a list.\nassert top([1, 3, 2]) == [1, 3, 3]\n"""\n'
METHOD_CHAT = [{"role": "user", "content": "Return the places of two numbers whose sum is t, as Solution.two_sum."}]
METHOD_HEAD = "class Solution:\n    def two_sum(self, xs: list[int], t: int) -> list[int]:\n"
STDIO_CHAT = [{"role": "user", "content": "Read n, then n numbers on a line. Print their sum."}]
STDIO_QUOTED = '"""\nRead n, then n numbers on a line. Print their sum.\n"""\n'
STDIO_HASH = "# Read n, then n numbers on a line. Print their sum.\n"

BODY = """\
    out = []
    for x in xs:
        out.append(max(out[-1:] + [x]))
    return out
"""
RIGHT = "def top(xs):\n" + BODY
TYPED = "def top(xs: List[int]) -> List[int]:\n" + BODY
SHORT = "def top(xs):\n    return [max(xs[: i + 1]) for i in range(len(xs))]\n"
WRONG = "def top(xs):\n    return [max(xs)] * len(xs)\n"
ACCUMULATE = "from itertools import accumulate\n\n\ndef top(xs):\n    return list(accumulate(xs, max))\n"
TWO_SUM_BODY = """\
        seen = {}
        for i, x in enumerate(xs):
            if t - x in seen:
                return [seen[t - x], i]
            seen[x] = i
"""
TWO_SUM = "class Solution:\n    def two_sum(self, xs, t):\n" + TWO_SUM_BODY
ADD = "n = int(input())\nprint(sum(map(int, input().split())))\n"
ADD_WRONG = "n = int(input())\na = list(map(int, input().split()))\nprint(max(a) * n)\n"
ADD_MAIN = """\
import sys


def main():
    n, *rest = map(int, sys.stdin.read().split())
    print(sum(rest[:n]))


if __name__ == "__main__":
    main()
"""


@dataclass(frozen=True)
class Case:
    """A response of a family's manner.

    Args:
        family: The models that write so.
        kind: What is special about it.
        response: The text.
        program: The program that it gives as its answer; None where it gives none that could pass.
        prompt: What was asked.
        entry_point: What the program is to define; None for a whole program.
        ended: Whether the program's end is seen in it; None where that does not matter.
    """

    family: str
    kind: str
    response: str
    program: str | None
    prompt: Any
    entry_point: str | None = "top"
    ended: bool | None = None


def solves(code: str, entry_point: str | None) -> bool:
    """Return whether a program, which was written for these tests, solves its task."""
    space: dict[str, Any] = {"__name__": "__main__"}
    stdin, stdout = sys.stdin, io.StringIO()
    sys.stdin = io.StringIO("3\n1 2 3\n")
    try:
        with contextlib.redirect_stdout(stdout):
            exec(compile(code, "<program>", "exec", dont_inherit=True), space)
            if entry_point is None:
                return stdout.getvalue().split() == ["6"]
            if entry_point == "top":
                return space["top"]([1, 3, 2]) == [1, 3, 3] and space["top"]([]) == []
            return space["Solution"]().two_sum([2, 7, 11], 18) == [1, 2]
    except Exception:
        return False
    finally:
        sys.stdin = stdin

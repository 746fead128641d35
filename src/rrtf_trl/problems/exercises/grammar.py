"""What an exercise is made of: parts, each with how it is said, written, and got wrong.

"Return the sum of the squares of the even numbers in xs." is the source ``xs``, the filter "even", the
map "squares" and the reduction "sum". The tables of parts are in :mod:`.number_parts` and
:mod:`.word_parts`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "word"]
Constants = dict[str, int | str]

FROM_2_TO_9 = (2, 3, 4, 5, 6, 7, 8, 9)
COUNTS = (2, 3, 4)
LETTERS = ("a", "e", "i", "o", "r", "s", "t")


@dataclass(frozen=True)
class Part:
    """One entry of the tables.

    Phrases and code are format strings. ``{k}`` is the part's constant, ``{j}`` one less and ``{m}`` four
    more. A source's phrase ("numbers in xs") is what a filter's phrase calls ``{items}``; the phrase of a
    map or a reduction says ``{these}`` for what it is applied to.

    Args:
        name: Unique among the parts of its table.
        phrases: Ways to say it; one is drawn.
        right: The code. A source is an iterable; a filter a condition on ``x`` (on ``w`` for words), or a
            slice of ``{items}``; a map an expression in ``x``; a reduction statements over the list ``ys``.
        percent: How often a pre-training document writes it right.
        wrong: Plausible mistakes and how often a document makes each: with ``percent`` they make 100.
        constants: What ``{k}`` is drawn from; empty if the part has no constant.
        takes: What a reduction works on.
        gives: What a map turns its elements into.
        signature: A source's parameters.
    """

    name: str
    phrases: tuple[str, ...]
    right: str
    percent: int
    wrong: dict[str, int]
    constants: tuple[int | str, ...] = ()
    takes: Kind = "number"
    gives: Kind = "number"
    signature: str = ""

    def __post_init__(self) -> None:
        total = self.percent + sum(self.wrong.values())
        if total != 100:
            raise ValueError(f"the percentages of {self.name!r} make {total}, not 100")

    def draw_constants(self, rng: random.Random) -> Constants:
        """Return values for ``{k}``, ``{j}`` and ``{m}``, or nothing if the part has no constant."""
        if not self.constants:
            return {}
        k = rng.choice(self.constants)
        return {"k": k} if isinstance(k, str) else {"k": k, "j": k - 1, "m": k + 4}

    def draw_code(self, rng: random.Random) -> str:
        """Return the right code or a wrong one, each as often as the table says."""
        return rng.choices([self.right, *self.wrong], [self.percent, *self.wrong.values()])[0]

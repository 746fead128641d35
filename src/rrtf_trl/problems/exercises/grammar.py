"""The parts of exercises, each with its phrases, its code and its plausible mistakes.

"Return the sum of the squares of the even numbers in xs." is the source ``xs``, the filter "even", the
map "squares" and the reduction "sum". The tables of parts are in :mod:`.number_parts` and
:mod:`.word_parts`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
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
    more. ``{items}`` in a filter's phrase is the source's phrase ("numbers in xs"); ``{these}`` in the phrase of a map
    or a reduction is the phrase that it is applied to.

    Args:
        name: Unique among the parts of its table.
        phrases: Its wordings; one is drawn.
        right: The code. A source is an iterable; a filter a condition on ``x`` (on ``w`` for words), or a
            slice of ``{items}``; a map an expression in ``x``; a reduction statements over the list ``ys``.
        wrong: Plausible mistakes, each with its percentage in pre-training documents; the others have the right code.
        constants: The values of ``{k}``; empty if the part has no constant.
        takes: The type of the elements of a reduction's list.
        gives: The type of a map's results.
        signature: A source's parameters.
    """

    name: str
    phrases: tuple[str, ...]
    right: str
    wrong: dict[str, int] = field(default_factory=dict)
    constants: tuple[int | str, ...] = ()
    takes: Kind = "number"
    gives: Kind = "number"
    signature: str = ""

    def __post_init__(self) -> None:
        if sum(self.wrong.values()) > 100:
            raise ValueError(f"the percentages of the mistakes of {self.name!r} sum to more than 100")

    def draw_constants(self, rng: random.Random) -> Constants:
        """Return values for ``{k}``, ``{j}`` and ``{m}``; empty if the part has no constant."""
        if not self.constants:
            return {}
        k = rng.choice(self.constants)
        return {"k": k} if isinstance(k, str) else {"k": k, "j": k - 1, "m": k + 4}

    def draw_code(self, rng: random.Random) -> str:
        """Return the right code or a mistake, drawn by their percentages."""
        mistakes = self.wrong.values()
        return rng.choices([self.right, *self.wrong], [100 - sum(mistakes), *mistakes])[0]

"""Compositions of parts, their two splits, and an exercise as it is said: constants, phrases, prompt."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from rrtf_trl.records import content_hash

from . import number_parts, word_parts
from .grammar import Constants, Kind, Part

Split = Literal["train", "heldout"]

ROLES = ("source", "filter", "map", "reduction")
"""The parts of a composition, in the order in which they apply."""


@dataclass(frozen=True)
class Composition:
    """A source, a filter, a map and a reduction that fit together; what the source yields is its ``kind``."""

    kind: Kind
    source: Part
    filter: Part
    map: Part
    reduction: Part

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by role, in the order in which they apply."""
        return {role: getattr(self, role) for role in ROLES}

    @property
    def names(self) -> dict[str, str]:
        """The names of the parts by role."""
        return {role: part.name for role, part in self.parts.items()}

    @property
    def split(self) -> Split:
        """A fifth of the compositions are held out, by a hash of the names: no list and no seed."""
        return "heldout" if int(content_hash(*self.names.values()), 16) % 5 == 0 else "train"


@cache
def compositions(split: Split) -> tuple[Composition, ...]:
    """Return every composition of a split, always in the same order."""
    return tuple(composition for composition in _all_compositions() if composition.split == split)


def _all_compositions() -> Iterator[Composition]:
    reductions = (*number_parts.REDUCTIONS, *word_parts.REDUCTIONS)
    kinds: tuple[Kind, Kind] = ("number", "word")
    for kind, table in zip(kinds, (number_parts, word_parts), strict=True):
        for source in table.SOURCES:
            for condition in table.FILTERS:
                for mapping in table.MAPS:
                    for reduction in reductions:
                        if reduction.takes == mapping.gives:
                            yield Composition(kind, source, condition, mapping, reduction)


@dataclass(frozen=True)
class Exercise:
    """A composition with its constants drawn, by role, and its prompt."""

    composition: Composition
    constants: dict[str, Constants]
    prompt: str

    @classmethod
    def draw(cls, composition: Composition, rng: random.Random) -> Exercise:
        """Draw constants and phrases for a composition."""
        constants = {role: part.draw_constants(rng) for role, part in composition.parts.items()}
        items = rng.choice(composition.source.phrases)
        these = ""
        for role in ROLES[1:]:
            phrase = rng.choice(composition.parts[role].phrases)
            these = phrase.format(items=items, these=these, **constants[role])
        prompt = f'"""Return {these}."""\ndef solve({composition.source.signature}):\n'
        return cls(composition, constants, prompt)

    def right_code(self) -> dict[str, str]:
        """Return the right code of every part, with the constants filled in."""
        return self._filled({role: part.right for role, part in self.composition.parts.items()})

    def drawn_code(self, rng: random.Random) -> dict[str, str]:
        """Return code for every part, right or wrong as often as the tables say."""
        return self._filled({role: part.draw_code(rng) for role, part in self.composition.parts.items()})

    def _filled(self, code: dict[str, str]) -> dict[str, str]:
        # A slice keeps its {items}: it depends on the style whether that is the source or a variable.
        return {role: code[role].format(items="{items}", **self.constants[role]) for role in ROLES}

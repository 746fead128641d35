"""Compositions of parts, their two splits, and exercises: compositions with constants and a prompt."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import ModuleType
from typing import Literal, get_args

from rrtf_trl.records import content_hash

from . import number_parts, word_parts
from .grammar import Constants, Kind, Part

Split = Literal["train", "heldout"]
Level = Literal[1, 2, 3]
"""The difficulty: one filter and one map; one filter and two maps; two filters and two maps."""
LEVELS: tuple[Level, ...] = get_args(Level)

ROLES = ("source", "filter", "second_filter", "map", "second_map", "reduction")
"""The parts of a composition, in the order in which they apply; second ones only at the harder levels."""

_TABLES: dict[Kind, ModuleType] = {"number": number_parts, "word": word_parts}
_REDUCTIONS = (*number_parts.REDUCTIONS, *word_parts.REDUCTIONS)


@dataclass(frozen=True)
class Composition:
    """A source, filters, maps and a reduction that fit together; ``kind`` is the type of the source's elements."""

    kind: Kind
    source: Part
    filter: Part
    map: Part
    reduction: Part
    second_filter: Part | None = None
    second_map: Part | None = None

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by role, in the order in which they apply."""
        parts = {role: getattr(self, role) for role in ROLES}
        return {role: part for role, part in parts.items() if part is not None}

    @property
    def names(self) -> dict[str, str]:
        """The names of the parts by role."""
        return {role: part.name for role, part in self.parts.items()}

    @property
    def split(self) -> Split:
        """The split: a fifth of the compositions are held out, by a hash of the names."""
        return "heldout" if int(content_hash(*self.names.values()), 16) % 5 == 0 else "train"


@cache
def compositions(split: Split) -> tuple[Composition, ...]:
    """Return every composition of a split at level 1, always in the same order."""
    return tuple(composition for composition in _all_compositions() if composition.split == split)


def draw_composition(split: Split, level: Level, rng: random.Random) -> Composition:
    """Return one of a split's compositions at a level."""
    if level == 1:
        return rng.choice(compositions(split))
    while True:
        composition = _draw(level, rng)
        if composition.split == split:
            return composition


def _all_compositions() -> Iterator[Composition]:
    for kind, table in _TABLES.items():
        for source, condition, mapping, reduction in product(table.SOURCES, table.FILTERS, table.MAPS, _REDUCTIONS):
            if reduction.takes == mapping.gives:
                yield Composition(kind, source, condition, mapping, reduction)


def _draw(level: Level, rng: random.Random) -> Composition:
    """Draw parts that have an effect; a second filter is not a slice."""
    kind, source = rng.choice([(kind, part) for kind, table in _TABLES.items() for part in table.SOURCES])
    table = _TABLES[kind]
    second_filter = None
    if level == 3:
        condition = rng.choice([part for part in table.FILTERS if part.right])
        conditions = [part for part in table.FILTERS if part.right and "{items}" not in part.right]
        second_filter = rng.choice([part for part in conditions if part != condition])
    else:
        condition = rng.choice(table.FILTERS)
    mapping = rng.choice(_maps(kind))
    second_map = rng.choice(_maps(mapping.gives))
    reduction = rng.choice([part for part in _REDUCTIONS if part.takes == second_map.gives])
    return Composition(kind, source, condition, mapping, reduction, second_filter, second_map)


def _maps(kind: Kind) -> list[Part]:
    return [part for part in _TABLES[kind].MAPS if part.name != "same"]


@dataclass(frozen=True)
class Exercise:
    """A composition with drawn constants, by role, and its prompt."""

    composition: Composition
    constants: dict[str, Constants]
    prompt: str

    @property
    def k_by_role(self) -> dict[str, int | str]:
        """The constant ``k`` of each part that has one, by role."""
        return {role: drawn["k"] for role, drawn in self.constants.items() if drawn}

    @classmethod
    def draw(cls, composition: Composition, rng: random.Random) -> Exercise:
        """Draw constants and phrases for a composition."""
        constants = {role: part.draw_constants(rng) for role, part in composition.parts.items()}
        items = rng.choice(composition.source.phrases)
        these = ""
        for role, part in composition.parts.items():
            if role != "source":
                these = rng.choice(part.phrases).format(items=items, these=these, **constants[role])
                items = these.removeprefix("the ")  # for a second filter
        prompt = f'"""Return {these}."""\ndef solve({composition.source.signature}):\n'
        return cls(composition, constants, prompt)

    def right_code(self) -> dict[str, str]:
        """Return the right code of every part, with the constants filled in."""
        return self._filled({role: part.right for role, part in self.composition.parts.items()})

    def drawn_code(self, rng: random.Random) -> dict[str, str]:
        """Return code for every part, right or wrong as often as the tables say."""
        return self._filled({role: part.draw_code(rng) for role, part in self.composition.parts.items()})

    def _filled(self, code: dict[str, str]) -> dict[str, str]:
        # A slice keeps its {items}, which is the source or a variable, depending on the style.
        return {role: text.format(items="{items}", **self.constants[role]) for role, text in code.items()}

"""How far people agree, and which way each of them leans.

Krippendorff's alpha (Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011; computed by the
package ``krippendorff``) is 1 for perfect agreement and 0 for what chance would give:

- *ordinal, on ranks*: a unit is an answer of an item, its value the rank that a person gave it, ties at their
  mean rank, scaled to 0 … 1 so that items of different length go together;
- *nominal, on pairs*: a unit is a pair of answers of an item, its value which one is better, or a tie.

Ranks of one item depend on each other, so alpha says less about chance here than for independent units; the
plain share of agreeing pairs stands beside it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from rrtf_trl.errors import UserError
from rrtf_trl.statistics.proportion import Share

from .labels import Label, Ledger

_STANDING = ("reference", "human", "teacher", "student")


@dataclass
class Between:
    """Two people: the share of pairs of answers of which they say the same, ties included."""

    one: str
    other: str
    agreement: float
    pairs: int
    items: int


@dataclass
class Person:
    """One person's habits.

    Args:
        name: Their name.
        labels: Items that they ranked.
        skipped: Items that they skipped.
        seconds: Median attention to an item, or ``None``.
        ties: The share of pairs that they tied.
        looked_at_tests: The share of their items where they looked at test results.
        earlier: How often the answer that stood earlier on the page won; 0.5 is no bias.
        longer: How often the longer answer won; compare it with ``others``.
        sources: How often an answer of one source won against one of another, by ``"teacher over student"``;
            compare it with ``others``.
    """

    name: str
    labels: int
    skipped: int
    seconds: float | None
    ties: float
    looked_at_tests: float
    earlier: Share | None = None
    longer: Share | None = None
    sources: dict[str, Share] = field(default_factory=dict)


@dataclass
class Agreement:
    """What :func:`agreement` finds.

    Args:
        items: Items with a label.
        shared: Items with labels by two people or more.
        labels: All labels.
        alpha_ranks: Krippendorff's alpha, ordinal, on ranks; ``None`` where it is not defined.
        alpha_pairs: Krippendorff's alpha, nominal, on pairs; ``None`` where it is not defined.
        between: Any two people who ranked the same answers.
        people: Everybody.
    """

    items: int
    shared: int
    labels: int
    alpha_ranks: float | None
    alpha_pairs: float | None
    between: list[Between]
    people: list[Person]


def agreement(ledger: Ledger) -> Agreement:
    """Return how far the people of a labels file agree, and each one's biases."""
    labels = ledger.labels()
    on_item: dict[str, list[Label]] = {}
    for label in labels:
        on_item.setdefault(label.item.item_id, []).append(label)
    return Agreement(
        items=len(on_item),
        shared=sum(len(found) > 1 for found in on_item.values()),
        labels=len(labels),
        alpha_ranks=_alpha(_ranks(labels), "ordinal"),
        alpha_pairs=_alpha(_verdicts(labels), "nominal"),
        between=_between(on_item.values()),
        people=_people(ledger, labels),
    )


# -- Krippendorff's alpha ----------------------------------------------------------------------------------

_Values = dict[str, dict[tuple[str, ...], float]]  # by person, by unit


def _ranks(labels: Iterable[Label]) -> _Values:
    """Return each person's mean ranks, scaled to 0 (best) … 1 (worst)."""
    values: _Values = {}
    for label in labels:
        given = sorted(label.ranks.values())
        for answer, rank in label.ranks.items():
            mean = given.index(rank) + (given.count(rank) - 1) / 2
            unit = (label.item.item_id, answer)
            values.setdefault(label.annotator, {})[unit] = round(mean / (len(given) - 1), 6)
    return values


def _verdicts(labels: Iterable[Label]) -> _Values:
    """Return each person's verdict on each pair of answers: 1, −1, or 0 for a tie."""
    values: _Values = {}
    for label in labels:
        for one, other, better in label.pairs():
            values.setdefault(label.annotator, {})[label.item.item_id, one, other] = float(better)
    return values


def _alpha(values: _Values, level: Literal["ordinal", "nominal"]) -> float | None:
    """Return alpha, or ``None`` where no unit has two values or all values are the same."""
    try:
        import krippendorff
        import numpy as np
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'rrtf-trl[label]'") from None

    times: dict[tuple[str, ...], int] = {}
    for given in values.values():
        for unit in given:
            times[unit] = times.get(unit, 0) + 1
    units = [unit for unit, count in times.items() if count > 1]
    data = [[given.get(unit, math.nan) for unit in units] for given in values.values()]
    if not units or len({value for row in data for value in row if not math.isnan(value)}) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=np.array(data), level_of_measurement=level))


# -- Two people --------------------------------------------------------------------------------------------


def _between(items: Iterable[list[Label]]) -> list[Between]:
    found: dict[tuple[str, str], Between] = {}
    for labels in items:
        for a, b in combinations(sorted(labels, key=lambda label: label.annotator), 2):
            mine, theirs = ({(x, y): better for x, y, better in label.pairs()} for label in (a, b))
            both = mine.keys() & theirs.keys()
            if both:
                two = found.setdefault((a.annotator, b.annotator), Between(a.annotator, b.annotator, 0.0, 0, 0))
                two.agreement += sum(mine[pair] == theirs[pair] for pair in both)
                two.pairs += len(both)
                two.items += 1
    for two in found.values():
        two.agreement /= two.pairs
    return [found[key] for key in sorted(found)]


# -- One person --------------------------------------------------------------------------------------------

_Said = dict[tuple[str, str], list[tuple[str, int]]]  # who said what of each pair of answers


def _people(ledger: Ledger, labels: list[Label]) -> list[Person]:
    said: _Said = {}
    for label in labels:
        for one, other, better in label.pairs():
            said.setdefault((one, other), []).append((label.annotator, better))
    people = []
    for name, annotator in ledger.annotators.items():
        own = [label for label in labels if label.annotator == name]
        if own or annotator.skipped:
            seconds = [label.seconds for label in own if label.seconds is not None]
            pairs = [better for label in own for _, _, better in label.pairs()]
            people.append(
                Person(
                    name=name,
                    labels=len(own),
                    skipped=len(annotator.skipped),
                    seconds=statistics.median(seconds) if seconds else None,
                    ties=sum(better == 0 for better in pairs) / len(pairs) if pairs else 0.0,
                    looked_at_tests=sum("tests" in label.looked for label in own) / len(own) if own else 0.0,
                    earlier=_earlier(own),
                    longer=_longer(ledger, own, said, name),
                    sources=_sources(ledger, own, said, name),
                )
            )
    return people


def _earlier(labels: list[Label]) -> Share | None:
    won = [
        (label.shown.index(one) < label.shown.index(other)) == (better > 0)
        for label in labels
        if label.shown
        for one, other, better in label.pairs()
        if better
    ]
    return _share(won)


def _longer(ledger: Ledger, labels: list[Label], said: _Said, name: str) -> Share | None:
    directed = {}
    for one, other in _own_pairs(labels):
        lengths = [len(ledger.answer(answer).text.strip()) for answer in (one, other)]
        if lengths[0] != lengths[1]:
            directed[one, other] = 1 if lengths[0] > lengths[1] else -1
    return _directed(directed, said, name)


def _sources(ledger: Ledger, labels: list[Label], said: _Said, name: str) -> dict[str, Share]:
    kinds: dict[str, dict[tuple[str, str], int]] = {}
    for one, other in _own_pairs(labels):
        first, second = (ledger.answer(answer).source for answer in (one, other))
        if first and second and first != second:
            upper, lower = sorted((first, second), key=lambda s: (_STANDING.index(s) if s in _STANDING else -1, s))
            kinds.setdefault(f"{upper} over {lower}", {})[one, other] = 1 if first == upper else -1
    shares = {kind: _directed(kinds[kind], said, name) for kind in sorted(kinds)}
    return {kind: share for kind, share in shares.items() if share is not None}


def _own_pairs(labels: list[Label]) -> set[tuple[str, str]]:
    return {(one, other) for label in labels for one, other, better in label.pairs() if better}


def _directed(directed: dict[tuple[str, str], int], said: _Said, name: str) -> Share | None:
    """Return how often a person, and how often the others, decided for the side given for each pair."""
    mine: list[bool] = []
    others: list[bool] = []
    for pair, side in directed.items():
        for who, better in said[pair]:
            if better:
                (mine if who == name else others).append(better == side)
    return _share(mine, sum(others) / len(others) if others else None)


def _share(won: list[bool], expected: float | None = None) -> Share | None:
    return Share.of(sum(won), len(won), expected) if won else None

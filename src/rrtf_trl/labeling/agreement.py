"""How far people agree, and each one's biases.

Krippendorff's alpha (Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011; computed by the package
``krippendorff``) is 1 for perfect agreement and 0 for what chance would give:

- *ordinal, on ranks*: a unit is a candidate of an item, its value the rank that a person gave it, ties at their mean
  rank, scaled to 0 … 1 so that items of different length can be compared;
- *nominal, on pairs*: a unit is a pair of candidates of an item, its value which one is better, or a tie.

Ranks of one item depend on each other, so alpha says less about chance here than for independent units; that is why
the plain fraction of agreeing pairs is reported too.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from rrtf_trl.errors import UserError
from rrtf_trl.statistics.proportion import Share

from .labels import Label, Ledger, labels_by_item

_SOURCES_BEST_FIRST = ("reference", "human", "teacher", "student")


@dataclass
class AgreementOfTwo:
    """On how many pairs of candidates two people agree, ties included; ``agreement`` is a fraction of ``pairs``."""

    one: str
    other: str
    agreement: float
    pairs: int
    items: int


@dataclass
class AnnotatorHabits:
    """One person's habits and biases.

    Args:
        name: Their name.
        labels: How many items they ranked.
        skipped: How many they skipped.
        seconds: Median attention to an item, or ``None``.
        ties: The fraction of pairs that they tied.
        looked_at_tests: The fraction of their items where they looked at test results.
        earlier: How often the candidate that the page showed earlier won; 0.5 is no bias.
        longer: How often the longer candidate won; ``expected`` is how often it won with other people.
        sources: How often a candidate of one source won against one of another, by ``"teacher over student"``;
            ``expected`` as above.
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
        items: How many items have a label.
        shared: How many have labels by two people or more.
        labels: How many labels there are.
        alpha_ranks: Krippendorff's alpha, ordinal, on ranks; ``None`` where it is not defined.
        alpha_pairs: Krippendorff's alpha, nominal, on pairs; ``None`` where it is not defined.
        between: Every two people who ranked the same candidates.
        people: Every person who ranked or skipped an item.
    """

    items: int
    shared: int
    labels: int
    alpha_ranks: float | None
    alpha_pairs: float | None
    between: list[AgreementOfTwo]
    people: list[AnnotatorHabits]


def agreement(ledger: Ledger) -> Agreement:
    """Return how far the people of a labels file agree, and each one's biases."""
    labels = ledger.labels()
    by_item = labels_by_item(labels)
    choices = _pair_choices(labels)
    return Agreement(
        items=len(by_item),
        shared=sum(len(found) > 1 for found in by_item.values()),
        labels=len(labels),
        alpha_ranks=_krippendorff_alpha(_scaled_ranks(labels), "ordinal"),
        alpha_pairs=_krippendorff_alpha(choices, "nominal"),
        between=_between(choices),
        people=_people(ledger, labels),
    )


# -- Krippendorff's alpha ----------------------------------------------------------------------------------

_Values = dict[str, dict[tuple[str, ...], float]]  # by person, by unit


def _scaled_ranks(labels: Iterable[Label]) -> _Values:
    """Return each person's mean ranks, scaled to 0 (best) … 1 (worst)."""
    values: _Values = {}
    for label in labels:
        ordered = sorted(label.ranks.values())
        for candidate, rank in label.ranks.items():
            mean = ordered.index(rank) + (ordered.count(rank) - 1) / 2
            unit = (label.item.item_id, candidate)
            values.setdefault(label.annotator, {})[unit] = round(mean / (len(ordered) - 1), 6)
    return values


def _pair_choices(labels: Iterable[Label]) -> _Values:
    """Return each person's choice for each pair of candidates: 1, −1, or 0 for a tie."""
    values: _Values = {}
    for label in labels:
        for one, other, better in label.pairs():
            values.setdefault(label.annotator, {})[label.item.item_id, one, other] = float(better)
    return values


def _krippendorff_alpha(values: _Values, level: Literal["ordinal", "nominal"]) -> float | None:
    """Return alpha, or ``None`` where no unit has two values or all values are the same."""
    try:
        import krippendorff
        import numpy as np
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'rrtf-trl[label]'") from None

    counts = Counter(unit for by_unit in values.values() for unit in by_unit)
    units = [unit for unit, count in counts.items() if count > 1]
    data = [[by_unit.get(unit, math.nan) for unit in units] for by_unit in values.values()]
    if not units or len({value for row in data for value in row if not math.isnan(value)}) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=np.array(data), level_of_measurement=level))


# -- Two people --------------------------------------------------------------------------------------------


def _between(choices: _Values) -> list[AgreementOfTwo]:
    found = []
    for one, other in combinations(sorted(choices), 2):
        both = choices[one].keys() & choices[other].keys()
        if both:
            same = sum(choices[one][pair] == choices[other][pair] for pair in both)
            found.append(AgreementOfTwo(one, other, same / len(both), len(both), len({item for item, *_ in both})))
    return found


# -- One person --------------------------------------------------------------------------------------------

_ChoicesByPair = dict[tuple[str, str], list[tuple[str, int]]]
"""By pair of candidates: the annotators who ranked both, each with +1 (first better), −1 or 0 (tie)."""


def _people(ledger: Ledger, labels: list[Label]) -> list[AnnotatorHabits]:
    choices: _ChoicesByPair = {}
    for label in labels:
        for one, other, better in label.pairs():
            choices.setdefault((one, other), []).append((label.annotator, better))
    people = []
    for name, annotator in ledger.annotators.items():
        own = [label for label in labels if label.annotator == name]
        if own or annotator.skipped:
            seconds = [label.seconds for label in own if label.seconds is not None]
            pairs = [better for label in own for _, _, better in label.pairs()]
            people.append(
                AnnotatorHabits(
                    name=name,
                    labels=len(own),
                    skipped=len(annotator.skipped),
                    seconds=statistics.median(seconds) if seconds else None,
                    ties=pairs.count(0) / len(pairs) if pairs else 0.0,
                    looked_at_tests=sum("tests" in label.looked for label in own) / len(own) if own else 0.0,
                    earlier=_earlier(own),
                    longer=_longer(ledger, own, choices, name),
                    sources=_sources(ledger, own, choices, name),
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
    return Share.of(sum(won), len(won)) if won else None


def _longer(ledger: Ledger, labels: list[Label], choices: _ChoicesByPair, name: str) -> Share | None:
    sides = {}
    for one, other in _decided_pairs(labels):
        first, second = (len(ledger.candidate(key).text.strip()) for key in (one, other))
        if first != second:
            sides[one, other] = 1 if first > second else -1
    return _share_of_side(sides, choices, name)


def _sources(ledger: Ledger, labels: list[Label], choices: _ChoicesByPair, name: str) -> dict[str, Share]:
    order = _SOURCES_BEST_FIRST
    sides: dict[str, dict[tuple[str, str], int]] = {}
    for one, other in _decided_pairs(labels):
        first, second = (ledger.candidate(key).source for key in (one, other))
        if first and second and first != second:
            upper, lower = sorted((first, second), key=lambda s: (order.index(s) if s in order else -1, s))
            sides.setdefault(f"{upper} over {lower}", {})[one, other] = 1 if first == upper else -1
    return {kind: share for kind in sorted(sides) if (share := _share_of_side(sides[kind], choices, name)) is not None}


def _decided_pairs(labels: list[Label]) -> set[tuple[str, str]]:
    return {(one, other) for label in labels for one, other, better in label.pairs() if better}


def _share_of_side(sides: dict[tuple[str, str], int], choices: _ChoicesByPair, name: str) -> Share | None:
    """Return how often a person, and as ``expected`` how often others, chose the side of each pair in ``sides``."""
    own: list[bool] = []
    others: list[bool] = []
    for pair, side in sides.items():
        for annotator, better in choices[pair]:
            if better:
                (own if annotator == name else others).append(better == side)
    return Share.of(sum(own), len(own), sum(others) / len(others) if others else None) if own else None

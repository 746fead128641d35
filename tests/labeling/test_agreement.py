"""Agreement and bias, against values worked out by hand."""

import json
import math
from dataclasses import asdict
from io import StringIO

import pytest
from rich.console import Console

from rrtf_trl.cli.label_tables import agreement_tables
from rrtf_trl.labeling.agreement import agreement
from rrtf_trl.labeling.formats.importing import _row
from rrtf_trl.labeling.items import Item, ItemCandidate
from rrtf_trl.labeling.labels import Label, Ledger
from support.labelling import TEXTS, make_item


def ledger_of(*labels: Label) -> Ledger:
    ledger = Ledger()
    for label in labels:
        ledger.apply({"kind": "item", **label.item.to_json()})
        ledger.apply(_row(label))
    return ledger


def items(count: int) -> list[Item]:
    return [make_item(TEXTS[:3], prompt=f"def f{i}(x):\n", task_id=None) for i in range(count)]


def label(item: Item, order: str, annotator: str, **fields: object) -> Label:
    """Label an item by ranks of its answers in the order of their ids."""
    ids = sorted(answer.answer_id for answer in item.answers)
    return Label(item, annotator, {key: int(rank) for key, rank in zip(ids, order, strict=True)}, **fields)  # type: ignore[arg-type]


def test_perfect_agreement_is_one() -> None:
    found = agreement(ledger_of(*(label(item, "132", who) for item in items(4) for who in ("alice", "bob"))))
    assert (found.items, found.shared, found.labels) == (4, 4, 8)
    assert found.alpha_ranks == pytest.approx(1.0)
    assert found.alpha_pairs == pytest.approx(1.0)
    (two,) = found.between
    assert (two.one, two.other, two.agreement, two.pairs, two.items) == ("alice", "bob", 1.0, 12, 4)


def test_opposite_rankings_are_below_chance() -> None:
    found = agreement(ledger_of(*(label(i, o, w) for i in items(4) for w, o in (("alice", "123"), ("bob", "321")))))
    assert found.alpha_ranks is not None
    assert found.alpha_pairs is not None
    assert found.alpha_ranks < 0
    assert found.alpha_pairs < 0
    assert found.between[0].agreement == 0.0


def test_nominal_alpha_on_pairs_is_what_the_formula_gives() -> None:
    """alpha = 1 - (n - 1) * (disagreeing ordered pairs of values) / sum of n_c * n_k over different c, k."""
    one, two = items(2)
    found = agreement(
        ledger_of(label(one, "123", "a"), label(one, "132", "b"), label(two, "112", "a"), label(two, "123", "b"))
    )
    # Values of the pairs (1,2), (1,3), (2,3): a: +,+,+  b: +,+,-   and   a: 0,+,+  b: +,+,+
    pairs = [(1, 1), (1, 1), (1, -1), (0, 1), (1, 1), (1, 1)]
    values = [value for pair in pairs for value in pair]
    observed = sum(2 for a, b in pairs if a != b)
    expected = sum(values.count(c) * values.count(k) for c in (-1, 0, 1) for k in (-1, 0, 1) if c != k)
    assert found.alpha_pairs == pytest.approx(1 - (len(values) - 1) * observed / expected)
    assert found.between[0].agreement == pytest.approx(4 / 6)


def test_ordinal_alpha_on_ranks_is_what_the_formula_gives() -> None:
    """The ordinal metric of Krippendorff (2011): (sum of n_g for g from c to k, less half of n_c and n_k) squared."""
    one, two = items(2)
    found = agreement(
        ledger_of(label(one, "123", "a"), label(one, "132", "b"), label(two, "122", "a"), label(two, "123", "b"))
    )
    units = [(0, 0), (1, 2), (2, 1), (0, 0), (1.5, 1), (1.5, 2)]  # ranks from 0, ties at their mean
    values = [value for unit in units for value in unit]
    domain = sorted(set(values))

    def distance(c: float, k: float) -> float:
        low, high = sorted((c, k))
        between = sum(values.count(g) for g in domain if low <= g <= high)
        return float((between - (values.count(c) + values.count(k)) / 2) ** 2)

    observed = sum(2 * distance(a, b) for a, b in units)
    expected = sum(values.count(c) * values.count(k) * distance(c, k) for c in domain for k in domain)
    assert found.alpha_ranks == pytest.approx(1 - (len(values) - 1) * observed / expected)


def test_what_is_not_defined_is_said_and_not_a_number() -> None:
    alone = agreement(ledger_of(*(label(item, "123", "alice") for item in items(3))))
    assert (alone.shared, alone.alpha_ranks, alone.alpha_pairs, alone.between) == (0, None, None, [])
    tied = agreement(ledger_of(*(label(item, "111", who) for item in items(2) for who in ("alice", "bob"))))
    assert tied.alpha_ranks is None
    assert tied.between[0].agreement == 1.0
    nothing = agreement(Ledger())
    assert nothing.people == []
    for found in (alone, tied, nothing):
        assert "NaN" not in json.dumps(asdict(found))


def test_who_always_takes_the_first_one_shown_is_found_out() -> None:
    labels = []
    for item in items(30):
        ids = [answer.answer_id for answer in item.answers]
        labels.append(Label(item, "lazy", {key: rank for rank, key in enumerate(ids, 1)}, shown=ids))
        labels.append(Label(item, "fair", {key: rank for rank, key in enumerate(ids, 1)}, shown=sorted(ids)))
    lazy, fair = agreement(ledger_of(*labels)).people
    assert lazy.earlier is not None
    assert (lazy.earlier.share, lazy.earlier.n, lazy.earlier.expected) == (1.0, 90, None)
    assert lazy.earlier.low > 0.9
    assert fair.earlier is not None


def test_length_and_source_stand_beside_what_others_say_of_the_same_pairs() -> None:
    prompt = "p"
    long = ItemCandidate.create(prompt, "a much longer answer", source="teacher")
    short = ItemCandidate.create(prompt, "short", source="student")
    item = Item.create(prompt, [long, short])
    prefers_long = {long.answer_id: 1, short.answer_id: 2}
    prefers_short = {long.answer_id: 2, short.answer_id: 1}
    first, second, third = agreement(
        ledger_of(Label(item, "a", prefers_long), Label(item, "b", prefers_short), Label(item, "c", prefers_long))
    ).people
    assert first.longer is not None
    assert (first.longer.share, first.longer.n, first.longer.expected) == (1.0, 1, 0.5)
    assert first.sources.keys() == {"teacher over student"}
    assert first.sources["teacher over student"].share == 1.0
    assert second.sources["teacher over student"].share == 0.0
    assert second.sources["teacher over student"].expected == 1.0
    assert third.ties == 0.0


def test_the_interval_is_wilsons() -> None:
    ids = [(item, [answer.answer_id for answer in item.answers]) for item in items(10)]
    labels = [Label(item, "a", dict(zip(keys, (1, 2, 2), strict=True)), shown=keys) for item, keys in ids[:9]]
    item, keys = ids[9]
    labels.append(Label(item, "a", dict(zip(keys, (2, 1, 1), strict=True)), shown=keys))
    share = agreement(ledger_of(*labels)).people[0].earlier
    assert share is not None
    p, n, z = 18 / 20, 20, 1.959964
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert share.share == pytest.approx(p)
    assert share.low == pytest.approx((centre - half) / (1 + z * z / n))
    assert share.high == pytest.approx((centre + half) / (1 + z * z / n))


def test_tables_tell_it_in_words_whatever_people_are_called() -> None:
    orders = zip(items(2), ("123", "321"), strict=True)
    labels = [label(item, order, who) for item, order in orders for who in ("alice", "[red]bob[/red]")]
    out = StringIO()
    console = Console(file=out, width=120, markup=False, highlight=False)
    for table in agreement_tables(agreement(ledger_of(*labels))):
        console.print(table)
    text = out.getvalue()
    assert "4 labels on 2 items, 2 of them by two people or more" in text
    assert "Krippendorff's alpha: 1.00 ordinal, on ranks; 1.00 nominal, on pairs" in text
    assert "[red]bob[/red]" in text
    assert "100%" in text

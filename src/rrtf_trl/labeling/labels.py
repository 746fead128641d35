"""The rows of a labels file, one for each action, and the state that they add up to.

The first row names the format; ``item`` rows hold what is labelled, whole, so that the file needs no other; the rest
are actions. An action has an ``id``, a ``time`` (UTC), the ``annotator``, the ``item_id`` and ``seconds``, the
attention since that person's previous action. The kinds of action:

``open``    the item was shown to the annotator, with its candidates in the order ``shown``
``rank``    ``answer_id`` got the next rank                   ``unrank``  its rank was taken back
``tie``     the next one is to tie with the last one          ``rest``    all without a rank tie for last
``look``    ``what`` (``tests``, ``diff``, ``response``) was looked at
``submit``  the ranking is done: ``ranks`` by ``answer_id``, 1 is best and equal ranks tie; ``item_seconds`` on it
``skip``    the annotator does not want to rank this item     ``revisit`` … and wants the skipped ones again
``undo``    the annotator's action ``undoes`` no longer counts

:class:`Ledger` computes the state from these rows, on a restart as while they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Annotated, Any, Literal, get_args

from rrtf_trl.forms import Must, NonEmpty, check, field_error
from rrtf_trl.records import RecordError

from .draft import Draft, LabelRefused
from .items import Item, ItemCandidate

HEADER = {"kind": "labels", "version": 1}
_Look = Literal["tests", "diff", "response"]
LOOKS: tuple[str, ...] = get_args(_Look)


@dataclass(kw_only=True)
class _Action:
    kind: str
    id: NonEmpty
    time: str
    annotator: NonEmpty
    item_id: str | None = None
    seconds: float | None = None


_RANKS = dict[str, Annotated[int, Must("a whole number from 1", ge=1)]]
_OF_IMPORTS: list[Any] = [("shown", list[str] | None, None), ("origin", str | None, None)]
_OWN_FIELDS: dict[str, list[Any]] = {
    "open": [("shown", list[str])],
    "rank": [("answer_id", str)],
    "unrank": [("answer_id", str)],
    "tie": [],
    "rest": [],
    "look": [("what", _Look)],
    "submit": [("ranks", _RANKS), ("item_seconds", float | None, None), *_OF_IMPORTS],
    "skip": _OF_IMPORTS,
    "revisit": [],
    "undo": [("undoes", str)],
}
_ACTIONS = {kind: make_dataclass(kind, own, bases=(_Action,), kw_only=True) for kind, own in _OWN_FIELDS.items()}
_DRAFT = {"rank", "unrank", "tie", "rest"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Label:
    """One person's ranking of one item.

    Args:
        item: What was ranked.
        annotator: Who ranked it.
        ranks: Rank by ``answer_id``: 1 is best, equal ranks tie. Candidates without one were not ranked.
        shown: The ids of the candidates in the order in which the page showed them; empty where that is not known.
        seconds: Attention to the item, or ``None``.
        time: When it was submitted, as ISO 8601; empty where that is not known.
        looked: What was looked at on demand: ``tests``, ``diff``, ``response``.
    """

    item: Item
    annotator: str
    ranks: dict[str, int]
    shown: list[str] = field(default_factory=list)
    seconds: float | None = None
    time: str = ""
    looked: tuple[str, ...] = ()

    def pairs(self) -> Iterator[tuple[str, str, int]]:
        """Yield each pair of ranked candidates, ordered by id, with +1 (first better), −1 (second better) or 0."""
        for one, other in combinations(sorted(self.ranks), 2):
            difference = self.ranks[other] - self.ranks[one]
            yield one, other, (difference > 0) - (difference < 0)


def labels_by_item(labels: Iterable[Label]) -> dict[str, list[Label]]:
    """Return labels by the ``item_id`` of what they rank."""
    by_item: dict[str, list[Label]] = {}
    for label in labels:
        by_item.setdefault(label.item.item_id, []).append(label)
    return by_item


@dataclass
class Annotator:
    """The state of one annotator.

    Args:
        name: Their name.
        current: The ``item_id`` of the item that they are ranking.
        shown: The ids of its candidates, in the order shown.
        stack: Their actions that count and can be undone, oldest first.
        done: The submit that counts for each item, by ``item_id``.
        skipped: Items that they skipped.
        seconds: Attention to each item.
        looked: What they looked at on each item.
        last: The time of their last action.
    """

    name: str
    current: str | None = None
    shown: list[str] = field(default_factory=list)
    stack: list[Row] = field(default_factory=list)
    done: dict[str, Row] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)
    looked: dict[str, set[str]] = field(default_factory=dict)
    last: datetime | None = None

    def draft(self) -> Draft:
        """Return the unfinished ranking of the current item."""
        draft = Draft(self.shown)
        start = len(self.stack)
        while start and self.stack[start - 1]["kind"] in _DRAFT:
            start -= 1
        for row in self.stack[start:]:
            _apply_to_draft(draft, row)
        return draft


def _apply_to_draft(draft: Draft, row: Row) -> None:
    """Carry out a ``rank``, ``unrank``, ``tie`` or ``rest``; raises :class:`LabelRefused` if it is not possible."""
    if row["kind"] == "rank":
        draft.rank(row["answer_id"])
    elif row["kind"] == "unrank":
        draft.unrank(row["answer_id"])
    elif row["kind"] == "tie":
        draft.toggle_tie()
    else:
        draft.rest()


class Ledger:
    """The state that the rows of a labels file add up to."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.annotators: dict[str, Annotator] = {}
        self.seen: set[str] = set()  # the ids of all actions
        self._candidates: dict[str, ItemCandidate] = {}

    def annotator(self, name: str) -> Annotator:
        """Return an annotator by name, a new one if need be."""
        return self.annotators.setdefault(name, Annotator(name))

    def labels(self) -> list[Label]:
        """Return every label that counts, ordered by the first appearance of its item, then of its annotator."""
        return [
            Label(
                item=self.items[item_id],
                annotator=person.name,
                ranks=row["ranks"],
                shown=row.get("shown") or [],
                seconds=row.get("item_seconds"),
                time=row["time"],
                looked=tuple(sorted(person.looked.get(item_id, ()))),
            )
            for item_id in self.items
            for person in self.annotators.values()
            if (row := person.done.get(item_id)) is not None
        ]

    def candidate(self, key: str) -> ItemCandidate:
        """Return a candidate by its id; where several items have it, one of those that name its source."""
        return self._candidates[key]

    def apply(self, row: Row) -> None:
        """Add a row.

        Raises:
            RecordError: If it is no row of a labels file, or does not follow from the rows before; the message names
                the field.
        """
        kind = str(row.get("kind"))
        if kind == "labels":
            if row != HEADER:
                raise RecordError(f"field version: this file was written by another version of rrtf-trl: {row}")
        elif kind == "item":
            item = Item.from_json({name: value for name, value in row.items() if name != "kind"})
            self.items.setdefault(item.item_id, item)
            for candidate in item.answers:
                if self._candidates.setdefault(candidate.answer_id, candidate).source is None:
                    self._candidates[candidate.answer_id] = candidate
        elif kind in _ACTIONS:
            self._check(row)
            if row["id"] not in self.seen:
                self.seen.add(row["id"])
                self._act(row)
        else:
            raise field_error("kind", f"one of labels, item, {', '.join(_ACTIONS)}", row.get("kind"))

    def _check(self, row: Row) -> None:
        kind = row["kind"]
        check(_ACTIONS[kind], row, utf8=False)
        parse_time(row["time"])
        if kind == "revisit":
            return
        item = self.items.get(row.get("item_id") or "")
        if item is None:
            raise RecordError(f"field item_id: no item {row.get('item_id')!r} in the rows above")
        known = {candidate.answer_id for candidate in item.answers}
        shown, ranks = row.get("shown") or [], row.get("ranks", {})
        if shown and sorted(shown) != sorted(known):
            raise RecordError("field shown: expected each candidate of the item once")
        if not ranks.keys() <= known or (kind == "submit" and len(ranks) < 2):
            raise RecordError("field ranks: expected a whole number from 1 for at least two candidates of the item")
        if "answer_id" in row and row["answer_id"] not in known:
            raise RecordError(f"field answer_id: the item has no candidate {row['answer_id']!r}")
        if kind in ("open", "submit", "skip") and not shown and not row.get("origin"):
            raise RecordError("field shown: missing")

    def _act(self, row: Row) -> None:
        person, kind = self.annotator(row["annotator"]), row["kind"]
        if row.get("origin"):  # imported: not an action on the page
            self._finish(person, row)
            return
        person.last = parse_time(row["time"])
        item_id = row.get("item_id")
        if item_id:
            person.seconds[item_id] = person.seconds.get(item_id, 0.0) + (row.get("seconds") or 0.0)
        if kind == "revisit":
            person.skipped.clear()
        elif kind == "open":
            person.current, person.shown = item_id, row["shown"]
        elif kind == "look":
            person.looked.setdefault(row["item_id"], set()).add(row["what"])
        elif kind == "undo":
            self._undo(person, row)
        else:
            if item_id != person.current:
                raise RecordError(f"field item_id: {item_id!r} is not the current item of {person.name!r}")
            if kind in _DRAFT:
                try:
                    _apply_to_draft(person.draft(), row)
                except LabelRefused as error:
                    raise RecordError(f"field kind: {kind} cannot be done here: {error}") from None
            else:
                self._finish(person, row)
                person.current = None
            person.stack.append(row)

    @staticmethod
    def _finish(person: Annotator, row: Row) -> None:
        if row["kind"] == "submit":
            person.done[row["item_id"]] = row
        elif row["kind"] == "skip":
            person.skipped.add(row["item_id"])
        else:
            raise RecordError(f"field origin: a row of kind {row['kind']} cannot be imported")

    @staticmethod
    def _undo(person: Annotator, row: Row) -> None:
        if not person.stack or person.stack[-1]["id"] != row.get("undoes"):
            raise RecordError(f"field undoes: {row.get('undoes')!r} is not the last action of {person.name!r}")
        undone = person.stack.pop()
        if undone["kind"] in ("submit", "skip"):
            person.done.pop(undone["item_id"], None)
            person.skipped.discard(undone["item_id"])
            person.current = undone["item_id"]
            person.shown = undone["shown"]


def parse_time(text: str) -> datetime | None:
    """Return a time from ISO 8601, as UTC if it names no zone, or ``None`` for an empty string.

    Raises:
        RecordError: If it is neither.
    """
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise RecordError(f"field time: expected ISO 8601, got {text!r}") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def now() -> str:
    """Return the time, in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

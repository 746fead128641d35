"""The rows of a labels file, and what they add up to: everything that anybody did, one row an action.

The first row says what the file is; ``item`` rows hold what is labelled, whole, so that the file needs no
other; the rest are actions. An action has an ``id``, a ``time`` (UTC), the ``annotator``, the ``item_id``
and ``seconds``, the attention since that person's action before. The kinds of action:

``open``    the item was put before the annotator, with the answers in the order ``shown``
``rank``    ``answer_id`` got the next rank                   ``unrank``  its rank was taken back
``tie``     the next one is to tie with the last one          ``rest``    all that are left tie for last
``look``    ``what`` (``tests``, ``diff``, ``response``) was looked at
``submit``  the ranking is done: ``ranks`` by answer, 1 is best and equal ranks tie; ``item_seconds`` on it
``skip``    the annotator does not want to rank this item     ``revisit`` … and would like the skipped ones back
``undo``    the annotator's action ``undoes`` no longer counts

What holds now is what these rows add up to (:class:`Ledger`), today as after a restart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from rrtf_trl.forms import Must, NonEmpty, check, wrong
from rrtf_trl.records import RecordError

from .draft import Draft, Refused
from .items import Answer, Item

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
_FROM_ELSEWHERE: list[Any] = [("shown", list[str] | None, None), ("origin", str | None, None)]
_OWN: dict[str, list[Any]] = {
    "open": [("shown", list[str])],
    "rank": [("answer_id", str)],
    "unrank": [("answer_id", str)],
    "tie": [],
    "rest": [],
    "look": [("what", _Look)],
    "submit": [("ranks", _RANKS), ("item_seconds", float | None, None), *_FROM_ELSEWHERE],
    "skip": _FROM_ELSEWHERE,
    "revisit": [],
    "undo": [("undoes", str)],
}
_ACTIONS = {kind: make_dataclass(kind, own, bases=(_Action,), kw_only=True) for kind, own in _OWN.items()}
_DRAFT = {"rank", "unrank", "tie", "rest"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Label:
    """One person's ranking of one item.

    Args:
        item: What was ranked.
        annotator: Who did.
        ranks: Rank by ``answer_id``: 1 is best, equal ranks tie. Answers without one were not ranked.
        shown: The answers in the order in which they stood on the page; empty where that is not known.
        seconds: Attention that it took, or ``None``.
        time: When it was done, as ISO 8601; empty where that is not known.
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
        """Yield each pair of ranked answers, ordered by id, with +1 (first better), −1 (second better) or 0 (tie)."""
        keys = sorted(self.ranks)
        for index, one in enumerate(keys):
            for other in keys[index + 1 :]:
                difference = self.ranks[other] - self.ranks[one]
                yield one, other, (difference > 0) - (difference < 0)


@dataclass
class Annotator:
    """What one person has done.

    Args:
        name: Their name.
        current: The item before them.
        shown: Its answers, in the order shown.
        stack: Their actions that count and can be undone, oldest first.
        done: The submit that counts for each item, by ``item_id``.
        skipped: Items that they do not want.
        seconds: Attention spent on each item.
        looked: What they looked at on each item.
        last: When they last did anything.
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
        """Return the ranking of the current item so far."""
        draft = Draft(self.shown)
        start = len(self.stack)
        while start and self.stack[start - 1]["kind"] in _DRAFT:
            start -= 1
        for row in self.stack[start:]:
            step(draft, row)
        return draft


def step(draft: Draft, row: Row) -> None:
    """Carry an action's change of the ranking out; raises :class:`Refused` if it cannot be done."""
    if row["kind"] == "rank":
        draft.rank(row["answer_id"])
    elif row["kind"] == "unrank":
        draft.unrank(row["answer_id"])
    elif row["kind"] == "tie":
        draft.toggle_tie()
    elif row["kind"] == "rest":
        draft.rest()


class Ledger:
    """What the rows of a labels file add up to."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.annotators: dict[str, Annotator] = {}
        self.seen: set[str] = set()
        self._answers: dict[str, Answer] = {}

    def annotator(self, name: str) -> Annotator:
        """Return a person by name, a new one if need be."""
        return self.annotators.setdefault(name, Annotator(name))

    def labels(self) -> list[Label]:
        """Return every label that counts, by the order in which the items and the people first came."""
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

    def answer(self, key: str) -> Answer:
        """Return what is known of an answer: of the items that have it, the one that names its source."""
        return self._answers[key]

    def apply(self, row: Row) -> None:
        """Add a row.

        Raises:
            RecordError: If it is none, or does not follow from the rows before; the message names the field.
        """
        kind = str(row.get("kind"))
        if kind == "labels":
            if row != HEADER:
                raise RecordError(f"field version: this file was written by another version of rrtf-trl: {row}")
        elif kind == "item":
            item = Item.from_json({name: value for name, value in row.items() if name != "kind"})
            self.items.setdefault(item.item_id, item)
            for answer in item.answers:
                known = self._answers.setdefault(answer.answer_id, answer)
                if known.source is None:
                    self._answers[answer.answer_id] = answer
        elif kind in _ACTIONS:
            self._check(row)
            if row["id"] not in self.seen:
                self.seen.add(row["id"])
                self._act(row)
        else:
            raise wrong("kind", f"one of labels, item, {', '.join(_ACTIONS)}", row.get("kind"))

    def _check(self, row: Row) -> None:
        kind = row["kind"]
        check(_ACTIONS[kind], row, utf8=False)
        parse_time(row["time"])
        if kind == "revisit":
            return
        item = self.items.get(row.get("item_id") or "")
        if item is None:
            raise RecordError(f"field item_id: no item {row.get('item_id')!r} in the rows above")
        known = {answer.answer_id for answer in item.answers}
        shown, ranks = row.get("shown") or [], row.get("ranks", {})
        if shown and sorted(shown) != sorted(known):
            raise RecordError("field shown: expected each answer of the item once")
        if not ranks.keys() <= known or (kind == "submit" and len(ranks) < 2):
            raise RecordError("field ranks: expected a whole number from 1 for at least two answers of the item")
        if row.get("answer_id", item.answers[0].answer_id) not in known:
            raise RecordError(f"field answer_id: the item has no answer {row['answer_id']!r}")
        if kind in ("open", "submit", "skip") and not shown and not row.get("origin"):
            raise RecordError("field shown: missing")

    def _act(self, row: Row) -> None:
        person, kind = self.annotator(row["annotator"]), row["kind"]
        if row.get("origin"):  # from elsewhere: nothing that this person did on the page
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
                raise RecordError(f"field item_id: {item_id!r} is not before {person.name!r}")
            if kind in _DRAFT:
                try:
                    step(person.draft(), row)
                except Refused as error:
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
            raise RecordError(f"field origin: a row of kind {row['kind']} does not come from elsewhere")

    @staticmethod
    def _undo(person: Annotator, row: Row) -> None:
        if not person.stack or person.stack[-1]["id"] != row.get("undoes"):
            raise RecordError(f"field undoes: {row.get('undoes')!r} is not what {person.name!r} did last")
        undone = person.stack.pop()
        if undone["kind"] in ("submit", "skip"):
            person.done.pop(undone["item_id"], None)
            person.skipped.discard(undone["item_id"])
            person.current = undone["item_id"]
            person.shown = undone["shown"]


def parse_time(text: str) -> datetime | None:
    """Return a time of day from ISO 8601, or ``None`` for an empty string; raises :class:`RecordError`."""
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

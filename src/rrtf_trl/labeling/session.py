"""Which annotator gets which item, and what each of their actions does.

One process, one thread: every decision is on the disk before the next request is handled, so two people never get the
last label of an item, and an action that was confirmed is not lost.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from rrtf_trl.records import content_hash

from .draft import Draft, LabelRefused
from .items import Item
from .label_file import LabelFile
from .labels import LOOKS, Annotator, Row, now

LEASE = timedelta(minutes=30)
"""How long an item is reserved for the annotator who has it open, counted from their last action."""

_MAX_ID = 200  # characters of an action's id


class StalePage(Exception):
    """The page that sent an action is out of date: the annotator continued elsewhere, for instance in another tab."""


@dataclass
class PageReply:
    """What the page shows after an action.

    Args:
        draft: The ranking as positions on the page from 1, best first; those in one list tie.
        tie: Whether the next one ties with the last one.
        message: One sentence on what happened.
        reload: Whether the page is to be loaded again, since the annotator has another item now.
    """

    draft: list[list[int]]
    tie: bool
    message: str
    reload: bool = False


@dataclass
class Progress:
    """How much is labelled.

    Args:
        mine: Items that this annotator has labelled.
        left: Items that this annotator can still label.
        skipped: Items that this annotator skipped.
        labels: Labels that count towards the goal.
        goal: Items times labels an item.
    """

    mine: int
    left: int
    skipped: int
    labels: int
    goal: int


class LabelingSession:
    """The items to label, and the annotators.

    Args:
        file: The labels file.
        items: The items, in the order in which they are handed out.
        per_item: How many annotators each item goes to.
        seed: Decides in which order each annotator sees the candidates of an item.
    """

    def __init__(self, file: LabelFile, items: list[Item], per_item: int = 1, seed: int = 0) -> None:
        file.add_items(items)
        self.file = file
        self.items = items
        self.per_item = per_item
        self.seed = seed

    # -- State -----------------------------------------------------------------------------------------------

    def item(self, name: str) -> Item | None:
        """Return an annotator's current item, if there is one."""
        person = self.file.ledger.annotators.get(name)
        return self.file.ledger.items[person.current] if person and person.current else None

    def shown(self, item: Item, name: str) -> list[str]:
        """Return the ids of an item's candidates in this annotator's own order."""
        keys = [candidate.answer_id for candidate in item.answers]
        return sorted(keys, key=lambda key: content_hash(self.seed, item.item_id, name, key))

    def progress(self, name: str) -> Progress:
        """Return how much is labelled, and how much of the rest this annotator can label."""
        done = self._label_counts()
        person = self.file.ledger.annotators.get(name, Annotator(name))
        open_items = [item.item_id for item in self.items if done[item.item_id] < self.per_item]
        return Progress(
            mine=len(person.done),
            left=sum(key not in person.done and key not in person.skipped for key in open_items),
            skipped=sum(key in person.skipped for key in open_items),
            labels=sum(min(done[item.item_id], self.per_item) for item in self.items),
            goal=len(self.items) * self.per_item,
        )

    def waiting(self, name: str) -> bool:
        """Return whether all items that this annotator could label are reserved for others now."""
        return self.progress(name).left > 0 and self._next(name) is None

    def _label_counts(self) -> Counter[str]:
        return Counter(key for person in self.file.ledger.annotators.values() for key in person.done)

    def _next(self, name: str, finished: str | None = None) -> Item | None:
        """Return the next item for an annotator; ``finished`` is the one that they are about to finish."""
        counts = self._label_counts()
        reserved_since = datetime.now(UTC) - LEASE
        for other in self.file.ledger.annotators.values():
            if other.name != name and other.current and other.last and other.last > reserved_since:
                counts[other.current] += other.current not in other.done
        person = self.file.ledger.annotator(name)
        seen = person.done.keys() | person.skipped | {finished}
        free = (i for i in self.items if i.item_id not in seen and counts[i.item_id] < self.per_item)
        return next(free, None)

    # -- Actions ---------------------------------------------------------------------------------------------

    def act(self, name: str, action: dict[str, Any]) -> PageReply:
        """Carry an action out; when this returns, it is on the disk.

        Args:
            name: The annotator.
            action: ``id`` (made by the page; an id that was used before does nothing), ``do``, ``item`` (what the
                page shows, or ``None``), ``seconds`` of attention, and by ``do`` a ``position`` from 1 or ``what``.

        Raises:
            ValueError: If it is not an action.
            LabelRefused: If it is not possible now; the message names what is.
            StalePage: If the page is out of date.
            OSError: If it cannot be written; nothing has changed then.
        """
        key, do = action.get("id"), action.get("do")
        if not isinstance(key, str) or not 8 <= len(key) <= _MAX_ID:
            raise ValueError(f"id: expected 8 to {_MAX_ID} characters")
        person = self.file.ledger.annotator(name)
        if key in self.file.ledger.seen:  # the reply to it was lost, so the page sent it again
            return self._reply(person, "Saved", reload=action.get("item") != person.current)
        if action.get("item") != person.current:
            raise StalePage("This page is out of date: you continued in another tab")
        base: Row = {"id": key, "time": now(), "annotator": name, "item_id": person.current}
        base["seconds"] = self._seconds(person, action.get("seconds"))
        if do == "open":
            self.file.append(*([] if person.current else self._opening(name, self._next(name), base)))
            return self._reply(self.file.ledger.annotator(name), "", reload=True)
        if do == "revisit":
            if person.current is not None:
                raise LabelRefused("Finish or skip this item first")
            self.file.append({"kind": "revisit", **base})
            self.file.append(*self._opening_after(name, self._next(name), base))
            return self._reply(self.file.ledger.annotator(name), "", reload=True)
        if do == "undo":
            return self._undo(person, base)
        if person.current is None:
            raise StalePage("You have no item open")
        if do == "look":
            if action.get("what") not in LOOKS:
                raise ValueError(f"what: expected one of {', '.join(LOOKS)}")
            self.file.append({"kind": "look", **base, "what": action["what"]})
            return self._reply(person, "")
        if do in ("submit", "skip"):
            return self._finish(person, base, do)
        return self._rank(person, base, do, action.get("position"))

    def _rank(self, person: Annotator, base: Row, do: Any, position: Any) -> PageReply:
        draft = person.draft()
        row: Row
        if do == "rank":
            if type(position) is not int or not 1 <= position <= len(person.shown):
                raise LabelRefused(f"There are {len(person.shown)} candidates, 1 to {len(person.shown)}")
            candidate = person.shown[position - 1]
            row = {"kind": "rank" if candidate in draft.left else "unrank", **base, "answer_id": candidate}
        elif do in ("tie", "rest"):
            row = {"kind": do, **base}
            (draft.toggle_tie if do == "tie" else draft.rest)()  # raises LabelRefused if it is not possible
        else:
            raise ValueError(f"do: no such action {do!r}")
        self.file.append(row)
        return self._reply(person, _describe(row["kind"], person, position))

    def _finish(self, person: Annotator, base: Row, do: Literal["submit", "skip"]) -> PageReply:
        own: Row = {"shown": person.shown}
        if do == "submit":
            spent = person.seconds.get(base["item_id"], 0.0) + base["seconds"]
            own = {"ranks": person.draft().ranks(), **own, "item_seconds": round(spent, 2)}
        opening = self._opening_after(person.name, self._next(person.name, finished=base["item_id"]), base)
        self.file.append({"kind": do, **base, **own}, *opening)
        return self._reply(self.file.ledger.annotator(person.name), "Saved", reload=True)

    def _undo(self, person: Annotator, base: Row) -> PageReply:
        if not person.stack:
            raise LabelRefused("There is nothing to undo")
        last = person.stack[-1]
        self.file.append({"kind": "undo", **base, "item_id": last["item_id"], "undoes": last["id"]})
        person = self.file.ledger.annotator(person.name)
        return self._reply(person, "Undone", reload=last["kind"] in ("submit", "skip"))

    def _opening(self, name: str, item: Item | None, base: Row) -> list[Row]:
        """Return the row that opens an item, or none where there is no item."""
        return [{"kind": "open", **base, "item_id": item.item_id, "shown": self.shown(item, name)}] if item else []

    def _opening_after(self, name: str, item: Item | None, base: Row) -> list[Row]:
        """Return the row that opens an item as part of another action, whose id and seconds are in ``base``."""
        return self._opening(name, item, {**base, "id": f"{base['id']}+", "seconds": 0.0})

    @staticmethod
    def _seconds(person: Annotator, counted: Any) -> float:
        """Return the attention since the action before: what the page counted, but no more than has passed."""
        if not isinstance(counted, int | float) or isinstance(counted, bool) or person.last is None:
            return 0.0
        passed = (datetime.now(UTC) - person.last).total_seconds()
        return round(max(0.0, float(min(counted, passed))), 2)

    @staticmethod
    def _reply(person: Annotator, message: str, reload: bool = False) -> PageReply:
        draft = person.draft() if person.current else Draft([])
        return PageReply(positions(person, draft), draft.tie, message, reload)


def positions(person: Annotator, draft: Draft) -> list[list[int]]:
    """Return a draft's groups as the positions of their candidates on the page, from 1."""
    return [[person.shown.index(candidate) + 1 for candidate in group] for group in draft.groups]


def _describe(kind: str, person: Annotator, position: int) -> str:
    """Return one sentence on what an action did, for a screen reader."""
    draft = person.draft()
    if kind == "unrank":
        return f"Candidate {position} has no rank now"
    last_group = positions(person, draft)[-1]
    last = " and ".join(map(str, last_group))
    if kind == "tie":
        return f"The next candidate ties with {last}" if draft.tie else "No tie"
    then = ""
    if not draft.left:
        then = "; Enter submits"
    elif len(draft.left) == 1:
        left = f"candidate {person.shown.index(draft.left[0]) + 1}{' with the tie' if draft.tie else ''}"
        then = f"; {left} comes last, Enter submits"
    place = ordinal(len(draft.groups))
    if kind == "rank" and len(last_group) == 1:
        return f"Candidate {position} is {place}{then}"
    return f"Candidates {last} tie for {place}{then}"


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th … 9th."""
    return f"{number}{['st', 'nd', 'rd'][number - 1] if number <= 3 else 'th'}"

"""Who gets which item, and what each action of theirs does.

One process, one thread: whatever is decided here is on the disk before anybody else has a turn, so that two
people never get the last place at an item, and what was answered to is not forgotten.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from rrtf_trl.records import content_hash

from .draft import Draft, Refused
from .items import Item
from .label_file import LabelFile
from .labels import LOOKS, Annotator, Row, now

LEASE = timedelta(minutes=30)
"""An item is kept for whoever has it before them; after this long without a sign of life another may have it too."""

_LIMIT = 200  # characters of an action's id


class Behind(Exception):
    """The page that asks is out of date: the person went on elsewhere, for instance in another tab."""


@dataclass
class Reply:
    """What the page shows after an action.

    Args:
        draft: Positions in order, best first; those in one list tie.
        tie: Whether the next one ties with the last one.
        message: One sentence on what happened.
        go: Whether to load the page again: another item is before the annotator.
    """

    draft: list[list[int]]
    tie: bool
    message: str
    go: bool = False


@dataclass
class Progress:
    """How far things are.

    Args:
        mine: Items that this person has labelled.
        left: Items that are still there for this person.
        skipped: Items that this person skipped.
        labels: Labels that count towards the goal.
        goal: Items times labels an item.
    """

    mine: int
    left: int
    skipped: int
    labels: int
    goal: int


class LabelingSession:
    """The items on offer, and the people at work on them.

    Args:
        file: The labels file.
        items: What is on offer, in the order in which it is handed out.
        per_item: How many people each item goes to.
        seed: Decides in which order each person sees the answers of an item.
    """

    def __init__(self, file: LabelFile, items: list[Item], per_item: int = 1, seed: int = 0) -> None:
        file.add_items(items)
        self.file = file
        self.items = items
        self.per_item = per_item
        self.seed = seed

    # -- What is there ---------------------------------------------------------------------------------------

    def item(self, name: str) -> Item | None:
        """Return the item before a person, if there is one."""
        person = self.file.ledger.annotators.get(name)
        return self.file.ledger.items[person.current] if person and person.current else None

    def shown(self, item: Item, name: str) -> list[str]:
        """Return the answers of an item in this person's own order."""
        keys = [answer.answer_id for answer in item.answers]
        return sorted(keys, key=lambda key: content_hash(self.seed, item.item_id, name, key))

    def progress(self, name: str) -> Progress:
        """Count what is done and what is left."""
        done = self._done()
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
        """Return whether all that is left for this person is before somebody else just now."""
        return self.progress(name).left > 0 and self._next(name) is None

    def _done(self) -> Counter[str]:
        return Counter(key for person in self.file.ledger.annotators.values() for key in person.done)

    def _next(self, name: str, done_with: str | None = None) -> Item | None:
        """Return the next item for a person who is done with the one before them."""
        taken = self._done()
        alive = datetime.now(UTC) - LEASE
        for other in self.file.ledger.annotators.values():
            if other.name != name and other.current and other.last and other.last > alive:
                taken[other.current] += other.current not in other.done
        person = self.file.ledger.annotator(name)
        past = person.done.keys() | person.skipped | {done_with}
        free = (i for i in self.items if i.item_id not in past and taken[i.item_id] < self.per_item)
        return next(free, None)

    # -- What is done ----------------------------------------------------------------------------------------

    def act(self, name: str, action: dict[str, Any]) -> Reply:
        """Carry an action out; when this returns, it is on the disk.

        Args:
            name: The annotator.
            action: ``id`` (of the page's making; the same one again does nothing), ``do``, ``item`` (what the page
                shows, or ``None``), ``seconds`` of attention, and by ``do`` a ``position`` from 1 or ``what``.

        Raises:
            ValueError: If it is no action.
            Refused: If it cannot be done now; the message says what can.
            Behind: If the page is out of date.
            OSError: If it cannot be written; nothing has changed then.
        """
        key, do = action.get("id"), action.get("do")
        if not isinstance(key, str) or not 8 <= len(key) <= _LIMIT:
            raise ValueError("id: expected 8 or more characters")
        person = self.file.ledger.annotator(name)
        if key in self.file.ledger.seen:  # the answer to it was lost on its way
            return self._reply(person, "Saved", go=action.get("item") != person.current)
        if action.get("item") != person.current:
            raise Behind("This page is behind: you went on in another tab")
        base: Row = {"id": key, "time": now(), "annotator": name, "item_id": person.current}
        base["seconds"] = self._seconds(person, action.get("seconds"))
        if do == "open":
            self.file.append(*self._open(name, base))
            return self._reply(self.file.ledger.annotator(name), "", go=True)
        if do == "revisit":
            if person.current is not None:
                raise Refused("Finish or skip this item first")
            self.file.append({"kind": "revisit", **base})
            item = self._next(name)
            again = {**base, "id": f"{key}+", "seconds": 0.0}
            self.file.append(*([self._opening(name, item, again)] if item else []))
            return self._reply(self.file.ledger.annotator(name), "", go=True)
        if do == "undo":
            return self._undo(person, base)
        if person.current is None:
            raise Behind("No item is before you")
        if do == "look":
            if action.get("what") not in LOOKS:
                raise ValueError(f"what: expected one of {', '.join(LOOKS)}")
            self.file.append({"kind": "look", **base, "what": action["what"]})
            return self._reply(person, "")
        if do in ("submit", "skip"):
            return self._finish(person, base, do)
        return self._rank(person, base, do, action.get("position"))

    def _rank(self, person: Annotator, base: Row, do: Any, position: Any) -> Reply:
        draft = person.draft()
        row: Row
        if do == "rank":
            if type(position) is not int or not 1 <= position <= len(person.shown):
                raise Refused(f"There are {len(person.shown)} answers, 1 to {len(person.shown)}")
            answer = person.shown[position - 1]
            row = {"kind": "rank" if answer in draft.left else "unrank", **base, "answer_id": answer}
        elif do in ("tie", "rest"):
            row = {"kind": do, **base}
            (draft.toggle_tie if do == "tie" else draft.rest)()  # says why it cannot be done, if it cannot
        else:
            raise ValueError(f"do: no such action {do!r}")
        self.file.append(row)
        return self._reply(person, _told(row["kind"], person, position))

    def _finish(self, person: Annotator, base: Row, do: Literal["submit", "skip"]) -> Reply:
        own: Row = {"shown": person.shown}
        if do == "submit":
            spent = person.seconds.get(base["item_id"], 0.0) + base["seconds"]
            own = {"ranks": person.draft().ranks(), **own, "item_seconds": round(spent, 2)}
        again = {**base, "id": f"{base['id']}+", "seconds": 0.0}
        item = self._next(person.name, done_with=base["item_id"])
        opening = [self._opening(person.name, item, again)] if item else []
        self.file.append({"kind": do, **base, **own}, *opening)
        return self._reply(self.file.ledger.annotator(person.name), "Saved", go=True)

    def _undo(self, person: Annotator, base: Row) -> Reply:
        if not person.stack:
            raise Refused("There is nothing to undo")
        last = person.stack[-1]
        self.file.append({"kind": "undo", **base, "item_id": last["item_id"], "undoes": last["id"]})
        person = self.file.ledger.annotator(person.name)
        back = last["kind"] in ("submit", "skip")
        return self._reply(person, "Undone", go=back)

    def _open(self, name: str, base: Row) -> list[Row]:
        if base["item_id"] is not None:
            return []
        item = self._next(name)
        return [self._opening(name, item, base)] if item else []

    def _opening(self, name: str, item: Item, base: Row) -> Row:
        return {"kind": "open", **base, "item_id": item.item_id, "shown": self.shown(item, name)}

    @staticmethod
    def _seconds(person: Annotator, claimed: Any) -> float:
        """Return the attention since the action before: what the page counted, but no more than has passed."""
        if not isinstance(claimed, int | float) or isinstance(claimed, bool) or person.last is None:
            return 0.0
        passed = (datetime.now(UTC) - person.last).total_seconds()
        return round(max(0.0, float(min(claimed, passed))), 2)

    @staticmethod
    def _reply(person: Annotator, message: str, go: bool = False) -> Reply:
        draft = person.draft() if person.current else Draft([])
        return Reply(positions(person, draft), draft.tie, message, go)


def positions(person: Annotator, draft: Draft) -> list[list[int]]:
    """Return a draft by the positions of its answers on the page, from 1."""
    return [[person.shown.index(answer) + 1 for answer in group] for group in draft.groups]


def _told(kind: str, person: Annotator, position: int) -> str:
    """Return one sentence on what an action did, for those who do not see it."""
    draft = person.draft()
    groups = positions(person, draft)
    left = len(draft.left)
    then = "" if left > 1 else "; Enter submits" if not left else f"; {_left(person, draft)} comes last, Enter submits"
    if kind == "unrank":
        return f"Answer {position} has no rank now"
    if kind == "tie":
        last = " and ".join(map(str, groups[-1]))
        return f"The next answer ties with {last}" if draft.tie else "No tie"
    if kind == "rank" and len(groups[-1]) == 1:
        return f"Answer {position} is {ordinal(len(groups))}{then}"
    tied = " and ".join(map(str, groups[-1]))
    return f"Answers {tied} tie for {ordinal(len(groups))}{then}"


def _left(person: Annotator, draft: Draft) -> str:
    place = " with the tie" if draft.tie else ""
    return f"answer {person.shown.index(draft.left[0]) + 1}{place}"


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th … 9th."""
    return f"{number}{['st', 'nd', 'rd'][number - 1] if number <= 3 else 'th'}"

"""Who gets which item, and what each action does."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.labeling import session as session_module
from rrtf_trl.labeling.draft import LabelRefused
from rrtf_trl.labeling.label_file import LabelFile, read_labels
from rrtf_trl.labeling.session import LabelingSession, StalePage
from support.labelling import make_item

ITEMS = [make_item(prompt=f"def f{i}(x):\n", task_id=f"t/{i}") for i in range(4)]
_count = iter(range(10**6))


class Desk:
    """A session and its file, which can be opened again as after a restart."""

    def __init__(self, path: Path, per_item: int = 1) -> None:
        self.path = path
        self.per_item = per_item
        self.open()

    def open(self) -> None:
        self.file = LabelFile(self.path)
        self.session = LabelingSession(self.file, ITEMS, self.per_item)

    def restart(self) -> None:
        self.file.close()
        self.open()

    def act(self, name: str, do: str, key: str | None = None, **more: Any) -> Any:
        item = self.session.item(name)
        action = {"id": key or f"action-{next(_count)}", "do": do, "item": item and item.item_id, **more}
        return self.session.act(name, action)

    def task(self, name: str) -> str | None:
        item = self.session.item(name)
        return item.task_id if item else None

    def label(self, name: str) -> str | None:
        """Label the item before somebody, all answers tied; return which it was."""
        if self.task(name) is None:
            self.act(name, "open")
        task = self.task(name)
        if task is not None:
            self.act(name, "rest")
            self.act(name, "submit")
        return task


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(per_item: int = 1) -> Desk:
        made.append(Desk(tmp_path / "l.jsonl", per_item))
        return made[-1]

    yield make
    for one in made:
        one.file.close()


def test_each_item_goes_to_one_person_where_one_is_enough(desk: Callable[..., Desk]) -> None:
    at = desk()
    for name in ("alice", "bob"):
        at.act(name, "open")
    assert {at.task("alice"), at.task("bob")} == {"t/0", "t/1"}
    done = [at.label(name) for _ in range(2) for name in ("alice", "bob")]
    assert sorted(filter(None, done)) == ["t/0", "t/1", "t/2", "t/3"]
    assert at.task("alice") is None
    assert at.session.progress("alice").left == 0


def test_each_item_goes_to_as_many_as_are_wanted_and_never_twice_to_one(desk: Callable[..., Desk]) -> None:
    at = desk(per_item=2)
    done: list[tuple[str, str]] = []
    for _ in range(5):
        for name in ("alice", "bob", "carol"):
            task = at.label(name)
            if task:
                done.append((task, name))
    assert len(done) == len(set(done)) == 8
    assert all(sum(task == f"t/{i}" for task, _ in done) == 2 for i in range(4))


def test_an_item_left_alone_goes_to_somebody_else_and_a_late_label_still_counts(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk()
    at.act("alice", "open")
    for _ in range(3):
        at.label("bob")
    at.act("bob", "open")
    assert at.task("bob") is None
    assert at.session.waiting("bob")
    monkeypatch.setattr(session_module, "LEASE", timedelta(0))
    assert at.label("bob") == "t/0"
    assert at.label("alice") == "t/0"
    assert sorted(label.annotator for label in at.file.ledger.labels() if label.item.task_id == "t/0") == [
        "alice",
        "bob",
    ]


def test_two_people_see_the_answers_in_orders_of_their_own_that_stay(desk: Callable[..., Desk]) -> None:
    at = desk(per_item=9)
    orders = {name: at.session.shown(ITEMS[0], name) for name in map(str, range(40))}
    assert len({tuple(order) for order in orders.values()}) > 10
    firsts = [order[0] for order in orders.values()]
    assert all(firsts.count(answer.answer_id) > 2 for answer in ITEMS[0].answers)
    at.act("7", "open")
    at.restart()
    assert at.file.ledger.annotators["7"].shown == orders["7"]


def test_ranks_are_of_the_answers_at_the_positions_shown(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.act("alice", "open")
    shown = at.file.ledger.annotators["alice"].shown
    for position in (3, 1):
        at.act("alice", "rank", position=position)
    assert at.act("alice", "tie").tie
    assert at.act("alice", "rank", position=4).draft == [[3], [1, 4]]
    assert at.act("alice", "submit").reload
    (label,) = at.file.ledger.labels()
    assert [label.ranks[key] for key in shown] == [2, 3, 1, 2]
    assert label.shown == shown


def test_undo_goes_back_step_by_step_through_items_and_restarts(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.act("alice", "open")
    for position in (2, 1, 3):
        at.act("alice", "rank", position=position)
    at.act("alice", "submit")
    at.act("alice", "skip")
    at.act("alice", "rank", position=4)
    assert at.task("alice") == "t/2"
    at.restart()
    assert at.act("alice", "undo").draft == []
    at.restart()
    assert at.act("alice", "undo").reload  # the skip
    assert at.task("alice") == "t/1"
    at.restart()
    reply = at.act("alice", "undo")  # the submit
    assert reply.reload
    assert reply.draft == [[2], [1], [3]]
    assert at.task("alice") == "t/0"
    assert at.file.ledger.labels() == []
    assert at.act("alice", "undo").draft == [[2], [1]]
    at.act("alice", "rank", position=4)
    at.act("alice", "submit")
    assert at.task("alice") == "t/1"
    for _ in range(4):
        at.act("alice", "undo")
    with pytest.raises(LabelRefused, match="nothing to undo"):
        at.act("alice", "undo")


def test_undo_is_each_persons_own(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.label("alice")
    at.label("bob")
    at.act("bob", "undo")
    assert [label.annotator for label in at.file.ledger.labels()] == ["alice"]


def test_skipped_items_go_to_others_and_come_back_on_demand(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.act("alice", "open")
    for _ in range(4):
        at.act("alice", "skip")
    assert at.task("alice") is None
    progress = at.session.progress("alice")
    assert (progress.left, progress.skipped, progress.mine) == (0, 4, 0)
    assert at.label("bob") == "t/0"
    assert at.act("alice", "revisit").reload
    # bob has t/0 behind him and t/1 before him
    assert at.task("alice") == "t/2"


def test_the_same_action_again_does_nothing(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.act("alice", "open", key="the-first-one")
    first = at.session.item("alice")
    assert first is not None
    action = {"id": "the-submit-1", "do": "submit", "item": first.item_id}
    at.act("alice", "rest")
    assert at.session.act("alice", action).reload
    size = at.path.stat().st_size
    assert at.session.act("alice", action).reload  # its reply was lost: nothing is written
    assert at.path.stat().st_size == size
    assert len(at.file.ledger.labels()) == 1


def test_a_page_that_is_behind_is_told(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.act("alice", "open")
    with pytest.raises(StalePage):
        at.session.act("alice", {"id": "12345678", "do": "rest", "item": ITEMS[1].item_id})
    with pytest.raises(StalePage):
        at.session.act("bob", {"id": "12345678", "do": "submit", "item": None})


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"do": "rank", "position": 5}, "There are 4 candidates"),
        ({"do": "rank", "position": "1"}, "There are 4 candidates"),
        ({"do": "submit"}, "4 candidates have no rank yet"),
        ({"do": "tie"}, "Rank one candidate first"),
    ],
)
def test_what_cannot_be_done_is_refused_and_not_written(
    desk: Callable[..., Desk], action: dict[str, Any], message: str
) -> None:
    at = desk()
    at.act("alice", "open")
    size = at.path.stat().st_size
    with pytest.raises(LabelRefused, match=message):
        at.act("alice", **action)
    assert at.path.stat().st_size == size


@pytest.mark.parametrize(
    "action", [{"do": "look", "what": "sources"}, {"do": "delete"}, {"do": "rest", "key": "short"}]
)
def test_what_is_no_action_is_refused(desk: Callable[..., Desk], action: dict[str, Any]) -> None:
    at = desk()
    at.act("alice", "open")
    with pytest.raises(ValueError, match=r"what:|do:|id:"):
        at.act("alice", **action)


def test_seconds_are_what_the_page_counted_but_no_more_than_passed(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.act("alice", "open", seconds=1000)
    at.act("alice", "rest", seconds=10**9)
    at.act("alice", "submit", seconds=-5)
    (label,) = at.file.ledger.labels()
    assert label.seconds is not None
    assert 0 <= label.seconds < 60


def test_items_that_are_no_longer_offered_can_be_finished(desk: Callable[..., Desk], tmp_path: Path) -> None:
    at = desk()
    at.act("alice", "open")
    at.file.close()
    at.file = LabelFile(at.path)
    at.session = LabelingSession(at.file, ITEMS[2:])
    assert at.label("alice") == "t/0"
    assert at.task("alice") == "t/2"
    assert len(read_labels(at.path).labels()) == 1


def test_what_an_action_did_is_said(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.act("alice", "open")
    said = [
        at.act("alice", do, **more).message
        for do, more in (
            *(("rank", {"position": 2}), ("tie", {}), ("rank", {"position": 3}), ("rank", {"position": 4})),
            *(("rank", {"position": 4}), ("rest", {})),
        )
    ]
    assert said == [
        "Candidate 2 is 1st",
        "The next candidate ties with 2",
        "Candidates 2 and 3 tie for 1st",
        "Candidate 4 is 2nd; candidate 1 comes last, Enter submits",
        "Candidate 4 has no rank now",
        "Candidates 1 and 4 tie for 2nd; Enter submits",
    ]


def test_what_the_page_never_sends_leaves_nobody_stuck(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.label("alice")
    at.act("alice", "rank", position=1)
    with pytest.raises(LabelRefused, match="Finish or skip this item first"):
        at.act("alice", "revisit")
    assert at.act("alice", "rank", position=2, seconds=10**400).message
    assert at.label("alice") is not None

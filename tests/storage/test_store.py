import dataclasses
import sqlite3
from pathlib import Path

import pytest

from rrtf_trl.errors import StoreError
from rrtf_trl.records import Candidate, CaseTests, Judgement, Problem
from rrtf_trl.storage.store import Store, batches, judgement_keys, unit_key

PROBLEMS = [Problem(f"t/{i}", f"def f{i}(x):\n", CaseTests([{"args": [1], "expected": i}]), f"f{i}") for i in range(5)]


def candidate(index: int, code: str = "pass") -> Candidate:
    return Candidate(f"c{index}", "t/0", code, code, "student", "m", {}, "stop")


def test_a_unit_comes_back_in_order_from_another_process(tmp_path: Path) -> None:
    key = unit_key({"n": 2}, PROBLEMS[:2])
    drawn = [candidate(3), candidate(1), candidate(2)]
    Store(tmp_path / "s.sqlite").add_unit(key, {"n": 2}, drawn, {"t/1": "too long"})
    reopened = Store(tmp_path / "s.sqlite")
    assert reopened.has_unit(key)
    assert reopened.candidates(key) == drawn
    assert reopened.skipped(key) == {"t/1": "too long"}


def test_a_unit_written_twice_stays_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.add_unit("k", {}, [candidate(1)], {})
    store.add_unit("k", {}, [candidate(2), candidate(3)], {})
    assert store.candidates("k") == [candidate(1)]


def test_a_unit_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store._db.execute(
        "CREATE TRIGGER fail BEFORE INSERT ON candidates WHEN NEW.position = 1 "
        "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(sqlite3.DatabaseError, match="disk full"):
        store.add_unit("k", {}, [candidate(1), candidate(2)], {})
    assert not store.has_unit("k")
    assert store.counts() == {"units": 0, "candidates": 0, "verdicts": 0}


def test_a_verdict_serves_every_candidate_with_the_same_code(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    identity = {"feedback": "unit_tests", "timeout": 5}
    key = judgement_keys(identity, PROBLEMS[0], [candidate(1)])[0]
    assert key == judgement_keys(identity, PROBLEMS[0], [candidate(2)])[0]
    store.add_judgements([(key, Judgement("c1", "unit_tests", "passed", 1.0, {"total": 1}))])
    assert store.judgements([key, "other"]) == {key: Judgement("", "unit_tests", "passed", 1.0, {"total": 1})}


def test_many_verdicts_are_read_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    keys = [f"k{i}" for i in range(1201)]
    store.add_judgements((key, Judgement("c", "f", None, i / 7, {"i": i})) for i, key in enumerate(keys))
    found = store.judgements([*keys, "other", keys[0]])
    assert set(found) == set(keys)
    assert found["k1200"] == Judgement("", "f", None, 1200 / 7, {"i": 1200})
    assert store.present("verdicts", ["k3", "other", *keys]) == set(keys)
    assert store.present("units", keys) == set()
    assert store.judgements([]) == {}


def test_keys_of_a_problems_verdicts_are_those_of_each_by_itself() -> None:
    candidates = [candidate(1), candidate(2, code="other")]
    alone = [judgement_keys({"timeout": 5}, PROBLEMS[0], [item])[0] for item in candidates]
    assert judgement_keys({"timeout": 5}, PROBLEMS[0], candidates) == alone


def test_a_verdict_is_another_for_other_code_tests_or_limits() -> None:
    identity = {"timeout": 5}
    keys = {
        judgement_keys(identity, PROBLEMS[0], [candidate(1)])[0],
        judgement_keys(identity, PROBLEMS[0], [candidate(1, code="other")])[0],
        judgement_keys(identity, PROBLEMS[1], [candidate(1)])[0],
        judgement_keys({"timeout": 6}, PROBLEMS[0], [candidate(1)])[0],
    }
    assert len(keys) == 4


def test_another_reference_is_another_key() -> None:
    other = dataclasses.replace(PROBLEMS[0], reference="def f0(x):\n    return 1\n")
    assert unit_key({}, [other]) != unit_key({}, PROBLEMS[:1])
    assert judgement_keys({}, other, [candidate(1)])[0] != judgement_keys({}, PROBLEMS[0], [candidate(1)])[0]


def test_the_same_problems_fall_into_the_same_batches() -> None:
    assert [[p.task_id for p in b] for b in batches(PROBLEMS, 2)] == [["t/0", "t/1"], ["t/2", "t/3"], ["t/4"]]
    assert list(batches(PROBLEMS[:4], 2)) == list(batches(PROBLEMS, 2))[:2]


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(StoreError, match="cannot be used as a store"):
        Store(tmp_path / "text")
    db = sqlite3.connect(tmp_path / "newer")
    db.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="another version"):
        Store(tmp_path / "newer")


def test_an_abstention_is_kept_as_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    abstained = Judgement("c1", "human", None, None, {"abstained": "nobody labelled it"})
    store.add_judgements([("k", abstained)])
    assert store.judgements(["k"]) == {"k": dataclasses.replace(abstained, candidate_id="")}


def test_a_store_of_the_version_before_keeps_its_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    db = sqlite3.connect(path)
    db.executescript(
        "CREATE TABLE verdicts (key TEXT PRIMARY KEY, feedback TEXT NOT NULL, state TEXT, score REAL NOT NULL, "
        "detail TEXT NOT NULL) WITHOUT ROWID;"
        "INSERT INTO verdicts VALUES ('k', 'unit_tests', 'passed', 1.0, '{}'); PRAGMA user_version=1;"
    )
    db.close()
    for _ in range(2):
        store = Store(path)
        assert store.judgements(["k"]) == {"k": Judgement("", "unit_tests", "passed", 1.0, {})}
        store.add_judgements([("other", Judgement("c2", "human", None, None, {"abstained": "why"}))])
        assert store.judgements(["other"]) == {"other": Judgement("", "human", None, None, {"abstained": "why"})}
        assert store.counts()["verdicts"] == 2

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest

from rrtf_trl import records
from rrtf_trl.errors import UserError
from rrtf_trl.records import Candidate, CaseTests, Problem, RecordError, content_hash, to_json

CASES = {"kind": "cases", "cases": [{"args": [2], "expected": 4}]}
PROBLEM = {"task_id": "t/0", "prompt": "def f(x):\n", "tests": CASES, "entry_point": "f"}


def test_problem_survives_json() -> None:
    problem = Problem.from_json(PROBLEM)
    assert isinstance(problem.tests, CaseTests)
    assert Problem.from_json(json.loads(json.dumps(to_json(problem)))) == problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task_id": 3}, "field task_id: expected a string that is not empty, got 3"),
        ({"prompt": ""}, "field prompt"),
        ({"prompt": [{"role": "user"}]}, r"field prompt\[0\].content: missing"),
        ({"tests": {"kind": "vibes"}}, "field tests.kind: expected one of asserts, check, cases"),
        ({"tests": {"kind": "cases", "cases": []}}, "field tests.cases: expected a non-empty list"),
        ({"tests": {"kind": "cases", "cases": [{"args": 1, "expected": 1}]}}, r"field tests.cases\[0\].args"),
        ({"tests": {"kind": "cases", "cases": [{"args": [1]}]}}, r"field tests.cases\[0\].expected"),
        ({"tests": {"kind": "pytest", "files": {"../up.py": ""}}}, "stay inside the folder"),
        ({"tests": {**CASES, "tol": 1}}, "field tests.tol: expected no such field; known are cases, atol"),
        ({"entry_point": None}, "field entry_point: expected a function's name"),
        ({"answer": 1}, "field answer: expected no such field"),
        ({"tests": [1]}, r"field tests: expected an object with a 'kind', got \[1\]"),
        ({"tests": {"kind": ["cases"]}}, r"field tests.kind: expected one of asserts, .*, got \["),
        ({"tests": {"cases": []}}, "field tests.kind: expected one of asserts, .*, got null"),
        ({"tests": {**CASES, "atol": -1}}, "field tests.atol: expected a number >= 0, got -1"),
        (
            {"tests": {**CASES, "cases": [{"args": [1], "expected": 1, "kwarg": {}}]}},
            r"tests.cases\[0\].kwarg: expected no",
        ),
        ({"tests": {"kind": "asserts", "asserts": ["x", 1]}}, r"field tests.asserts\[1\]: expected a string, got 1"),
        (
            {"tests": {"kind": "pytest", "files": {"a.py": 1}}},
            r"tests.files\['a.py'\]: expected a string, got 1",
        ),
        ({"prompt": 3}, "field prompt: expected text that is not empty or a non-empty list of chat messages, got 3"),
        ({"files": {"a-b.py": ""}}, "field files: expected names of modules"),
        ({"entry_point": 3}, "field entry_point: expected a string or null, got 3"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        Problem.from_json({**PROBLEM, **change})


def _deep(levels: int = 100_000) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


UNWRITABLE: dict[str, Any] = {
    **{"nan": float("nan"), "infinity": float("-inf"), "5000 digits": 10**5000, "surrogate": "\ud800"},
    **{"surrogate inside": {"a": ["b\udfff"]}, "surrogate as key": {"\ud800": 1}, "deep": _deep()},
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_what_cannot_be_written_is_refused_by_field(kind: str) -> None:
    value = UNWRITABLE[kind]
    case = {"args": [1, value], "expected": 4}
    for change, field in (
        ({"tests": {**CASES, "cases": [{"args": [2], "expected": 4}, case]}}, r"tests.cases\[1\].args\[1\]"),
        ({"tests": {**CASES, "cases": [{"args": [], "expected": value}]}}, r"tests.cases\[0\].expected"),
        ({"tests": {**CASES, "atol": value}}, "tests.atol"),
        ({"tests": {"kind": value}}, "tests.kind"),
        ({"metadata": {"a": value}}, r"metadata\['a'\]"),
        ({"prompt": [{"role": "user", "content": value}]}, r"prompt\[0\].content"),
        ({"task_id": value}, "task_id"),
    ):
        with pytest.raises(RecordError, match=f"^field {field}: expected .*, got .*") as error:
            Problem.from_json({**PROBLEM, **change})
        assert len(str(error.value)) < 400
        assert isinstance(error.value, UserError)


def test_an_integer_of_thousands_of_digits_is_kept() -> None:
    case = {"args": [10**4000, -(2**70)], "expected": 1}
    problem = Problem.from_json({**PROBLEM, "tests": {**CASES, "cases": [case]}})
    assert isinstance(problem.tests, CaseTests)
    assert problem.tests.cases == [case]


def test_a_field_whose_name_cannot_be_written_is_refused() -> None:
    with pytest.raises(RecordError, match="expected no such field"):
        Problem.from_json({**PROBLEM, "\ud800": 1})


def test_the_values_of_a_row_are_kept_as_they_are() -> None:
    row = {**PROBLEM, "tests": {**CASES, "atol": 1}}  # 1 has another hash than 1.0
    assert json.dumps(to_json(Problem.from_json(row))["tests"]) == json.dumps(row["tests"])


def test_the_records_load_without_the_library_that_checks_rows() -> None:
    code = "import sys, rrtf_trl.records; sys.exit('msgspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RecordError, match="field tests: missing"):
        Problem.from_json({"task_id": "t", "prompt": "p"})


def test_content_key_depends_on_tests_and_prompt_but_not_on_metadata() -> None:
    key = Problem.from_json(PROBLEM).content_key
    assert Problem.from_json({**PROBLEM, "metadata": {"level": 2}}).content_key == key
    assert Problem.from_json({**PROBLEM, "prompt": "def g(x):\n"}).content_key != key
    other = {"kind": "cases", "cases": [{"args": [2], "expected": 5}]}
    assert Problem.from_json({**PROBLEM, "tests": other}).content_key != key


def test_content_key_is_made_once_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem.from_json(PROBLEM)
    key = problem.content_key
    monkeypatch.setattr(records, "content_hash", lambda *_: "another")
    assert problem.content_key == key
    for same in (pickle.loads(pickle.dumps(problem)), copy.deepcopy(problem)):
        assert (same, same.content_key) == (problem, key)
    assert dataclasses.replace(problem, prompt="def g(x):\n").content_key == "another"
    assert problem == Problem.from_json(PROBLEM)
    assert "content_key" not in to_json(problem)


def test_keys_stay_what_they_were() -> None:
    assert Problem.from_json(PROBLEM).content_key == "8a38957b574ad4ec"
    assert Problem.from_json({**PROBLEM, "files": {"a.py": "x"}}).content_key == "08ca9eddc3690179"


def test_candidate_id_is_a_hash_of_the_content() -> None:
    fields = {
        "task_id": "t",
        "response": "r",
        "code": "c",
        "source": "student",
        "model": "m",
        "sampling": {"index": 0},
        "finish_reason": "stop",
    }
    one, same = Candidate.create(**fields), Candidate.create(**fields)
    other = Candidate.create(**{**fields, "sampling": {"index": 1}})
    assert one.candidate_id == same.candidate_id != other.candidate_id
    assert Candidate.from_json(to_json(one)) == one


def test_content_hash_ignores_the_order_of_keys_only() -> None:
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash([1, 2]) != content_hash([2, 1])
    assert content_hash("12") != content_hash("1", "2")

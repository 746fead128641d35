import json

import pytest

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
        ({"tests": {"kind": "asserts", "asserts": ["x", 1]}}, "field tests.asserts"),
        ({"tests": {"kind": "pytest", "files": {"../up.py": ""}}}, "stay inside the folder"),
        ({"tests": {**CASES, "tol": 1}}, "field tests.tol: expected no such field; known are cases, atol"),
        ({"entry_point": None}, "field entry_point: expected a function's name"),
        ({"answer": 1}, "field answer: expected no such field"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        Problem.from_json({**PROBLEM, **change})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RecordError, match="field tests: missing"):
        Problem.from_json({"task_id": "t", "prompt": "p"})


def test_content_key_depends_on_tests_and_prompt_but_not_on_metadata() -> None:
    key = Problem.from_json(PROBLEM).content_key
    assert Problem.from_json({**PROBLEM, "metadata": {"level": 2}}).content_key == key
    assert Problem.from_json({**PROBLEM, "prompt": "def g(x):\n"}).content_key != key
    other = {"kind": "cases", "cases": [{"args": [2], "expected": 5}]}
    assert Problem.from_json({**PROBLEM, "tests": other}).content_key != key


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

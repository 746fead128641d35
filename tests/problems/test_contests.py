import base64
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.errors import InputError
from rrtf_trl.feedback import UnitTests
from rrtf_trl.problems import ProblemFile, problem_from_row
from rrtf_trl.records import AssertTests, Candidate, Problem, RecordError, StdioTests

APPS_STDIN = {
    "problem_id": 7,
    "question": "Add the two numbers.",
    "input_output": json.dumps({"inputs": ["1 2\n", ["3", "4"]], "outputs": ["3\n", ["7"]]}),
    "solutions": json.dumps(["print 1", "a, b = map(int, open(0).read().split())\nprint(a + b)"]),
    "starter_code": "",
    "difficulty": "interview",
}
APPS_CALL = {
    "problem_id": 8,
    "question": "Return pairs.",
    "input_output": json.dumps({"fn_name": "pairs", "inputs": [[[1, 2]], [[3]]], "outputs": [[[[1, 2]]], [[[3, 3]]]]}),
    "starter_code": "class Solution:\n    def pairs(self, xs: List[int]) -> List[List[int]]:\n",
}
LCB_STDIN = {
    "question_id": "abc1",
    "question_content": "Add.",
    "contest_date": "2024-05-01T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "platform": "atcoder",
    "public_test_cases": json.dumps([{"input": "1 2", "output": "3", "testtype": "stdin"}]),
    "private_test_cases": "",
    "metadata": "{}",
}
LCB_CALL = {
    **LCB_STDIN,
    "question_id": "leet1",
    "contest_date": "2024-09-01T00:00:00",
    "starter_code": "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n",
    "public_test_cases": json.dumps([{"input": "[2, 7]\n9", "output": "[0, 1]", "testtype": "functional"}]),
    "metadata": json.dumps({"func_name": "twoSum"}),
}


def packed(value: Any, protocol: int = 4) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


def state(problem: Problem, code: str) -> str | None:
    rest: Any = {"source": "student", "model": "m", "sampling": {}, "finish_reason": "stop"}
    (judgement,) = UnitTests(workers=1).judge([(problem, Candidate("0", problem.task_id, code, code, **rest))])
    return judgement.state


def test_apps_programs_read_lines_and_lists_of_lines() -> None:
    problem = problem_from_row(APPS_STDIN)
    assert problem.task_id == "APPS/7"
    assert problem.tests == StdioTests([{"input": "1 2\n", "output": "3\n"}, {"input": "3\n4", "output": "7"}])
    assert problem.reference is not None  # the first that is Python 3
    assert state(problem, problem.reference) == "passed"


@pytest.mark.slow
def test_apps_functions_are_judged_as_leniently_as_apps_does() -> None:
    problem = problem_from_row(APPS_CALL)
    assert problem.entry_point == "Solution.pairs"
    head = "class Solution:\n    def pairs(self, xs):\n        "
    assert state(problem, head + "return [[xs[0], xs[-1]]]\n") == "passed"
    assert state(problem, head + "return [(xs[0], xs[-1])]\n") == "passed"
    assert state(problem, head + "return [(xs[0], xs[-1]), 0]\n") == "partial"


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_hidden_tests_are_read_out_of_the_pickle_that_they_come_in(protocol: int) -> None:
    hidden = [{"input": "2 2", "output": "4", "testtype": "stdin"}]
    problem = problem_from_row({**LCB_STDIN, "private_test_cases": packed(json.dumps(hidden), protocol)})
    assert isinstance(problem.tests, StdioTests)
    assert [case["output"] for case in problem.tests.stdio] == ["3", "4"]


class Evil:
    """Unpickling it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_that_runs_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(RecordError, match=r"a pickle with .*more than the one string"):
        problem_from_row({**LCB_STDIN, "private_test_cases": packed(Evil(mark))})
    assert not mark.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no base64!", "neither JSON nor compressed"),
        (base64.b64encode(b"plain").decode(), "neither JSON nor compressed"),
        (packed(["a", "b"]), "a pickle with EMPTY_LIST"),
        (base64.b64encode(zlib.compress(b"\x80\x04")).decode(), "not a pickle|a pickle of 0 strings"),
    ],
)
def test_other_hidden_tests_are_refused_by_field(value: str, message: str) -> None:
    with pytest.raises(RecordError, match=f"field private_test_cases: ({message})"):
        problem_from_row({**LCB_STDIN, "private_test_cases": value})


@pytest.mark.slow
def test_leetcodes_methods_run_with_the_names_that_the_judge_gives() -> None:
    problem = problem_from_row(LCB_CALL)
    assert isinstance(problem.tests, AssertTests)
    assert problem.entry_point == "Solution.twoSum"
    head = "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        "
    assert state(problem, head + "return list(range(gcd(2, 4)))\n") == "passed"
    assert state(problem, head + "return 0, 1\n") == "passed"  # a tuple stands for a list
    assert state(problem, head + "return [1]\n") == "partial"


def apps(value: Any) -> str:
    return json.dumps({"fn_name": "f", "inputs": [value], "outputs": [1]})


def lcb(text: str) -> str:
    return json.dumps([{"input": text, "output": "1", "testtype": "functional"}])


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_contests_are_chosen_by_date(tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", LCB_STDIN, LCB_CALL)
    assert [p.task_id for p in ProblemFile(path, since="2024-06-01")] == ["LiveCodeBench/leet1"]
    assert [p.task_id for p in ProblemFile(path, until="2024-05-01")] == ["LiveCodeBench/abc1"]
    with pytest.raises(InputError, match="no problems in this file match task_range, since and until"):
        list(ProblemFile(path, since="2030-01-01"))


def test_rows_without_tests_are_left_out_and_remembered(tmp_path: Path) -> None:
    empty = {**APPS_STDIN, "problem_id": 9, "input_output": ""}
    problems = ProblemFile(write(tmp_path / "test.jsonl", APPS_STDIN, empty))
    assert [problem.task_id for problem in problems] == ["APPS/7"]
    assert problems.without_tests == ["APPS/9"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**APPS_STDIN, "input_output": "{"}, "field input_output: not JSON"),
        ({**APPS_STDIN, "input_output": '{"inputs": ["1"], "outputs": []}'}, "1 inputs and 0 outputs"),
        ({**APPS_STDIN, "question": None}, "field question: expected a string, got null"),
        ({**APPS_STDIN, "input_output": "[" * 100_000}, "field input_output: not JSON: nested too deep"),
        ({**APPS_STDIN, "input_output": "[1]"}, r"field input_output: expected an object, got \[1\]"),
        ({**APPS_CALL, "input_output": apps("[" * 100_000)}, "field input_output: .*nested too deep"),
        ({**APPS_CALL, "input_output": apps("1" * 5_000)}, "field input_output: .*5000 digits"),
        ({**APPS_CALL, "input_output": apps("[" * 700 + "]" * 700)}, "nested too deep"),
        ({**APPS_STDIN, "starter_code": 3}, "field starter_code: expected a string or null, got 3"),
        ({**LCB_STDIN, "private_test_cases": "[" * 100_000}, "field private_test_cases: not JSON: nested too deep"),
        ({**LCB_STDIN, "private_test_cases": packed("[")}, "field private_test_cases: not JSON"),
        ({**LCB_STDIN, "public_test_cases": "[1]"}, "field public_test_cases, .*expected lists of objects"),
        ({**LCB_CALL, "public_test_cases": lcb("1" * 5_000)}, "a functional test is not JSON: .*5000 digits"),
        ({**LCB_CALL, "metadata": "{}"}, "field metadata: no func_name"),
        ({**LCB_STDIN, "question_content": 3}, "field question_content"),
    ],
)
def test_broken_rows_are_refused_by_line_and_field(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(InputError, match=rf"test\.jsonl:1: .*{message}"):
        list(ProblemFile(write(tmp_path / "test.jsonl", row)))

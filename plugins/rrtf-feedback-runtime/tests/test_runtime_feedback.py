from __future__ import annotations

import platform

import pytest

from rrtf_feedback_runtime.judge import Runtime
from rrtf_trl.records import Candidate, Judgement, Problem
from rrtf_trl.testing import FeedbackContract

pytest_plugins = ["rrtf_trl.testing"]


class TestRuntime(FeedbackContract):
    choice = "runtime"
    options = {"workers": 2, "repeats": 1}  # noqa: RUF012
    wrong_options = ({"measure": "luck"}, {"memory_weight": -1}, {"repeats": 0})


def test_another_python_is_another_judge() -> None:
    assert Runtime().identity()["python"] == ".".join(platform.python_version_tuple()[:2])


CASES = {"kind": "cases", "cases": [{"args": [n], "expected": n * (n - 1) // 2} for n in (0, 3, 200)]}
ASSERTS = {"kind": "asserts", "asserts": ["assert solve(3) == 3", "assert solve(200) == 19900"], "setup": ""}
CHECK = {"kind": "check", "check": "def check(candidate):\n    assert candidate(200) == 19900\n"}
STDIO = {"kind": "stdio", "stdio": [{"input": "1\n", "output": "1\n"}]}

FORMULA = "def solve(n):\n    return n * (n - 1) // 2\n"
LOOP = "def solve(n):\n    total = 0\n    for i in range(n):\n        total += i\n    return total\n"
LIST = "def solve(n):\n    kept = [[i] * 1000 for i in range(n)]\n    return sum(x[0] for x in kept)\n"
WRONG = "def solve(n):\n    return n\n"
ENDLESS = "calls = []\n" + FORMULA.replace(
    "    return", "    calls.append(n)\n    while len(calls) > 3: pass\n    return"
)


def judge(tests: object, *programs: str, **options: object) -> list[Judgement]:
    problem = Problem.from_json({"task_id": "t", "prompt": "def solve(n):\n", "entry_point": "solve", "tests": tests})
    candidates = [
        Candidate.create(
            task_id="t", response=code, code=code, source="student", model="m", sampling={}, finish_reason="stop"
        )
        for code in programs
    ]
    source = Runtime(workers=2, **options)  # type: ignore[arg-type]
    found = {j.candidate_id: j for j in source.judge((problem, c) for c in candidates)}
    return [found[candidate.candidate_id] for candidate in candidates]


@pytest.mark.parametrize("tests", [CASES, ASSERTS, CHECK], ids=lambda tests: tests["kind"])
def test_less_work_and_less_memory_stand_higher(tests: object) -> None:
    formula, loop, kept, wrong = judge(tests, FORMULA, LOOP, LIST, WRONG, repeats=2)
    assert formula.score is not None
    assert loop.score is not None
    assert kept.score is not None
    assert formula.score > loop.score > kept.score
    assert formula.detail["instructions"] < 50 < 600 < loop.detail["instructions"]
    assert formula.detail["peak_kib"] <= loop.detail["peak_kib"] < 100 < 1000 < kept.detail["peak_kib"]
    assert (wrong.score, wrong.detail) == (None, {"abstained": "it does not pass its tests"})


def test_time_tells_what_instructions_cannot() -> None:
    slow_in_c = "def solve(n):\n    sorted(range(20000), key=str)\n    return n * (n - 1) // 2\n"
    fast, slow = judge(CASES, FORMULA, slow_in_c, measure="time", repeats=3)
    assert fast.score is not None
    assert slow.score is not None
    assert fast.score > slow.score + 3
    counted, also = judge(CASES, FORMULA, slow_in_c, memory_weight=0)
    assert counted.score is not None
    assert also.score is not None
    assert counted.score - also.score < 3


def test_what_cannot_be_measured_gets_no_score() -> None:
    (endless,) = judge(CASES, ENDLESS, timeout=1.0, repeats=1)
    assert endless.detail["abstained"].startswith("it could not be measured: ")
    (program,) = judge(STDIO, "print(input())\n")
    assert program.detail == {"abstained": "tests of kind stdio do not call a function"}

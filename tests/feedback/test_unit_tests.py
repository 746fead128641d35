import os
from pathlib import Path

import pytest

from rrtf_trl.feedback import UnitTests
from rrtf_trl.problems import ProblemFile
from rrtf_trl.records import Candidate, CaseTests, Judgement, Problem, PytestTests

CASES = CaseTests([{"args": [n], "expected": 2 * n} for n in range(4)])
PROBLEM = Problem("t", "def f(x):\n", CASES, "f")


def judge(*bodies: str, problem: Problem = PROBLEM) -> dict[str, Judgement]:
    candidates = [
        Candidate(str(i), "t", body, str(problem.prompt) + body, "student", "m", {}, "stop")
        for i, body in enumerate(bodies)
    ]
    tests = UnitTests(timeout=1, memory_mb=128, workers=2)
    return {judgement.candidate_id: judgement for judgement in tests.judge((problem, c) for c in candidates)}


def test_the_papers_four_states_and_the_share_of_tests_passed() -> None:
    found = judge(
        "    return 2 * x\n",
        "    return x * x\n",
        "    return x.y\n",
        "    return (x\n",
        "    while True: pass\n",
        "    return len(bytearray(2**30))\n",
    )
    assert [found[str(i)].state for i in range(6)] == [
        "passed",
        "partial",
        "runtime_error",
        "compile_error",
        "timeout",
        "memory",
    ]
    assert [found[str(i)].score for i in range(4)] == [1.0, 0.5, 0.0, 0.0]
    assert found["1"].detail["passed"] == 2
    assert "f(1)" in found["1"].detail["message"]


def test_leaving_early_is_not_passing() -> None:
    found = judge("    import os; os._exit(0)\n", "    raise SystemExit(0)\n", "    exit()\n")
    assert not any(judgement.state == "passed" for judgement in found.values())


def test_problems_that_cannot_be_judged_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="job t: tests of kind 'pytest' are not supported"):
        UnitTests().check(Problem("t", "p", PytestTests({"test_a.py": "..."})))
    UnitTests().check(PROBLEM)


def test_the_identity_names_what_decides_a_verdict_and_not_how_many_work_at_it() -> None:
    assert UnitTests(workers=1).identity() == UnitTests(workers=2).identity()
    assert UnitTests(timeout=1).identity() != UnitTests(timeout=2).identity()


@pytest.mark.skipif(not os.environ.get("RRTF_DATA_DIR"), reason="RRTF_DATA_DIR does not name the folder of data")
def test_humanevals_references_pass_as_completions_of_their_prompts() -> None:
    problems = {p.task_id: p for p in ProblemFile(Path(os.environ["RRTF_DATA_DIR"]) / "HumanEval.jsonl.gz")}
    items = [
        (p, Candidate(p.task_id, p.task_id, "", str(p.reference), "reference", "reference", {}, "stop"))
        for p in problems.values()
    ]
    failed = [judgement for judgement in UnitTests().judge(items) if judgement.state != "passed"]
    assert failed == []

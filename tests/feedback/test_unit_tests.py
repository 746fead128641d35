import os
from pathlib import Path

import pytest

from rrtf_trl.errors import FeedbackError
from rrtf_trl.feedback import UnitTests
from rrtf_trl.problems import ProblemFile
from rrtf_trl.records import AssertTests, Candidate, CaseTests, Judgement, Problem, PytestTests
from rrtf_trl.sandbox import Sandbox, describe_isolation
from rrtf_trl.sandbox.isolation import tiers

CASES = CaseTests([{"args": [n], "expected": 2 * n} for n in range(4)])
PROBLEM = Problem("t", "def f(x):\n", CASES, "f")


def judge(*bodies: str, problem: Problem = PROBLEM) -> dict[str, Judgement]:
    programs = [body if body.startswith("def") else f"{problem.prompt}{body}" for body in bodies]
    candidates = [Candidate(str(i), "t", "", code, "student", "m", {}, "stop") for i, code in enumerate(programs)]
    tests = UnitTests(timeout=1, memory_mb=128, workers=2)
    return {judgement.candidate_id: judgement for judgement in tests.judge((problem, c) for c in candidates)}


@pytest.mark.slow
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
    with pytest.raises(ValueError, match="job t: there are no tests"):
        UnitTests().check(Problem("t", "p", PytestTests({})))
    UnitTests().check(PROBLEM)


def test_the_identity_names_what_decides_a_verdict_and_not_how_many_work_at_it() -> None:
    assert UnitTests(workers=1).identity() == UnitTests(workers=2).identity()
    assert UnitTests(timeout=1).identity() != UnitTests(timeout=2).identity()
    elsewhere = [UnitTests(timeout=1, backend=Sandbox(workers=1, timeout=seconds)).identity() for seconds in (1, 2)]
    assert elsewhere[0] not in (elsewhere[1], UnitTests(timeout=1).identity())
    assert elsewhere[0] == UnitTests(timeout=9, backend=Sandbox(workers=2, timeout=1)).identity()


@pytest.mark.slow
def test_verdicts_of_unsafe_runs_are_not_taken_for_those_of_isolated_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    isolated = UnitTests().identity()
    if describe_isolation()["tier"] != "none":
        assert UnitTests(allow_unsafe=True).identity() == isolated
    assert UnitTests(backend=Sandbox(allow_unsafe=True, tier="unsafe")).identity()["executor"]["tier"] == "unsafe"
    # As on a machine that offers nothing else.
    monkeypatch.setattr(tiers, "tiers_to_try", lambda allow_unsafe: ["unsafe"] if allow_unsafe else [])
    anything = UnitTests(timeout=1, workers=1, allow_unsafe=True)
    assert anything.identity() == UnitTests(timeout=1).identity() | {"tier": "unsafe", "allow_unsafe": True}
    (judgement,) = anything.judge(
        [(PROBLEM, Candidate("0", "t", "", "def f(x): return 2 * x", "student", "m", {}, "stop"))]
    )
    assert (judgement.state, judgement.detail["tier"]) == ("passed", "unsafe")
    assert UnitTests().identity() == isolated


def test_what_was_found_isolated_is_not_judged_without(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = UnitTests(workers=1, allow_unsafe=True)
    if "tier" in tests.identity():
        pytest.skip("this machine offers no isolation")
    monkeypatch.setattr(tiers, "tiers_to_try", lambda allow_unsafe: ["unsafe"] if allow_unsafe else [])
    candidate = Candidate("0", "t", "", "def f(x): return 2 * x", "student", "m", {}, "stop")
    with pytest.raises(FeedbackError, match="cannot isolate"):
        list(tests.judge([(PROBLEM, candidate)]))


def test_the_detail_says_which_test_failed_and_how() -> None:
    found = judge(
        "    return x if x else 0\n", "    return [][x]\n", "    return 2 * x\n", "    import os; os._exit(0)\n"
    )
    tier = found["0"].detail["tier"]
    assert found["0"].detail == {
        "passed": 1, "total": 4, "message": "case 1: f(1) returned 1; expected 2", "tier": tier,
        "test": "case 1", "test_index": 1, "expected": "2", "got": "1",
    }  # fmt: skip
    assert found["1"].detail["exception"] == "IndexError"
    assert found["1"].detail["test_index"] == 0
    assert found["2"].detail == {"passed": 4, "total": 4, "message": "", "tier": tier}
    assert found["3"].detail["exception"] == ""


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("RRTF_DATA_DIR"), reason="RRTF_DATA_DIR does not name the folder of data")
@pytest.mark.parametrize("name", ["HumanEval.jsonl.gz", "mbpp-001-600.jsonl.gz"])
def test_references_pass_and_a_function_that_does_nothing_does_not(name: str) -> None:
    problems = list(ProblemFile(Path(os.environ["RRTF_DATA_DIR"]) / name))
    items = []
    for problem in problems:
        nothing = f"def {problem.entry_point}(*args, **kwargs):\n    return None\n"
        for word, code in (("right", str(problem.reference)), ("nothing", nothing)):
            fields = (problem.task_id, "", code, "student", "m", {}, "stop")
            items.append((problem, Candidate(f"{word} {problem.task_id}", *fields)))  # type: ignore[arg-type]
    # MBPP/123 takes four seconds of a core that it has for itself, and more of one that it shares.
    states = {judgement.candidate_id: judgement.state for judgement in UnitTests(timeout=30).judge(items)}
    assert {key for key, state in states.items() if key.startswith("right") and state != "passed"} == set()
    assert {key for key, state in states.items() if key.startswith("nothing") and state == "passed"} == set()


def test_the_reference_never_stands_in_for_the_candidate() -> None:
    tests = AssertTests(["assert double(2) == 4", "assert double(3) == 6"])
    problem = Problem("t", "Write double.", tests, "double", reference="def double(x):\n    return 2 * x\n")
    found = judge("def double(x):\n    return 4\n", "def other(x):\n    return 2 * x\n", problem=problem)
    assert [found[key].state for key in "01"] == ["partial", "runtime_error"]


def test_a_helper_that_the_prompt_defines_is_the_prompts_and_not_the_candidates() -> None:
    tests = AssertTests(["assert same(double(2), 4)"])
    same = "def same(a, b):\n    return a == b\n"
    right = f"{same}def double(x):\n    return 2 * x\n"
    prompt = f'{same}def double(x):\n    """Double a number."""\n'
    liar = "def same(a, b):\n    return True\ndef double(x):\n    return 0\n"
    found = judge(right, liar, problem=Problem("t", prompt, tests, "double", reference=right))
    assert [found[key].state for key in "01"] == ["passed", "partial"]


def test_all_that_the_tests_use_and_the_prompt_does_not_define_has_to_be_the_candidates() -> None:
    tests = AssertTests(["assert encode('a') == 'b'", "assert decode('b') == 'a'"])
    encode = "def encode(s): return ''.join(chr(ord(c) + 1) for c in s)\n"
    right = encode + "def decode(s): return ''.join(chr(ord(c) - 1) for c in s)\n"
    problem = Problem("t", "Write encode and decode.", tests, "encode", reference=right)
    found = judge(right, encode, encode + "def decode(s): return s\n", problem=problem)
    assert [found[key].state for key in "012"] == ["passed", "partial", "partial"]


def test_what_the_programs_own_objects_decided_is_marked_and_can_be_refused() -> None:
    tests = AssertTests(["assert P(1) == P(1)", "assert P(2).x == 2"])
    code = "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, other): return self.x == other.x\n"
    problem = Problem("t", "Write P.", tests, "P")
    items = [(problem, Candidate("0", "t", "", code, "student", "m", {}, "stop"))]
    (found,) = UnitTests().judge(items)
    assert (found.state, found.score, found.detail["decided_by"]) == ("passed", 1.0, "program")
    (found,) = UnitTests(decided_by="judge").judge(items)
    assert (found.state, found.score) == ("refused", 0.0)
    assert UnitTests(decided_by="judge").identity() != UnitTests().identity()

"""Wrong programs that try to be judged right. None may pass, with namespaces or without."""

from __future__ import annotations

from typing import Any

import pytest

from rrtf_trl.records import AssertTests, StdioTests
from rrtf_trl.sandbox import Job, Outcome, Sandbox
from support.sandbox_hacks import HACKS, SPECIAL, SQUARE, STDIO_HACKS

WHERE = ("sandbox", "bare_sandbox")
SLOW = {
    "shutdown of the channel",
    "returns too much",
    "flood of the channel",
    "searches frames and gc for the answer",
}


@pytest.fixture(scope="module")
def runners(hasty_ones: list[Sandbox], bare_and_hasty: Sandbox) -> dict[tuple[str, str], Sandbox]:
    """By where it runs and the kind of tests; without namespaces one kind is enough."""
    inside = zip(SQUARE, hasty_ones, strict=True)
    return {**{("sandbox", kind): runner for kind, runner in inside}, ("bare_sandbox", "cases"): bare_and_hasty}


@pytest.fixture(scope="module")
def outcomes(runners: dict[tuple[str, str], Sandbox], judge_at_once: Any) -> dict[tuple[str, str, str], Outcome]:
    jobs = [
        [
            Job(name, code, *SQUARE[kind])
            for name, code in HACKS.items()
            if kind in ("check", "cases") or name not in SLOW
        ]
        for _, kind in runners
    ]
    judged = judge_at_once(zip(runners.values(), jobs, strict=True))
    assert [len(outcomes) for outcomes in judged] == [len(some) for some in jobs]
    keys_and_outcomes = zip(runners, judged, strict=True)
    return {(*key, outcome.job_id): outcome for key, outcomes in keys_and_outcomes for outcome in outcomes}


@pytest.mark.slow
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", HACKS)
def test_no_hack_passes(name: str, where: str, outcomes: dict[tuple[str, str, str], Outcome]) -> None:
    results = [outcome for (at, _, hack), outcome in outcomes.items() if (at, hack) == (where, name)]
    assert results
    for outcome in results:
        assert outcome.state not in ("passed", "infrastructure"), outcome
        assert outcome.message


@pytest.mark.slow
def test_the_sandbox_still_works_after_all_hacks(
    outcomes: dict[tuple[str, str, str], Outcome], runners: dict[tuple[str, str], Sandbox]
) -> None:
    for runner in runners.values():
        for kind, (tests, entry) in SQUARE.items():
            (outcome,) = runner.run_many([Job(kind, "def f(x): return x * x", tests, entry)])
            assert (outcome.state, outcome.passed) == ("passed", outcome.total), outcome


def test_states_of_some_hacks(outcomes: dict[tuple[str, str, str], Outcome]) -> None:
    expected = {
        "does not compile": "compile_error",
        "null byte": "compile_error",
        "raises at import": "runtime_error",
        "sys.exit at import": "runtime_error",
        "os._exit at import": "runtime_error",
        "f is missing": "runtime_error",
        "SystemExit in call": "runtime_error",
        "endless recursion": "runtime_error",
        "returns a generator": "partial",
        "patched math and json": "partial",
        "huge length": "refused",
        "reply sent before the call": "refused",
    }
    assert {name: outcomes["sandbox", "cases", name].state for name in expected} == expected


@pytest.mark.parametrize("name", STDIO_HACKS)
def test_no_stdio_hack_passes(name: str, sandbox: Sandbox) -> None:
    tests = StdioTests([{"input": "2\n", "output": "4\n"}, {"input": "3\n", "output": "9\n"}])
    (outcome,) = sandbox.run_many([Job(name, STDIO_HACKS[name], tests)])
    assert outcome.state not in ("passed", "infrastructure"), outcome
    assert outcome.passed == 0


@pytest.mark.parametrize("name", SPECIAL)
def test_tests_that_a_program_could_reach_into(name: str, sandbox: Sandbox) -> None:
    tests, right, wrong = SPECIAL[name]
    for context in ("", right):
        jobs = [Job("right", right, tests, "f", context)] * 3
        jobs += [Job(f"wrong {code!r}", code, tests, "f", context) for code in wrong] * 2
        for outcome in sandbox.run_many(jobs):
            assert (outcome.state == "passed") is (outcome.job_id == "right"), outcome
            assert outcome.state != "infrastructure"


@pytest.mark.slow
def test_an_iterator_without_end_does_not_fill_the_judge(hasty: Sandbox) -> None:
    code = "def f(x):\n    while True: yield [0] * 1_000_000\n"
    tests = AssertTests(["assert list(f(1)) == [0]"])
    worker = [worker._process.pid for worker in hasty._pool]
    outcomes = list(hasty.run_many([Job("", code, tests, "f", "def f(x): yield 0\n")] * 4))
    assert {outcome.state for outcome in outcomes} <= {"refused", "timeout", "memory"}
    assert [worker._process.pid for worker in hasty._pool] == worker

"""The references of real benchmarks are right, so the sandbox must say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rrtf_trl.records import AssertTests, CheckTests
from rrtf_trl.sandbox import Job, Sandbox

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def patient() -> Iterator[Sandbox]:
    # MBPP/123 takes four seconds of a core that it has for itself, and more of one that it shares.
    with Sandbox(workers=2, timeout=30) as runner:
        yield runner


def test_all_humaneval_solutions_pass(humaneval: list[dict[str, Any]], patient: Sandbox) -> None:
    jobs = []
    for row in humaneval:
        program = row["prompt"] + row["canonical_solution"]
        jobs.append(Job(row["task_id"], program, CheckTests(row["test"]), row["entry_point"], context=program))
    outcomes = list(patient.run_many(jobs))
    assert len(outcomes) == 164
    assert [outcome for outcome in outcomes if outcome.state != "passed"] == []


def test_prompts_without_a_body_fail_humaneval(humaneval: list[dict[str, Any]], patient: Sandbox) -> None:
    jobs = [
        Job(row["task_id"], row["prompt"] + "    pass\n", CheckTests(row["test"]), row["entry_point"],
            context=row["prompt"] + row["canonical_solution"])
        for row in humaneval[:60]
    ]  # fmt: skip
    assert {outcome.state for outcome in patient.run_many(jobs)} <= {"partial", "runtime_error"}


def test_all_mbpp_references_pass(mbpp: list[dict[str, Any]], patient: Sandbox) -> None:
    jobs = [
        Job(str(row["task_id"]), row["code"], AssertTests(row["test_list"], row["test_setup_code"])) for row in mbpp
    ]
    outcomes = list(patient.run_many(jobs))
    assert len(outcomes) == 600
    assert [outcome for outcome in outcomes if outcome.state != "passed"] == []

"""Programs that are wrong by one token get the verdict that a plain, trusted execution gives.

``RRTF_MUTANTS=all`` takes every problem in place of a few.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from rrtf_trl.records import AssertTests, CheckTests
from rrtf_trl.sandbox import Job, Sandbox
from support.sandbox_mutants import mutants, passes, plain_asserts, plain_check

pytestmark = pytest.mark.slow

SECONDS = 1.0
ALL = os.environ.get("RRTF_MUTANTS") == "all"


def differences(jobs: dict[str, Job], expected: dict[str, bool]) -> list[str]:
    """Say where the sandbox's verdict is another."""
    found = []
    with Sandbox(workers=2, timeout=SECONDS) as sandbox:
        for outcome in sandbox.run_many(jobs.values()):
            if (outcome.state == "passed") is not expected[outcome.job_id]:
                found.append(f"{outcome}\n{jobs[outcome.job_id].code}")
    return found


def test_humaneval(humaneval: list[dict[str, Any]]) -> None:
    jobs, expected = {}, {}
    for row in humaneval if ALL else humaneval[2::12]:
        reference = row["prompt"] + row["canonical_solution"]
        tests = CheckTests(row["test"])
        for index, program in enumerate(mutants(reference, 6 if ALL else 4, seed=1)):
            name = f"{row['task_id']} {index}"
            verdict = passes(plain_check(program, reference, row["test"], row["entry_point"]), SECONDS)
            if verdict is not None:
                *helpers, _ = re.findall(r"^def (\w+)", row["prompt"], re.MULTILINE)  # the last is the entry point
                jobs[name] = Job(name, program, tests, row["entry_point"], reference, helpers=tuple(helpers))
                expected[name] = verdict
    assert len(jobs) > 40
    assert differences(jobs, expected) == []


def test_mbpp(mbpp: list[dict[str, Any]]) -> None:
    jobs, expected = {}, {}
    for row in mbpp if ALL else mbpp[7::40]:
        tests = AssertTests(row["test_list"], row["test_setup_code"])
        for index, program in enumerate(mutants(row["code"], 6 if ALL else 4, seed=1)):
            name = f"{row['task_id']} {index}"
            verdict = passes(plain_asserts(program, row["test_setup_code"], row["test_list"]), SECONDS)
            if verdict is not None:
                jobs[name], expected[name] = Job(name, program, tests), verdict
    assert len(jobs) > 30
    assert differences(jobs, expected) == []

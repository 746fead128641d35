from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rrtf_feedback_ruff.judge import Ruff
from rrtf_trl.errors import FeedbackError
from rrtf_trl.records import Candidate, Judgement, Problem
from rrtf_trl.testing import FeedbackContract

pytest_plugins = ["rrtf_trl.testing"]


class TestRuff(FeedbackContract):
    choice = "ruff"
    wrong_options = ({"select": ["-x"]}, {"complexity_weight": -1}, {"batch_size": 0})


def judge(problem: Problem, *programs: str, **options: object) -> list[Judgement]:
    candidates = [
        Candidate.create(
            task_id=problem.task_id,
            response=code,
            code=code,
            source="student",
            model="m",
            sampling={"index": index},
            finish_reason="stop",
        )
        for index, code in enumerate(programs)
    ]
    found = {j.candidate_id: j for j in Ruff(**options).judge((problem, c) for c in candidates)}  # type: ignore[arg-type]
    return [found[candidate.candidate_id] for candidate in candidates]


PLAIN = "def f(x):\n    return x\n"
UNUSED = "def f(x):\n    y = 1\n    return x\n"
BRANCHED = "def f(x):\n    for a in x:\n        if a:\n            return a\n    return None\n"


def test_what_it_finds_and_how_complex_it_is(problems: list[Problem]) -> None:
    plain, unused, branched, broken, empty = judge(problems[0], PLAIN, UNUSED, BRANCHED, "def f(:\n", "")
    assert (plain.score, plain.detail) == (0.0, {"findings": {}, "complexity": 0})
    assert (unused.score, unused.detail) == (-1.0, {"findings": {"F841": 1}, "complexity": 0})
    assert (branched.score, branched.detail["complexity"]) == (-1.0, 2)
    assert (broken.score, broken.detail) == (None, {"abstained": "it is not a program"})
    assert empty.score == 0.0


def test_options(problems: list[Problem]) -> None:
    assert [j.score for j in judge(problems[0], UNUSED, BRANCHED, complexity_weight=0)] == [-1.0, 0.0]
    assert [j.score for j in judge(problems[0], UNUSED, ignore=["F841"])] == [0.0]
    assert [j.score for j in judge(problems[0], "import os\n", select=["E7"])] == [0.0]
    with pytest.raises(FeedbackError, match=r"ruff failed: .*XYZ"):
        judge(problems[0], PLAIN, select=["XYZ9"])


@pytest.mark.parametrize("silence", ["# ruff: noqa\n", "# flake8: noqa\n", "# ruff: file-ignore[F841]\n"])
def test_an_answer_cannot_silence_it(problems: list[Problem], silence: str, tmp_path: Path) -> None:
    found = judge(problems[0], silence + UNUSED, UNUSED.replace("y = 1", "y = 1  # noqa: F841"))
    assert [judgement.score for judgement in found] == [-1.0, -1.0]


def test_one_call_reads_a_batch(
    problems: list[Problem], candidates: list[tuple[Problem, Candidate]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: calls.append(args) or real(*args, **kwargs))
    assert len(list(Ruff(batch_size=8).judge(candidates))) == 20
    assert len(calls) == 3


def test_it_breaks_the_ties_of_a_run(run_rrtf: Callable[..., Path]) -> None:
    run = run_rrtf("feedback=[unit_tests,ruff]")
    rows = [json.loads(line) for line in (run / "judgements.jsonl").read_text().splitlines()]
    assert {row["feedback"] for row in rows} == {"unit_tests", "ruff"}
    standings = [json.loads(line) for line in (run / "standings.jsonl").read_text().splitlines()]
    assert all("ruff" in standing["opinions"] for row in standings for standing in row["standings"])

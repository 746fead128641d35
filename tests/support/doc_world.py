"""The folder that a page's blocks are run in: the files and runs that the documentation speaks of."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rrtf_trl.assets import model_path
from rrtf_trl.problems.exercises import exercises
from rrtf_trl.records import to_json
from support.warm_python import python

SMALL = [
    "problems.train.limit=8", "problems.heldout.limit=4", "sampler.transformers.n=4", "evaluation.n=2",
    "evaluation.ks=[1]", "trainer.num_train_epochs=1", "decontamination=none",
]  # fmt: skip
RUN = "quickstart-a9bb336d"
"""The run of the quick start, as the documentation calls it; ``runs/NAME`` is the same."""

ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "RRTF_DATA_DIR": "data",
    "PYTHONUNBUFFERED": "1",
    "COLUMNS": "100",
}
_HUMANEVAL = [
    {
        "task_id": f"HumanEval/{number}", "entry_point": name,
        "prompt": f'def {name}(x, y):\n    """Return the {text} of x and y."""\n',
        "canonical_solution": f"    return x {sign} y\n",
        "test": f"def check(candidate):\n    assert candidate(7, 3) == {7 + 3 if sign == '+' else 7 - 3}\n",
    }
    for number, (name, text, sign) in enumerate([("add", "sum", "+"), ("subtract", "difference", "-")])
]  # fmt: skip
_MBPP = {
    "task_id": 11, "text": "Write a python function to remove the first occurrence of a character.",
    "code": "def remove_first(s, c):\n    return s.replace(c, '', 1)\n", "test_setup_code": "",
    "test_list": ["assert remove_first('hello', 'l') == 'helo'"],
}  # fmt: skip
_PREFERENCES = [{"prompt": "def double(x):\n", "chosen": "    return 2 * x\n", "rejected": "    return x\n"}] * 2


def shell_environment(page: str) -> dict[str, str]:
    """Return what a page's commands are run in.

    Args:
        page: Its name. The one that is read first has the `rrtf` that is installed, the others one that starts sooner.
    """
    if page == "quickstart.md":
        return ENVIRONMENT
    return {**ENVIRONMENT, "PATH": f"{Path(python()).parent}:{ENVIRONMENT['PATH']}"}


def make_run(folder: Path) -> None:
    """Make a small run of the quick start, with which most pages begin."""
    command = [python(), "-m", "rrtf_trl.cli", "run", *SMALL]
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True, timeout=300)
    (made,) = folder.glob("runs/quickstart-*")
    made.rename(folder / "runs" / RUN)


def make_world(folder: Path, run: Path) -> None:
    """Fill a page's folder with what the pages speak of.

    Args:
        folder: The folder.
        run: One with ``runs/`` by :func:`make_run`.
    """
    shutil.copytree(run / "runs", folder / "runs")
    (folder / "runs" / "NAME").symlink_to(RUN)
    for number, name in enumerate(("1a2b3c4d", "5e6f7a8b")):
        samples = folder / "runs" / f"evaluate-humaneval-{name}" / "samples"
        samples.mkdir(parents=True)
        which = ("base", "trained")[number]
        shutil.copy(folder / "runs" / RUN / "evaluation" / f"{which}.greedy.jsonl", samples / "greedy.jsonl")
    train = [to_json(problem) for problem in exercises("train", 8)]
    heldout = [to_json(problem) for problem in exercises("heldout", 4)]
    jsonl(folder / "train.jsonl", train)
    jsonl(folder / "heldout.jsonl", heldout)
    jsonl(folder / "mine.jsonl", heldout)
    jsonl(folder / "tasks.jsonl", [{"prompt": row["prompt"]} for row in train])
    with gzip.open(folder / "HumanEval.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in _HUMANEVAL)
    (folder / "data").mkdir()
    shutil.copy(folder / "HumanEval.jsonl.gz", folder / "data")
    jsonl(folder / "data" / "mbpp.jsonl", [_MBPP])
    jsonl(
        folder / "samples.jsonl",
        [{"task_id": row["task_id"], "completion": "    return x + y\n"} for row in _HUMANEVAL],
    )
    jsonl(folder / "preferences.jsonl", _PREFERENCES)
    jsonl(folder / "NAME" / "train.jsonl", _PREFERENCES)
    answers = [{"task_id": row["task_id"], "completion": row["reference"]} for row in train]
    jsonl(folder / "answers.jsonl", answers)


def jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def put_in(text: str) -> str:
    """Put what is here in place of what the documentation leaves open; a machine without a GPU has to say so."""
    text = text.replace("PATH_OR_HUB_ID", model_path("embedded")).replace(".venv/bin/rrtf", "rrtf")
    return text.replace('output_dir="out"', 'output_dir="out", use_cpu=True')

"""Values as people type them, by the command line: paths with signs, ``~``, and sweeps over what is chosen."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from rrtf_trl.sweeps.folder import sweep_jobs
from support.warm_python import python

PROBLEM = {
    "prompt": "def inc(x):\n",
    "entry_point": "inc",
    "reference": "def inc(x):\n    return x + 1\n",
    "tests": {"kind": "cases", "cases": [{"args": [1], "expected": 2}]},
}
HELDOUT = {**PROBLEM, "prompt": "def zed():\n", "entry_point": "zed", "reference": "def zed():\n    return 'z'\n"}
FILES = ["~experiment", "problems=files", "problems.heldout.path=held.jsonl", "decontamination=none"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.jsonl").write_text(json.dumps({"task_id": "a/0", **PROBLEM}) + "\n")
    (tmp_path / "held.jsonl").write_text(json.dumps({"task_id": "b/0", **HELDOUT}) + "\n")
    answer = {"task_id": "a/0", "completion": "def inc(x):\n    return 1 + x\n"}
    (tmp_path / "answers.jsonl").write_text(json.dumps(answer) + "\n")
    return tmp_path


def rrtf(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [python(), "-m", "rrtf_trl.cli", *arguments]
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout + done.stderr


def candidates(folder: Path) -> list[list[str]]:
    """Return the sources of each run's candidates."""
    files = sorted(folder.glob("runs/run-*/candidates.jsonl"))
    return sorted([json.loads(line)["source"] for line in file.read_text().splitlines()] for file in files)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lr=1e-5, (it's) Übung #2", "~/lr=2", "a,b"])
def test_a_path_is_taken_as_it_is(name: str, folder: Path) -> None:
    place = folder / name.removeprefix("~/")
    place.mkdir()
    (folder / "train.jsonl").rename(place / "t.jsonl")
    settings = [f"problems.train.path={name}/t.jsonl", "sampler=[reference]", "runs_dir=~/runs"]
    status, output = rrtf(folder, "sample", *FILES, *settings)
    assert status == 0, output
    assert candidates(folder) == [["reference"]]
    assert not (folder / "~").exists()


@pytest.mark.slow
def test_a_sweep_over_paths_with_signs_in_a_folder_at_home(folder: Path) -> None:
    for name in ("lr=1", "lr=2"):
        (folder / name).mkdir()
        (folder / name / "t.jsonl").write_bytes((folder / "train.jsonl").read_bytes())
    paths = "problems.train.path=lr=1/t.jsonl,lr=2/t.jsonl"
    status, output = rrtf(folder, "sample", "-m", *FILES, paths, "sampler=[reference]", "runs_dir=~/runs")
    assert status == 0, output
    assert len(candidates(folder)) == 2
    (sweep,) = (folder / "runs" / "sweeps").iterdir()
    jobs = sweep_jobs(sweep)
    assert [job.outcome()[0] for job in jobs] == ["done", "done"]
    status, output = rrtf(folder, *shlex.split(jobs[0].read().command)[1:])
    assert status == 0, output
    assert len(candidates(folder)) == 2  # the same run


@pytest.mark.slow
def test_a_sweep_with_and_without_a_sampler_that_has_an_option(folder: Path) -> None:
    settings = [*FILES, "problems.train.path=train.jsonl", "sampler.replay.path=answers.jsonl"]
    status, output = rrtf(folder, "sample", "--multirun", *settings, "sampler=[reference],[reference,replay]")
    assert status == 0, output
    assert candidates(folder) == [["reference"], ["reference", "teacher"]]
    (sweep,) = (folder / "runs" / "sweeps").iterdir()
    commands = [job.read().command for job in sweep_jobs(sweep)]
    assert sorted("replay.path" in command for command in commands) == [False, True]
    for command in commands:
        status, output = rrtf(folder, *shlex.split(command)[1:])
        assert status == 0, output
    assert len(candidates(folder)) == 2
    status, output = rrtf(folder, "sample", *settings, "sampler=[reference]")
    assert (status, output.splitlines()[-1]) == (
        1,
        "rrtf: sampler.replay.path: replay is not chosen; add it: sampler=[reference,replay]",
    )
    status, output = rrtf(folder, "sample", "--multirun", *settings, "sampler=[reference],[transformers]")
    assert status == 1
    assert "replay is not chosen in any job" in output

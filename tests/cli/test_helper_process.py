"""A run in two real processes under `accelerate launch`: one goes through the stages, both draw and train."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from rich.console import Console

from rrtf_trl.config import helper_processes as distributed
from rrtf_trl.config.instantiate import train_callable
from rrtf_trl.errors import UserError
from rrtf_trl.plugins.folders import config_dir
from rrtf_trl.storage.run_folder import RunFolder
from support.warm_python import python

SMALL = [
    "problems.train.limit=16",
    "problems.heldout.limit=2",
    "decontamination=none",
    "sampler.transformers.n=3",
    "sampler.transformers.batch_size=2",
    "trainer.num_train_epochs=1",
    "trainer.per_device_train_batch_size=4",
    "trainer.logging_steps=1",
]
# Each process writes down which of our configuration files it reads.
WATCH = """
import os, sys
def note(event, arguments):
    if event == "open" and str(arguments[0]).endswith("conf/config.yaml"):
        with open(os.environ["WATCHED"], "a") as file:
            file.write(os.environ.get("RANK", "-") + "\\n")
sys.addaudithook(note)
"""


def launch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "watch").mkdir(exist_ok=True)
    (folder / "watch" / "sitecustomize.py").write_text(WATCH)
    command = [python(), "-m", "accelerate.commands.launch", "--num_processes", "2", "--mixed_precision", "no"]
    command += ["--config_file", str(config_dir() / "accelerate" / "ddp.yaml"), "--main_process_port", "0"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "watch"),
        "WATCHED": str(folder / "watched"),
        "OMP_NUM_THREADS": "1",
        "PYTHON_EXEC": python(),  # the processes that it starts
    }
    return subprocess.run(
        [*command, "-m", "rrtf_trl.cli", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_one_process_composes_and_runs_and_both_draw_and_train(tmp_path: Path) -> None:
    found = launch(tmp_path, "train", *SMALL, "+trainer.use_cpu=true")
    assert found.returncode == 0, found.stdout + found.stderr
    assert set((tmp_path / "watched").read_text().split()) == {"0"}
    assert found.stdout.count("run: ") == found.stdout.count("train: step 1/") == 1
    (run,) = (tmp_path / "runs").glob("quickstart-*")
    drawn = re.search(r"^sample transformers: (\d+) drawn by process 1$", found.stdout, re.MULTILINE)
    assert drawn is not None
    assert int(drawn[1]) % 6 == 0, "units of two problems, each with three draws"
    candidates = [json.loads(line) for line in (run / "candidates.jsonl").read_text().splitlines()]
    assert len(candidates) == 48 > int(drawn[1])
    trained = len((run / "pairs.jsonl").read_text().splitlines())
    assert f"train: step 1/{-(-trained // 8)}" in found.stdout, "each step has a batch of four in each process"
    assert (run / "policy" / "model.safetensors").stat().st_size > 0
    assert json.loads((run / "run.json").read_text())["outcome"] == {"state": "done"}

    again = launch(tmp_path, "train", *SMALL, "+trainer.use_cpu=true")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "train: nothing to do" in again.stdout


def test_processes_that_would_train_each_for_itself_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine without a GPU and without ``use_cpu``, where accelerate joins no processes."""
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("config")
    with pytest.raises(UserError, match="2 processes were started, but they do not train together"):
        train_callable(config, {}, "policy", RunFolder(tmp_path), Console())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--multirun", "seed=1,2"], "a sweep starts its own processes"),
        (["rank", "hydra.mode=MULTIRUN", "seed=1,2"], "a sweep starts its own processes"),
        (["quantize"], "`rrtf quantize` works in one process"),
        (["evaluate", "benchmark=humaneval"], "`rrtf evaluate benchmark=...` works in one process"),
    ],
)
def test_what_is_for_one_process_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    command = [python(), "-m", "rrtf_trl.cli", *arguments]
    environment = {**os.environ, "WORLD_SIZE": "2", "RANK": "0"}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert f"rrtf: {message}" in found.stderr
    assert not list(tmp_path.iterdir())

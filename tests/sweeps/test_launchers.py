"""Sweeps through each of Hydra's launchers, in real processes; without a model, so that they are quick."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rrtf_trl.problems.exercises import exercises
from rrtf_trl.records import to_json
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store
from rrtf_trl.sweeps import launch
from rrtf_trl.sweeps.folder import job_name, sweep_jobs
from support.warm_python import python

LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
    "ray": [
        "hydra/launcher=ray",
        "hydra.launcher.ray.init.address=local",  # and not a cluster that runs on this machine
        "+hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init.include_dashboard=false",
    ],
}
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1", "RAY_AUTH_MODE": "disabled"}
NO_TELLING = {"RAY_USAGE_STATS_ENABLED": "0"}


def start(folder: Path, *arguments: str, with_python: str = "", **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [with_python or python(), "-m", "rrtf_trl.cli", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def rrtf(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    process = start(folder, *arguments, **environment)
    output, _ = process.communicate(timeout=240)
    return process.returncode, output


def write_problems(folder: Path, count: int = 10) -> list[str]:
    """Write files of problems, and of answers to them; return the settings that name them."""
    for split in ("train", "heldout"):
        rows = [json.dumps(to_json(problem)) for problem in exercises(split, limit=count, seed=0)]
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    answers = [
        json.dumps({"task_id": problem.task_id, "completion": f"{problem.prompt}    return {value}\n"})
        for problem in exercises("train", limit=count, seed=0)
        for value in ("0", "oops", "[", "None")
    ]
    (folder / "answers.jsonl").write_text("\n".join(answers) + "\n")
    return [
        "problems=files",
        "problems.heldout.path=heldout.jsonl",
        "sampler=[replay,reference]",
        "sampler.replay.path=answers.jsonl",
        "sampler.replay.batch_size=2",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", [name if name == "basic" else pytest.param(name, marks=pytest.mark.slow) for name in LAUNCHERS]
)
def test_a_sweep_goes_on_without_the_job_that_fails_which_can_be_run_alone(tmp_path: Path, launcher: str) -> None:
    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher", reason=f"no launcher {launcher}")
    settings = write_problems(tmp_path)
    sweep = [
        *settings,
        "problems.train.path=train.jsonl,missing.jsonl",
        "ranking=coderl",
        "seed=1",
        *LAUNCHERS[launcher],
    ]
    status, output = rrtf(tmp_path, "rank", "--multirun", *sweep)
    assert status == 1, output
    assert "sweep: 2 jobs: " in output
    (folder,) = (tmp_path / "runs" / "sweeps").iterdir()
    jobs = {job.path.name.partition("=")[2]: job for job in sweep_jobs(folder)}
    assert set(jobs) == {"train.jsonl", "missing.jsonl"}
    assert jobs["train.jsonl"].outcome() == ("done", None)
    state, error = jobs["missing.jsonl"].outcome()
    assert state == "failed"
    assert error is not None
    assert "missing.jsonl" in error
    assert "InputError" in (jobs["missing.jsonl"] / "error.txt").read_text()
    assert (folder / "problems.train.path=train.jsonl" / "run" / "ranked.jsonl").is_file()

    command = jobs["missing.jsonl"].read().command
    assert f"again, alone: {command}" in output
    (tmp_path / "missing.jsonl").write_text((tmp_path / "train.jsonl").read_text())
    program, *arguments = shlex.split(command)
    assert program == "rrtf"
    status, output = rrtf(tmp_path, *arguments)
    assert status == 0, output
    assert "sample replay: nothing to do" in output
    assert jobs["missing.jsonl"].outcome() == ("done", None)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A Ray cluster that was started in another folder; its address."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="no launcher ray")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--head", "--block"]
    command += ["--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=1", "--include-dashboard=false"]
    with (
        tempfile.TemporaryDirectory(prefix="ray-") as folder,  # a socket's path must be short
        (elsewhere / "ray.log").open("w") as log,
    ):
        options = {"cwd": elsewhere, "stdout": log, "stderr": log, "env": {**ENVIRONMENT, **NO_TELLING}}
        head = subprocess.Popen([*command, f"--temp-dir={folder}"], **options)  # type: ignore[call-overload]
        try:
            while "Ray runtime started" not in (elsewhere / "ray.log").read_text():
                assert head.poll() is None, (elsewhere / "ray.log").read_text()
                time.sleep(0.2)
            yield f"127.0.0.1:{port}"
        finally:
            head.terminate()
            head.wait(timeout=60)


@pytest.mark.slow
def test_jobs_on_a_cluster_that_runs_elsewhere_work_in_the_sweeps_folder(tmp_path: Path, cluster: str) -> None:
    settings = [*write_problems(tmp_path), "problems.train.path=train.jsonl", "ranking=coderl"]
    launcher = ["hydra/launcher=ray", f"hydra.launcher.ray.init.address={cluster}"]
    launcher += ["+hydra.launcher.ray.init.object_store_memory=null"]
    status, output = rrtf(tmp_path, "rank", "--multirun", *settings, *launcher)
    assert status == 0, output
    assert "sweep: 1 jobs: 1 done; runs/sweeps/rank-" in output
    assert not list((tmp_path / "elsewhere").rglob("ranked.jsonl"))
    status, output = rrtf(tmp_path, "rank", "--multirun", *settings, *launcher, "+hydra.launcher.ray.init.num_cpus=1")
    assert status == 1, output
    assert "the sweep's launcher, ray, stopped: When connecting to an existing cluster, num_cpus" in output


def test_a_sweep_whose_jobs_left_nothing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As where a launcher's machine does not have the folder: the job's results are there and not here."""

    def work(*_: object) -> None:
        raise AssertionError("it is done elsewhere")

    sweep = launch.Sweep.of("rank", ["seed=1,2"], ["--multirun"], lambda config: RunFolder(tmp_path), work)
    assert sweep is not None
    assert sweep.job.started_in == os.getcwd()
    for went_through, errors in ((False, 0), (True, 1)):
        launch.NoteFolder().on_multirun_start(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
        assert len(sweep.report(went_through)) == errors
    assert "rrtf: the sweep's jobs wrote nothing to " in capsys.readouterr().err


@pytest.mark.slow
def test_concurrent_jobs_do_the_common_work_once(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    settings = [*write_problems(tmp_path, 20), "problems.train.path=train.jsonl", "feedback.unit_tests.workers=1"]
    sweep = [*settings, "ranking=coderl,pass_ratio", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    status, output = rrtf(tmp_path, "rank", "--multirun", *sweep)
    assert status == 0, output
    stages = [
        json.loads((job / "run" / "run.json").read_text())["stages"]
        for folder in (tmp_path / "runs" / "sweeps").iterdir()
        for job in sweep_jobs(folder)
    ]
    assert len(stages) == 2
    assert sum(stage["sample"]["replay"]["drawn"] for stage in stages) == 20 * 8
    store = Store(tmp_path / "runs" / "store.sqlite")
    assert sum(stage["feedback"]["unit_tests"]["judged"] for stage in stages) == store.counts()["verdicts"]


@pytest.mark.slow
def test_a_sweep_whose_worker_is_killed_goes_on_by_the_same_command(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    settings = [*write_problems(tmp_path, 100), "problems.train.path=train.jsonl", "feedback.unit_tests.workers=1"]
    sweep = ["rank", "--multirun", *settings, "ranking=coderl,pass_ratio"]
    sweep += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    process = start(tmp_path, *sweep, with_python=sys.executable)  # its children are looked for
    assert process.stdout is not None
    for line in process.stdout:
        if "feedback unit_tests ..." in line:
            break
    (folder,) = (tmp_path / "runs" / "sweeps").iterdir()
    children = subprocess.run(
        ["ps", "-ww", "--ppid", str(process.pid), "-o", "pid=,args="], capture_output=True, text=True
    )
    workers = [line.split()[0] for line in children.stdout.splitlines() if "LokyProcess" in line]
    os.kill(int(workers[-1]), signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert "rrtf: the sweep's launcher, joblib, stopped: " in output
    assert "rrtf_trl/cli.py" not in output, "no traceback of the command itself"
    deadline = time.monotonic() + 20
    while any(job.outcome()[0] == "running" for job in sweep_jobs(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "stopped" in {job.outcome()[0] for job in sweep_jobs(folder)}
    status, output = rrtf(tmp_path, *sweep)
    assert status == 0, output
    assert [job.outcome()[0] for job in sweep_jobs(folder)] == ["done", "done"]


@pytest.mark.slow
def test_slurm_gets_the_job_array_that_the_settings_say(tmp_path: Path) -> None:
    """There is no SLURM here: `sbatch` keeps what it is given, and refuses it as a cluster without the partition."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/given.sh\necho "sbatch: error: invalid partition" >&2\nexit 1\n')
    sbatch.chmod(0o755)
    (sbatch.parent / "srun").symlink_to("/bin/true")  # by which submitit tells a cluster
    settings = [*write_problems(tmp_path), "problems.train.path=train.jsonl", "ranking=coderl,pass_ratio"]
    status, output = rrtf(
        tmp_path,
        "rank",
        "--multirun",
        *settings,
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.partition=gpu",
        "hydra.launcher.gpus_per_node=1",
        "hydra.launcher.cpus_per_task=8",
        "hydra.launcher.timeout_min=240",
        "hydra.launcher.array_parallelism=4",
        PATH=f"{sbatch.parent}:{os.environ['PATH']}",
    )
    assert status == 1, output
    assert "invalid partition" in output
    assert "Traceback" not in output
    script = (tmp_path / "given.sh").read_text()
    for option in ("array=0-1%2", "partition=gpu", "gpus-per-node=1", "cpus-per-task=8", "time=240"):
        assert f"#SBATCH --{option}\n" in script
    assert "submitit.core._submit" in script


def test_names_of_jobs_are_names_of_files() -> None:
    assert job_name(["seed=1", "trainer.rank_weight=0.1"]) == "seed=1,trainer.rank_weight=0.1"
    assert job_name([]) == "only"
    assert job_name(["model.path=org/a"]).startswith("model.path=org_a-")
    assert job_name(["model.path=org/a"]) != job_name(["model.path=org_a"])
    assert len(job_name(["x=" + "y" * 400])) < 140
    assert len({job_name([f"x={'y' * 400}{i}"]) for i in range(3)}) == 3

"""Searches in real processes: what a kill leaves, what counts, and what is refused."""

import os
import signal
import subprocess
import time
from pathlib import Path

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState

from support.warm_python import python

APP = Path(__file__).parent / "app.py"
SEARCH = ["--multirun", "hydra/sweeper=rrtf_optuna", "hydra.sweep.dir=sweep", "hydra.sweeper.objectives=[far]"]
SEARCH += ["hydra.sweeper.directions=[minimize]", "hydra/job_logging=none", "hydra/hydra_logging=none"]


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python(), str(APP), *SEARCH, *arguments],
        cwd=folder,
        env={**os.environ, "HYDRA_FULL_ERROR": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def search(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    process = start(folder, *arguments, **environment)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().split()


def study(folder: Path, storage: str = "sqlite:///{}/sweep/optuna.db") -> optuna.Study:
    return optuna.load_study(study_name="sweep", storage=storage.format(folder))


def test_a_search_finds_what_is_best(tmp_path: Path) -> None:
    status, output = search(tmp_path, "x=interval(0.0,10.0)", "hydra.sweeper.n_trials=15")
    assert status == 0, output
    assert len(calls(tmp_path)) == 15
    best = OmegaConf.load(tmp_path / "sweep" / "best.yaml").best[0]
    assert best["values"]["far"] == min(abs(float(x) - 2) for x in calls(tmp_path)) < 1
    assert "search: 15 trials, 0 pruned; best:" in output


@pytest.mark.parametrize("storage", ["sqlite:///{}/sweep/optuna.db", "{}/sweep/journal.log"])
def test_a_killed_search_goes_on_by_the_same_command(tmp_path: Path, storage: str) -> None:
    arguments = [
        "x=interval(0.0,10.0)",
        "hydra.sweeper.n_trials=6",
        f"hydra.sweeper.storage={storage.format(tmp_path)}",
    ]
    killed = start(tmp_path, *arguments, HANG_AT="4")
    deadline = time.monotonic() + 60
    while not (tmp_path / "calls").exists() or len(calls(tmp_path)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    status, output = search(tmp_path, *arguments)
    assert status == 1
    assert "another process runs the search" in output
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    status, output = search(tmp_path, *arguments)
    assert status == 0, output
    assert "search: 3 of 6 trials are finished, 1 that were stopped will continue" in output
    done = calls(tmp_path)
    assert done[3] == done[4], "the trial that was running goes on with what it had"
    assert len(set(done)) == 6, "no other is done again"
    from hydra_plugins.rrtf_sweeper_optuna._storage import load_storage

    found = optuna.load_study(study_name="sweep", storage=load_storage(storage.format(tmp_path)))
    states = [trial.state for trial in found.trials]
    assert states.count(TrialState.COMPLETE) == 6
    assert TrialState.RUNNING not in states
    status, output = search(tmp_path, *arguments)
    assert status == 0, output
    assert calls(tmp_path) == done, "a search that is over does nothing"


def test_failed_trials_count_and_several_objectives_are_weighed(tmp_path: Path) -> None:
    several = ["hydra.sweeper.objectives=[far,cost]", "hydra.sweeper.directions=[minimize,minimize]"]
    arguments = ["x=range(0,6)", "fail=true,false", "hydra.sweeper.n_trials=12", *several]
    status, output = search(tmp_path, *arguments)
    assert status == 0, output
    states = [trial.state for trial in study(tmp_path).trials]
    assert len(states) == 12
    assert states.count(TrialState.FAIL) > 0
    for row in OmegaConf.load(tmp_path / "sweep" / "best.yaml").best:
        assert row["params"]["x"] <= 2, "beyond it both objectives are worse"


def test_trials_go_through_a_launcher_at_once(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = ["x=interval(0.0,10.0)", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2", "hydra/launcher=joblib"]
    status, output = search(tmp_path, *arguments)
    assert status == 0, output
    assert [trial.state for trial in study(tmp_path).trials] == [TrialState.COMPLETE] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x=1"], "nothing to search"),
        (["x=1,2", "hydra.sweeper.directions=[up]"], "each maximize or minimize"),
        (["x=1,2", "hydra.sweeper.objectives=[far,cost]"], "as many directions"),
        (["x=1,2", "hydra.sweeper.objectives=[near]"], "a run has no figure 'near'; it has far, cost"),
        (["x=1,2", "hydra.sweeper.sampler._target_=optuna.samplers.BruteForceSampler"], "do not set hydra/sweeper"),
        (["x=1,2", "hydra.sweeper.prune_by=eval_loss"], "+trainer.eval_strategy=steps"),
        (
            [
                "x=1,2",
                "hydra.sweeper.prune_by=eval_loss",
                "hydra.sweeper.objectives=[far,cost]",
                "hydra.sweeper.directions=[minimize,minimize]",
            ],
            "one objective only",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    status, output = search(tmp_path, *arguments)
    assert status == 1
    assert message in output


def test_a_study_with_other_objectives_is_not_mixed_up(tmp_path: Path) -> None:
    assert search(tmp_path, "x=1,2", "hydra.sweeper.n_trials=1")[0] == 0
    status, output = search(tmp_path, "x=1,2", "hydra.sweeper.directions=[maximize]")
    assert status == 1
    assert "other objectives" in output

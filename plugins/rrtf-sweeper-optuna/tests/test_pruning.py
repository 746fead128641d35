"""A real search over real trainings on the embedded policy: the trial that learns nothing is ended early."""

import json
import os
import subprocess
from pathlib import Path

import optuna
from optuna.trial import TrialState

from support.warm_python import python

SMALL = [
    "problems.train.limit=24",
    "problems.heldout.limit=4",
    "sampler=[transformers,reference]",
    "sampler.transformers.n=2",
    "evaluation=greedy",
    "trainer.num_train_epochs=4",
    "trainer.per_device_train_batch_size=8",
    "trainer.logging_steps=1",
]
SEARCH = [
    "hydra/sweeper=rrtf_optuna",
    "hydra.sweep.dir=sweep",
    "hydra.sweeper.n_trials=2",
    "hydra.sweeper.sampler.seed=0",  # draws the better rate first
    "hydra.sweeper.prune_by=eval_loss",
    "hydra.sweeper.prune_direction=minimize",
    "hydra.sweeper.pruner.n_startup_trials=1",
    "+trainer.eval_strategy=steps",
    "+trainer.eval_steps=3",
    "trainer.learning_rate=1e-9,1e-3",
]


def test_a_trial_that_does_worse_than_the_others_is_pruned(tmp_path: Path) -> None:
    found = subprocess.run(
        [python(), "-m", "rrtf_trl.cli", "run", "--multirun", *SMALL, *SEARCH],
        cwd=tmp_path,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "RRTF_PLUGINS": "sweeper-optuna"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path}/sweep/optuna.db")
    first, second = study.trials
    assert [trial.params["trainer.learning_rate"] for trial in (first, second)] == ["0.001", "1e-09"]
    assert first.state == TrialState.COMPLETE
    assert list(first.intermediate_values)[:2] == [3, 6]
    assert second.state == TrialState.PRUNED
    assert list(second.intermediate_values) == [3], "it ended at its first evaluation"
    assert "pruned: at step 3 eval_loss was" in found.stdout
    outcomes = {
        path.parent: json.loads(path.read_text())["outcome"] for path in (tmp_path / "runs").glob("*/run.json")
    }
    (pruned,) = (run for run, outcome in outcomes.items() if outcome["state"] == "pruned")
    assert not (pruned / "policy").exists()

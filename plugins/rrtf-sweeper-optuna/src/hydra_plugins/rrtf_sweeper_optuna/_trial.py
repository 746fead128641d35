"""Reports evaluations during training to the trial of this process, and ends the training if the trial is pruned."""

from __future__ import annotations

import os
from typing import Any

import optuna
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf
from optuna.trial import Trial
from transformers import TrainerCallback

from rrtf_trl.errors import Pruned, UserError

from ._plugin import NUMBER
from ._storage import load_storage


def callback() -> TrainerCallback:
    """Return the callback of this process's trial, by the sweeper's options."""
    options: Any = OmegaConf.to_container(HydraConfig.get().sweeper, resolve=True)
    study = optuna.load_study(
        study_name=options["study_name"],
        storage=load_storage(options["storage"]),
        pruner=instantiate(options["pruner"]),
    )
    number = int(os.environ[NUMBER])
    trial = Trial(study, study.trials[number]._trial_id)
    sign = 1 if options["prune_direction"] == options["directions"][0] else -1
    return ReportEvaluations(trial, options["prune_by"], sign)


class ReportEvaluations(TrainerCallback):
    """Reports a metric of each evaluation to a trial, and ends the training if the pruner decides so.

    Args:
        trial: Optuna's trial.
        metric: The metric's name, with ``eval_`` before it.
        sign: -1 if the metric is to be maximized and the objective minimized, or the reverse; else 1.
    """

    def __init__(self, trial: Trial, metric: str, sign: int = 1) -> None:
        self.trial, self.metric, self.sign = trial, metric, sign

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Report, and raise :class:`rrtf_trl.errors.Pruned` if the trial is to end."""
        if self.metric not in metrics:
            known = ", ".join(sorted(name for name in metrics if name.startswith("eval_")))
            raise UserError(f"hydra.sweeper.prune_by: no metric {self.metric!r}; there are {known}")
        value = metrics[self.metric]
        self.trial.report(self.sign * value, state.global_step)
        if self.trial.should_prune():
            raise Pruned(f"at step {state.global_step} {self.metric} was {value:.4g}, worse than other trials")

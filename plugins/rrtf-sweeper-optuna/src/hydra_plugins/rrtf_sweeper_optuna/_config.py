"""The options of the sweeper, ``hydra.sweeper``.

The underscore keeps Hydra from executing this module by itself, outside ``sys.modules``, which a dataclass needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class OptunaSweeperConfig:
    """Options of a search.

    Args:
        n_trials: How many trials are to be finished, including those of earlier starts.
        n_jobs: How many are launched at once; more than one needs a launcher that runs several.
        objectives: The objectives, by the names of a run's figures: ``greedy pass@1``, ``greedy pass@1 gain``, ...,
            and ``seconds`` of training.
        directions: ``maximize`` or ``minimize`` for each of them.
        params: The search space, besides that of the command line: a key, and a range in Hydra's grammar, as
            ``tag(log, interval(0.1, 10))``.
        storage: URL of Optuna's database, or the path of a journal file (``*.log``), which a shared file system may
            hold too.
        study_name: The study's name in the storage.
        sampler: An Optuna sampler; its seed is the search's.
        pruner: An Optuna pruner; used if ``prune_by`` is set.
        prune_by: A metric of the evaluation during training, for instance ``eval_ranking_accuracy``; ``null`` prunes
            nothing. Needs ``+trainer.eval_strategy=steps``, and one objective.
        prune_direction: ``maximize`` or ``minimize``.
    """

    _target_: str = "hydra_plugins.rrtf_sweeper_optuna.sweeper.OptunaSweeper"
    _recursive_: bool = False  # sampler and pruner are built when the study is opened
    n_trials: int = 20
    n_jobs: int = 1
    objectives: list[str] = field(default_factory=lambda: ["greedy pass@1"])
    directions: list[str] = field(default_factory=lambda: ["maximize"])
    params: dict[str, str] = field(default_factory=dict)
    storage: str = "sqlite:///${hydra.sweep.dir}/optuna.db"
    study_name: str = "sweep"
    sampler: dict[str, Any] = field(
        default_factory=lambda: {"_target_": "optuna.samplers.TPESampler", "seed": 0, "multivariate": True}
    )
    pruner: dict[str, Any] = field(
        default_factory=lambda: {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 4}
    )
    prune_by: str | None = None
    prune_direction: str = "maximize"


ConfigStore.instance().store(
    group="hydra/sweeper", name="rrtf_optuna", node=OptunaSweeperConfig, provider="rrtf-sweeper-optuna"
)

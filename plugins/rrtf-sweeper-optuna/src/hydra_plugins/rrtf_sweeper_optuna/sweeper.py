"""The sweeper that Hydra finds. Hydra imports this module at every start, so it does not import Optuna."""

from __future__ import annotations

from typing import Any, cast

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from ._config import OptunaSweeperConfig


class OptunaSweeper(Sweeper):
    """Searches with Optuna.

    Args:
        options: See :class:`OptunaSweeperConfig`.
    """

    def __init__(self, **options: Any) -> None:
        self.options = OptunaSweeperConfig(**cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(options))))
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Build the chosen launcher."""
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until ``n_trials`` are finished."""
        from ._search import Search

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        search = Search(self.options, self.hydra_context, self.config, arguments)
        with search.alone():
            while batch := search.next_batch():
                self.validate_batch_is_legal(batch.overrides)
                search.finish(batch, self.launcher.launch(batch.overrides, initial_job_idx=batch.first))
        search.report()

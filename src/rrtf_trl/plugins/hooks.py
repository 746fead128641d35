"""Calls the plugins' hooks of a run."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rrtf_trl.pipeline.hooks import Hooks

from .manager import plugins
from .plugin import PluginError

if TYPE_CHECKING:  # heavy
    from rich.console import Console
    from transformers import TrainerCallback

    from rrtf_trl.monitoring.progress import Meter
    from rrtf_trl.storage.run_folder import RunFolder


class PluginHooks(Hooks):
    """Calls the plugins' hooks; an error is noted with its plugin, and does not end the run."""

    def stage_started(self, stage: str, run: RunFolder, config: Mapping[str, Any]) -> None:
        """Call ``rrtf_stage_started``."""
        plugins().call("rrtf_stage_started", stage=stage, run=run, config=config)

    def stage_ended(
        self,
        stage: str,
        run: RunFolder,
        config: Mapping[str, Any],
        facts: Mapping[str, Any],
        error: BaseException | None,
    ) -> None:
        """Call ``rrtf_stage_ended``."""
        try:
            plugins().call("rrtf_stage_ended", stage=stage, run=run, config=config, facts=facts, error=error)
        except PluginError as fault:  # only where plugins are strict
            if error is None:
                raise
            print(f"rrtf: {fault}", file=sys.stderr)  # the stage's own error comes first

    def trainer_callbacks(
        self, run: RunFolder, config: Mapping[str, Any], console: Console, progress: Meter
    ) -> Sequence[TrainerCallback]:
        """Call ``rrtf_trainer_callbacks``."""
        hook = "rrtf_trainer_callbacks"
        callbacks: list[TrainerCallback] = []
        for plugin, found in plugins().call(hook, run=run, config=config, console=console, progress=progress):
            callbacks += plugins().guarded(plugin, f"hook {hook}", functools.partial(list, found)) or []
        return callbacks

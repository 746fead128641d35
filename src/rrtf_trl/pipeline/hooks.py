"""What plugins may do in a run: at the start and end of each stage, and in the trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rrtf_trl.monitoring.progress import Meter
from rrtf_trl.storage.run_folder import RunFolder

if TYPE_CHECKING:  # transformers is heavy
    from transformers import TrainerCallback


class Hooks:
    """Called by a run; does nothing. The application's :class:`rrtf_trl.plugins.hooks.PluginHooks` call plugins."""

    def stage_started(self, stage: str, run: RunFolder, config: Mapping[str, Any]) -> None:
        """A stage starts, also where all of its work is done already."""

    def stage_ended(
        self,
        stage: str,
        run: RunFolder,
        config: Mapping[str, Any],
        facts: Mapping[str, Any],
        error: BaseException | None,
    ) -> None:
        """A stage that started has ended, by itself or by an error."""

    def trainer_callbacks(
        self, run: RunFolder, config: Mapping[str, Any], console: Console, progress: Meter
    ) -> Sequence[TrainerCallback]:
        """Return callbacks for the trainer, when training is about to start."""
        return ()

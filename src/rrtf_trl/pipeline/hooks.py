"""What others may do in a run: at the begin and end of each stage, and beside the trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console

from rrtf_trl.monitoring.progress import Meter
from rrtf_trl.storage.run_folder import RunFolder

if TYPE_CHECKING:  # transformers is heavy
    from transformers import TrainerCallback


class Hooks(Protocol):
    """Called by a run. Those of plugins are called by the application; docs/plugins.md is their contract."""

    def stage_started(self, stage: str, run: RunFolder, config: Mapping[str, Any]) -> None:
        """A stage begins, also where all of its work is done already."""

    def stage_ended(
        self,
        stage: str,
        run: RunFolder,
        config: Mapping[str, Any],
        facts: Mapping[str, Any],
        error: BaseException | None,
    ) -> None:
        """A stage that began has ended, by itself or by an error."""

    def trainer_callbacks(
        self, run: RunFolder, config: Mapping[str, Any], console: Console, progress: Meter
    ) -> Sequence[TrainerCallback]:
        """Return callbacks for the trainer, when training is about to start."""


class NoHooks:
    """Nothing but the run itself."""

    def stage_started(self, stage: str, run: RunFolder, config: Mapping[str, Any]) -> None:
        """Do nothing."""

    def stage_ended(
        self,
        stage: str,
        run: RunFolder,
        config: Mapping[str, Any],
        facts: Mapping[str, Any],
        error: BaseException | None,
    ) -> None:
        """Do nothing."""

    def trainer_callbacks(
        self, run: RunFolder, config: Mapping[str, Any], console: Console, progress: Meter
    ) -> Sequence[TrainerCallback]:
        """Return none."""
        return ()

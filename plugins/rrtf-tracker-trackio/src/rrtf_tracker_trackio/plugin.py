"""The plugin of rrtf-trl. It is imported whenever `rrtf` starts, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rrtf_trl import hookimpl
from rrtf_trl.plugins.hookspecs import Targets
from rrtf_trl.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from transformers import TrainerCallback

RRTF_CONTRACT = 1


@hookimpl
def rrtf_trainer_callbacks(run: RunFolder, config: Mapping[str, Any]) -> Sequence[TrainerCallback]:
    """Return the callback that logs the training."""
    from rrtf_tracker_trackio.tracking import callback

    return [callback(run, config)]


@hookimpl
def rrtf_stage_ended(stage: str, run: RunFolder, config: Mapping[str, Any], error: BaseException | None) -> None:
    """Log the figures before and after training."""
    if stage == "report" and error is None:
        from rrtf_tracker_trackio.tracking import log_results

        log_results(run, config)


@hookimpl
def rrtf_report_sections() -> Targets:
    """Return the report section that links to the dashboard."""
    return {"trackio": "rrtf_tracker_trackio.tracking:section"}

"""The plugin of rrtf-trl. It is imported whenever `rrtf` starts, so it imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rrtf_trl import hookimpl

if TYPE_CHECKING:
    from transformers import TrainerCallback

NUMBER = "RRTF_OPTUNA_TRIAL"
"""The environment variable with the number of a process's trial, if the trial may be pruned."""

RRTF_CONTRACT = 1


@hookimpl
def rrtf_trainer_callbacks() -> Sequence[TrainerCallback]:
    """Return the callback that reports to the trial, in a process that runs one."""
    if NUMBER not in os.environ:
        return []
    from ._trial import callback

    return [callback()]

"""What rrtf-trl is given: in a process that runs a trial, the callback that reports to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rrtf_trl import hookimpl

if TYPE_CHECKING:
    from transformers import TrainerCallback

NUMBER = "RRTF_OPTUNA_TRIAL"
"""The environment variable with the number of the trial that a process runs, where it may be pruned."""

RRTF_CONTRACT = 1


@hookimpl
def rrtf_trainer_callbacks() -> Sequence[TrainerCallback]:
    """The callback of the trial, in a process that runs one."""
    if NUMBER not in os.environ:
        return []
    from ._trial import callback

    return [callback()]

"""What a search is told of a training while it runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hydra.utils import get_method

if TYPE_CHECKING:
    from transformers import TrainerCallback

VARIABLE = "RRTF_TRIAL_CALLBACK"
"""The environment variable by which a sweeper names, in ``hydra.job.env_set``, a function that returns a callback."""


def trial_callbacks() -> list[TrainerCallback]:
    """Return the callbacks of the search that this process runs a trial of; none where it runs no trial.

    A callback that raises :class:`rrtf_trl.errors.Pruned` ends the training, and the job counts as pruned.
    """
    name = os.environ.get(VARIABLE)
    return [get_method(name)()] if name else []

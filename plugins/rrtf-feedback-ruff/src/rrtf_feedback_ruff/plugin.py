"""The plugin of rrtf-trl. It is imported whenever `rrtf` starts, so it imports nothing heavy."""

from collections.abc import Sequence
from pathlib import Path

from rrtf_trl import hookimpl
from rrtf_trl.plugins.hookspecs import Targets

RRTF_CONTRACT = 1


@hookimpl
def rrtf_feedback() -> Targets:
    """Return the feedback source by its name."""
    return {"ruff": "rrtf_feedback_ruff.judge:Ruff"}


@hookimpl
def rrtf_config_paths() -> Sequence[str | Path]:
    """Return the folder of the configuration."""
    return ["pkg://rrtf_feedback_ruff.conf"]

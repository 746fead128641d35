"""The plugin of rrtf-trl: a configuration file that makes `unit_tests` run on the server."""

from collections.abc import Sequence
from pathlib import Path

from rrtf_trl import hookimpl

RRTF_CONTRACT = 1


@hookimpl
def rrtf_config_paths() -> Sequence[str | Path]:
    """Return the folder of the configuration."""
    return ["pkg://rrtf_sandbox_fusion.conf"]

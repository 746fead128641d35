"""What this package adds to rrtf-trl: a file of configuration that has `unit_tests` judge elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from rrtf_trl import hookimpl

RRTF_CONTRACT = 1


@hookimpl
def rrtf_config_paths() -> Sequence[str | Path]:
    """Return the folder of its configuration."""
    return ["pkg://rrtf_sandbox_fusion.conf"]

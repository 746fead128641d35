"""Settings as they stand on a command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

QUICKSTART = "experiment=quickstart"
_CHOOSES = re.compile(r"model(\.path)?|problems(\..*path)?|experiment")
_OWN_CONFIG = ("--config-name", "-cn", "--config-path", "-cp")


def override_key(override: str) -> str:
    """Return what an override sets: ``+trainer.x=1`` sets ``trainer.x``."""
    return override.partition("=")[0].lstrip("+~")


def spelled_out(override: str, folders: list[Path]) -> list[str]:
    """Take ``model=PATH_OR_HUB_ID`` and ``benchmark=FILE`` for what they mean, where no choice is named so."""
    group, equals, value = override.partition("=")
    choice = {"model": "hub", "benchmark": "files"}.get(group) if equals else None
    is_path = "/" in value or Path(value).exists() or Path(value).suffix in (".jsonl", ".json", ".gz", ".parquet")
    if choice is None or not is_path or any((folder / group / f"{value}.yaml").is_file() for folder in folders):
        return [override]
    return [f"{group}={choice}", f"{group}.path={value}"]


def user_config_dirs(flags: argparse.Namespace) -> list[Path]:
    """The folders that Hydra's ``--config-dir DIR`` and ``--config-path DIR`` name."""
    return [Path(folder) for folder in (flags.config_dir, flags.config_path) if folder]


def with_quickstart(overrides: list[str], flags: Sequence[str] = ()) -> list[str]:
    """Add the quick start's settings where no model, problems, experiment or configuration of one's own is chosen.

    They are for the tiny model that ships with the package: its learning rate would be far too high for another.

    Args:
        overrides: Those of the command line.
        flags: Its flags.
    """
    chosen = any(_CHOOSES.fullmatch(override_key(override)) for override in overrides)
    own = any(flag.partition("=")[0] in _OWN_CONFIG for flag in flags)
    return overrides if chosen or own else [*overrides, QUICKSTART]

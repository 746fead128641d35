"""Overrides of the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

QUICKSTART = "experiment=quickstart"
_CHOOSES = re.compile(r"model(\.path)?|problems(\..*path)?|experiment")
_CONFIG_FLAGS = ("--config-name", "-cn", "--config-path", "-cp")


def override_key(override: str) -> str:
    """Return the key that an override sets: ``+trainer.x=1`` sets ``trainer.x``."""
    return override.partition("=")[0].lstrip("+~")


def spelled_out(override: str, folders: list[Path]) -> list[str]:
    """Expand ``model=PATH_OR_HUB_ID`` and ``benchmark=FILE``, unless a choice has this name."""
    group, equals, value = override.partition("=")
    choice = {"model": "hub", "benchmark": "files"}.get(group) if equals else None
    is_path = "/" in value or Path(value).exists() or Path(value).suffix in (".jsonl", ".json", ".gz", ".parquet")
    if choice is None or not is_path or any((folder / group / f"{value}.yaml").is_file() for folder in folders):
        return [override]
    return [f"{group}={choice}", f"{group}.path={value}"]


def user_config_dirs(flags: argparse.Namespace) -> list[Path]:
    """Return the folders of Hydra's ``--config-dir`` and ``--config-path``."""
    return [Path(folder) for folder in (flags.config_dir, flags.config_path) if folder]


def with_quickstart(overrides: list[str], flags: Sequence[str] = ()) -> list[str]:
    """Add ``experiment=quickstart`` if no model, problems, experiment or configuration file is chosen.

    Its settings are for the tiny model in the package: the learning rate is far too high for other models.

    Args:
        overrides: Those of the command line.
        flags: Its flags.
    """
    chosen = any(_CHOOSES.fullmatch(override_key(override)) for override in overrides)
    own_config = any(flag.partition("=")[0] in _CONFIG_FLAGS for flag in flags)
    return overrides if chosen or own_config else [*overrides, QUICKSTART]

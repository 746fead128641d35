"""Overrides of the command line: what people may write, and what Hydra gets."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from rrtf_trl.files.paths import user_path

from .grammar import as_it_is, override_key
from .groups import for_any_choice, without_null

QUICKSTART = "experiment=quickstart"
_PROBLEM_FILES = (".jsonl", ".json", ".gz", ".parquet", ".csv", ".tsv", ".arrow")
_CHOOSES = re.compile(r"model(\.path)?|problems(\..*path)?|experiment")
_CONFIG_FLAGS = ("--config-name", "-cn", "--config-path", "-cp")


def settings(
    arguments: Sequence[str],
    folders: Sequence[Path],
    config_name: str,
    flags: Sequence[str] = (),
    sweeps: bool = False,
) -> list[str]:
    """Return the overrides that Hydra gets for those of the command line.

    Args:
        arguments: Overrides of the command line.
        folders: Folders of configuration, in Hydra's order.
        config_name: The configuration to start from.
        flags: Hydra's flags.
        sweeps: Whether a comma separates the values of a sweep.

    Raises:
        UserError: If a group has not the choice that it is set to.
    """
    values = [value for argument in arguments for value in spelled_out(argument, folders)]
    values = [without_null(as_it_is(value, sweeps), folders) for value in values]
    if config_name != "config":
        return values
    return with_quickstart([for_any_choice(value, folders) for value in values], flags)


def spelled_out(override: str, folders: Sequence[Path]) -> list[str]:
    """Expand ``model=PATH_OR_HUB_ID`` and ``benchmark=FILE``, unless a choice has this name."""
    group, equals, value = override.partition("=")
    choice = {"model": "hub", "benchmark": "files"}.get(group) if equals else None
    path = user_path(value.strip("'\""))
    is_path = "/" in value or (value != "" and path.exists()) or path.suffix in _PROBLEM_FILES
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

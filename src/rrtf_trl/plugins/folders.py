"""Folders of configuration: that of rrtf-trl, and those of plugins."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from rrtf_trl.errors import UserError

from .plugin import PluginRefused, brief


def folder_of(path: str) -> Path:
    """Return the folder of one of Hydra's search paths; parent packages of ``pkg://`` paths are imported.

    Raises:
        PluginRefused: If there is no such folder, or a parent package cannot be imported.
    """
    if path.startswith("pkg://"):
        package = path.removeprefix("pkg://").replace("/", ".")
        try:
            spec = importlib.util.find_spec(package)
        except Exception as error:  # importing a parent package may raise anything
            raise PluginRefused(f"{path} cannot be found: {brief(error)}") from error
        locations = list(spec.submodule_search_locations or []) if spec is not None else []
        if not locations:
            raise PluginRefused(f"there is no package {package} (for {path})")
        return Path(locations[0])
    folder = Path(path.removeprefix("file://"))
    if not folder.is_dir():
        raise PluginRefused(f"there is no folder {folder}")
    return folder


def choices_in(folder: Path) -> list[str]:
    """Return the files of configuration under a folder, as ``group/choice``."""
    return [str(file.relative_to(folder).with_suffix("")) for file in sorted(folder.rglob("*.yaml"))]


def config_dir() -> Path:
    """Return the folder of rrtf-trl: inside the installed package, or ``conf/`` of a clone."""
    package = Path(__file__).parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError("the configuration files are missing from this installation of rrtf-trl: install it again")

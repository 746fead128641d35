"""The folders of configuration: our own, and those that plugins bring."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from rrtf_trl.errors import UserError

from .plugin import Refused, brief


def folder_of(path: str) -> Path:
    """Return the folder of one of Hydra's search paths; of a package in packages, those are imported.

    Raises:
        Refused: If it is not there, or a package around it cannot be imported.
    """
    if path.startswith("pkg://"):
        package = path.removeprefix("pkg://").replace("/", ".")
        try:
            spec = importlib.util.find_spec(package)
        except Exception as error:  # the import of what is around it may raise anything
            raise Refused(f"{path} cannot be found: {brief(error)}") from error
        places = list(spec.submodule_search_locations or []) if spec is not None else []
        if not places:
            raise Refused(f"there is no package {package} (for {path})")
        return Path(places[0])
    folder = Path(path.removeprefix("file://"))
    if not folder.is_dir():
        raise Refused(f"there is no folder {folder}")
    return folder


def choices_in(folder: Path) -> list[str]:
    """Return the files of configuration under a folder, as ``group/choice``."""
    return [str(file.relative_to(folder).with_suffix("")) for file in sorted(folder.rglob("*.yaml"))]


def config_dir() -> Path:
    """Return our own folder: inside an installed package, or ``conf/`` of a clone."""
    package = Path(__file__).parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError("the configuration files are missing from this installation of rrtf-trl: install it again")

"""The differences between the configurations of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from rrtf_trl.errors import UserError

ABSENT = "(not there)"


def differences(one: Path, other: Path) -> list[tuple[str, str, str]]:
    """Return each key with different values and both values, then each package with different versions.

    Args:
        one: The folder of a run or of a sweep's job, or a ``config.yaml``.
        other: The same.

    Raises:
        UserError: If there is no configuration.
    """
    rows = []
    for read in (_configuration, _versions):
        first, second = read(one), read(other)
        for key in first | second:
            values = first.get(key, ABSENT), second.get(key, ABSENT)
            if values[0] != values[1]:
                rows.append((key, *values))
    return rows


def _configuration(path: Path) -> dict[str, str]:
    for file in (path, path / "config.yaml", path / "run" / "config.yaml"):
        if file.is_file():
            return dict(_flat(yaml.safe_load(file.read_text(encoding="utf-8")), ""))
    raise UserError(f"{path}: expected the folder of a run with a config.yaml, or such a file")


def _versions(path: Path) -> dict[str, str]:
    for file in (path / "run.json", path / "run" / "run.json", path.parent / "run.json"):
        if file.is_file():
            found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
            return {f"{name} (version)": version for name, version in found.get("versions", {}).items()}
    return {}


def _flat(node: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(node, dict) and node:
        return [pair for name, value in node.items() for pair in _flat(value, f"{path}.{name}".lstrip("."))]
    return [(path, "null" if node is None else str(node).lower() if isinstance(node, bool) else str(node))]

"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def user_path(path: str | Path) -> Path:
    """Return a path with ``~`` in front replaced by the home folder, as a shell does where a word begins with it."""
    return Path(os.path.expanduser(path))


def home_expanded(value: Any) -> Any:
    """Return a plain value with ``~`` for the home folder replaced in each text that is a path from there on.

    Args:
        value: Of a configuration: texts, numbers, and lists and dicts of them.
    """
    if isinstance(value, str):
        return os.path.expanduser(value) if value == "~" or value.startswith("~/") else value
    if isinstance(value, list):
        return [home_expanded(each) for each in value]
    if isinstance(value, dict):
        return {name: home_expanded(each) for name, each in value.items()}
    return value

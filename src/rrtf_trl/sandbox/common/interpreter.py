"""Command line and environment of workers and fork servers, which are fresh interpreters."""

from __future__ import annotations

import sys
from pathlib import Path

ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}  # so that the same program always has the same outcome
_SOURCES = str(Path(__file__).absolute().parents[3])


def python_command(code: str) -> list[str]:
    """Return the command line of a fresh interpreter that finds this package and runs ``code``."""
    start = f"import sys; sys.path.insert(0, {_SOURCES!r})\n"
    return [sys.executable, "-s", "-P", "-c", start + code]

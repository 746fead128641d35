"""The versions of packages that decide a run's figures."""

from __future__ import annotations

import sys
from importlib import metadata


def versions(*more: str) -> dict[str, str]:
    """Return the versions of installed packages that decide a run's figures, and of ``more`` packages."""
    names = ("rrtf-trl", "trl", "transformers", "torch", "peft", "bitsandbytes", "hydra-core")
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in (*names, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

"""The embedded policy, made by ``scripts/pretrain_policy.py``."""

from __future__ import annotations

from pathlib import Path

EMBEDDED = "embedded"


def model_path(name: str) -> str:
    """Return the folder of the policy in this package for ``embedded``; any other path or hub id as it is."""
    return str(Path(__file__).parent / "policy") if name == EMBEDDED else name

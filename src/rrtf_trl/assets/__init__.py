"""The embedded policy, made by ``scripts/pretrain_policy.py``."""

from __future__ import annotations

import os
from pathlib import Path

EMBEDDED = "embedded"


def model_path(name: str) -> str:
    """Return the folder of the policy in this package for ``embedded``; ``~`` for home, any other name as it is."""
    return str(Path(__file__).parent / "policy") if name == EMBEDDED else os.path.expanduser(name)

"""The system call filters: allow-lists, built ahead as BPF by ``scripts/build_seccomp.py``.

There a comment says what each lets through. A filter checks the architecture first, so a program cannot slip
past by the 32-bit or x32 calls of the same processor.
"""

from __future__ import annotations

import platform
from pathlib import Path
_FOLDER = Path(__file__).parent / "filters"


def load(variant: str) -> bytes | None:
    """Return a filter for this machine as an array of ``struct sock_filter``; None if there is none for it.

    Args:
        variant: ``namespaces``, ``landlock`` or ``bare``.
    """
    path = _FOLDER / f"{platform.machine()}-{variant}.bpf"
    return path.read_bytes() if path.exists() else None

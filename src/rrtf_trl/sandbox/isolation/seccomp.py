"""The system call filters: allow-lists, built ahead as BPF by ``scripts/build_seccomp.py``.

The script's comments describe what each allows. A filter checks the architecture first, so a program cannot evade it
by the 32-bit or x32 calls of the same processor.
"""

from __future__ import annotations

import os

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "filters")


def load(variant: str) -> bytes | None:
    """Return a filter for this machine as an array of ``struct sock_filter``; None if there is none for it.

    Args:
        variant: ``namespaces``, ``landlock`` or ``bare``.
    """
    path = os.path.join(_FOLDER, f"{os.uname().machine}-{variant}.bpf")
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return file.read()

"""Runs untrusted, model-written programs against tests and returns their outcomes. Knows nothing of scores.

Public names load on first use: the fork server (:mod:`.guest.fork_server`) imports as little as it can, since each
memory page that it changes is copied for every program.

``common`` is shared by guest and judge, ``isolation`` holds the isolation layers, ``guest`` runs the program, and
``judge`` runs the tests. Imports run one way: this level; ``judge`` and ``guest``, which never import each other;
``isolation``; ``common``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .describe import describe_isolation
    from .job import Job, Outcome, OutcomeState, SandboxBackend, check_job
    from .pool import Sandbox
    from .worker_process import SandboxUnavailable

_MODULES = {
    "Job": "job",
    "Outcome": "job",
    "OutcomeState": "job",
    "Sandbox": "pool",
    "SandboxBackend": "job",
    "SandboxUnavailable": "worker_process",
    "check_job": "job",
    "describe_isolation": "describe",
}

__all__ = [
    "Job",
    "Outcome",
    "OutcomeState",
    "Sandbox",
    "SandboxBackend",
    "SandboxUnavailable",
    "check_job",
    "describe_isolation",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

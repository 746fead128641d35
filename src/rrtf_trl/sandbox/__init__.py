"""Runs untrusted, model-written programs against tests and says what happened. Knows nothing of scores.

The public names load on first use: what starts a program's process (:mod:`.guest.fork_server`) imports as little as
it can, since every page that it holds is copied for every program.

``common`` is what both sides share, ``isolation`` what a program is kept in, ``guest`` what runs it, and ``judge``
what decides. Imports run one way: this level, then ``judge`` and ``guest``, which never meet, then ``isolation``,
then ``common``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .describe import describe_isolation
    from .job import Job, Outcome, OutcomeState, SandboxBackend, check_job
    from .pool import Sandbox
    from .worker_process import SandboxUnavailable

_HOMES = {
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
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

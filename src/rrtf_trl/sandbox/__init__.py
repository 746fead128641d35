"""Runs untrusted, model-written programs against tests and says what happened. Knows nothing of scores.

The public names load on first use: what starts a program's process (:mod:`.forkserver`) imports as little as it can,
since every page that it holds is copied for every program.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .describe import describe_isolation
    from .job import Job, JobExecutor, Outcome, OutcomeState, check_job
    from .pool import Sandbox
    from .worker_process import SandboxUnavailable

_HOMES = {
    "JobExecutor": "job",
    "Job": "job",
    "Outcome": "job",
    "OutcomeState": "job",
    "Sandbox": "pool",
    "SandboxUnavailable": "worker_process",
    "check_job": "job",
    "describe_isolation": "describe",
}

__all__ = [
    "Job",
    "JobExecutor",
    "Outcome",
    "OutcomeState",
    "Sandbox",
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

"""Runs untrusted, model-written programs against tests and says what happened. Knows nothing of scores."""

from __future__ import annotations

from .describe import describe_isolation
from .job import Executor, Job, Outcome, OutcomeState, check_job
from .pool import Sandbox, SandboxUnavailable

__all__ = [
    "Executor",
    "Job",
    "Outcome",
    "OutcomeState",
    "Sandbox",
    "SandboxUnavailable",
    "check_job",
    "describe_isolation",
]

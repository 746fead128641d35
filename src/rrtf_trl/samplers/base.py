"""The protocol of samplers: problems in, candidates out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from rrtf_trl.records import Candidate, Problem


@dataclass
class Samples:
    """The candidates that a sampler drew for some problems.

    Args:
        candidates: All draws, repeats included.
        skipped: Reasons by ``task_id``, for problems that could not be sampled.
    """

    candidates: list[Candidate] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


@runtime_checkable
class DrawsInEachProcess(Protocol):
    """A sampler that the processes of a launch may use at the same time, each on a device of its own."""

    in_each_process: bool


@runtime_checkable
class Sampler(Protocol):
    """A source of candidates.

    Args:
        batch_size: How many problems to pass to one call of :meth:`sample`. The results of a call are stored
            together or not at all, so a kill loses at most those of one call.
        draws: Candidates of one problem.
    """

    batch_size: int
    draws: int

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON, everything that determines the candidates: model, decoding, seed."""
        ...

    def sample(self, problems: list[Problem]) -> Samples:
        """Draw candidates for the problems; the same problems give the same candidates."""
        ...

    def close(self) -> None:
        """Free resources, for instance a model's memory; the sampler may be used again afterwards."""
        ...

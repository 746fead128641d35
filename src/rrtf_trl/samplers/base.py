"""What a sampler is: problems in, candidates out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from rrtf_trl.records import Candidate, Problem


@dataclass
class Samples:
    """What a sampler made of some problems.

    Args:
        candidates: All draws, repeats included.
        skipped: ``task_id`` to the reason, for problems that could not be sampled.
    """

    candidates: list[Candidate] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


@runtime_checkable
class Sampler(Protocol):
    """A source of candidates.

    Args:
        batch_size: How many problems to hand to one call of :meth:`sample`. A call's results are kept
            together or not at all, so this is also what a kill can cost.
        draws: Candidates that one problem gets.
    """

    batch_size: int
    draws: int

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON, all that decides what the sampler draws: model, decoding, seed."""
        ...

    def sample(self, problems: list[Problem]) -> Samples:
        """Draw candidates for the problems; the same problems give the same candidates."""
        ...

    def close(self) -> None:
        """Free what the sampler holds, for instance a model's memory; it may be used again afterwards."""
        ...

"""A sampler of the problems' references."""

from __future__ import annotations

from typing import Any

from rrtf_trl.records import Candidate, Problem, code_after_prompt

from .base import Samples


class ReferenceSampler:
    """Returns each problem's ``reference`` as a candidate, which counts as a teacher's in ranking.

    Args:
        batch_size: Problems per call.
    """

    draws = 1

    def __init__(self, batch_size: int = 256) -> None:
        self.batch_size = batch_size

    def identity(self) -> dict[str, Any]:
        """Return the sampler's name: the references are part of the problems."""
        return {"sampler": "reference"}

    def sample(self, problems: list[Problem]) -> Samples:
        """Return one candidate for each problem that has a reference."""
        samples = Samples()
        for problem in problems:
            if problem.reference is None:
                samples.skipped[problem.task_id] = "the problem has no reference"
                continue
            samples.candidates.append(
                Candidate.create(
                    task_id=problem.task_id,
                    response=code_after_prompt(problem.prompt, problem.reference),
                    code=problem.reference,
                    source="reference",
                    model="reference",
                    sampling={},
                    finish_reason="stop",
                )
            )
        return samples

    def close(self) -> None:
        """Do nothing: no resources are held."""

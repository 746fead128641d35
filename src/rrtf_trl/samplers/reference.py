"""Known good answers as the teacher."""

from __future__ import annotations

from typing import Any

from rrtf_trl.records import Candidate, Problem

from .base import Samples


class ReferenceSampler:
    """Hands out each problem's ``reference`` as a candidate that ranks as a teacher's.

    Args:
        batch_size: Problems a call.
    """

    draws = 1

    def __init__(self, batch_size: int = 256) -> None:
        self.batch_size = batch_size

    def identity(self) -> dict[str, Any]:
        """Return the sampler's name: the answers come with the problems."""
        return {"sampler": "reference"}

    def sample(self, problems: list[Problem]) -> Samples:
        """Return one candidate for each problem that has a reference."""
        samples = Samples()
        for problem in problems:
            if problem.reference is None:
                samples.skipped[problem.task_id] = "the problem has no reference answer"
                continue
            response = problem.reference
            if isinstance(problem.prompt, str):
                response = response.removeprefix(problem.prompt)
            samples.candidates.append(
                Candidate.create(
                    task_id=problem.task_id,
                    response=response,
                    code=problem.reference,
                    source="reference",
                    model="reference",
                    sampling={},
                    finish_reason="stop",
                )
            )
        return samples

    def close(self) -> None:
        """Hold nothing, free nothing."""

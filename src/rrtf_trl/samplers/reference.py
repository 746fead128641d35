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
        return {"sampler": "reference", "rules": 2}  # 2: in a fenced block for chat messages

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
                    response=_response(problem, problem.reference),
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


def _response(problem: Problem, reference: str) -> str:
    """Return a reference as a model would write it: in a fenced block for chat messages, else after the prompt."""
    if isinstance(problem.prompt, str):
        return code_after_prompt(problem.prompt, reference)
    return f"```python\n{reference.rstrip()}\n```"

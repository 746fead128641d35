"""Which answers can be trained on, and as what text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rrtf_trl.records import Candidate, Judgement, Problem

PROBLEM_REASONS = {
    "no_order": "all answers score the same",
    "too_few": "fewer than two different whole answers",
    "teacher_below": "the teacher's best answer is below the student's",
}
"""Why a whole problem is dropped, each in words."""

ANSWER_REASONS = {"repeated": "the same as another answer", "truncated": "cut off at max_new_tokens, or empty"}
"""Why a single answer is dropped, each in words."""

JudgedByAll: TypeAlias = tuple[Candidate, Mapping[str, Judgement]]
"""A candidate with its judgements, by the name of their source."""


@dataclass(frozen=True)
class Dropped:
    """Something that does not go into training, and why.

    Args:
        task_id: The problem.
        reason: A key of ``PROBLEM_REASONS``, or of ``ANSWER_REASONS`` for single candidates.
        candidate_ids: The candidates concerned.
    """

    task_id: str
    reason: str
    candidate_ids: list[str]


def training_text(problem: Problem, candidate: Candidate) -> str:
    """Return what the policy is trained to say: the extracted code alone, as in the paper.

    Where the prompt is text that the code continues, it is what follows the prompt.
    """
    if isinstance(problem.prompt, str):
        return candidate.code.removeprefix(problem.prompt)
    return candidate.code


def trainable(problem: Problem, judged: Sequence[JudgedByAll]) -> tuple[list[JudgedByAll], list[Dropped]]:
    """Leave out answers that were cut off, are empty, or repeat another; a teacher's copy is the one kept."""
    truncated: list[str] = []
    repeated: list[str] = []
    first: dict[str, int] = {}
    kept: list[JudgedByAll] = []
    for candidate, judgements in judged:
        text = training_text(problem, candidate)
        if candidate.finish_reason == "length" or not text.strip():
            truncated.append(candidate.candidate_id)
        elif text not in first:
            first[text] = len(kept)
            kept.append((candidate, judgements))
        elif candidate.source != "student" and kept[first[text]][0].source == "student":
            repeated.append(kept[first[text]][0].candidate_id)
            kept[first[text]] = (candidate, judgements)
        else:
            repeated.append(candidate.candidate_id)
    dropped = [
        Dropped(problem.task_id, reason, ids)
        for reason, ids in (("truncated", truncated), ("repeated", repeated))
        if ids
    ]
    return kept, dropped

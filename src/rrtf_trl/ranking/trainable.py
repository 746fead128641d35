"""Which answers can be trained on, and as what text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from rrtf_trl.records import ANSWER_REASONS, PROBLEM_REASONS, Candidate, Dropped, Judgement, Problem

__all__ = ["ANSWER_REASONS", "PROBLEM_REASONS", "JudgedByAll", "trainable", "training_text"]

JudgedByAll: TypeAlias = tuple[Candidate, Mapping[str, Judgement]]
"""A candidate with its judgements, by the name of their source."""


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

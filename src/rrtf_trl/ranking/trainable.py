"""Which candidates can be trained on, and as what text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from rrtf_trl.records import Candidate, Dropped, Judgement, Problem, code_after_prompt

JudgedByAll: TypeAlias = tuple[Candidate, Mapping[str, Judgement]]
"""A candidate with its judgements, by the name of their source."""


def training_text(problem: Problem, candidate: Candidate) -> str:
    """Return the text to train on: the code alone, as in the paper, without a text prompt that it continues."""
    return code_after_prompt(problem.prompt, candidate.code)


def trainable(problem: Problem, judged: Sequence[JudgedByAll]) -> tuple[list[JudgedByAll], list[Dropped]]:
    """Return the candidates to rank, and the dropped ones: cut off, empty, or the same as another.

    Of equal ones the first is kept, the student's only where all are.
    """
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

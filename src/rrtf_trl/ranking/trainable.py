"""Which candidates can be trained on, and as what text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from rrtf_trl.records import Candidate, Dropped, Judgement, Problem, code_after_prompt

JudgedByAll: TypeAlias = tuple[Candidate, Mapping[str, Judgement]]
"""A candidate with its judgements, by the name of their source."""

TrainOn = Literal["auto", "response", "code"]
"""``response``: the text as the model wrote it, with its prose, fences and thoughts. ``code``: the program alone, as
in the paper. ``auto``: the response where the prompt is chat messages, the code where it is text."""


def trains_on_response(problem: Problem, train_on: TrainOn) -> bool:
    """Whether the responses to a problem are trained on as they are."""
    return train_on == "response" or (train_on == "auto" and not isinstance(problem.prompt, str))


def training_text(problem: Problem, candidate: Candidate, train_on: TrainOn = "auto") -> str:
    """Return the text of a candidate that is trained on.

    Args:
        problem: Its problem. Code that continues a text prompt is without it.
        candidate: The candidate.
        train_on: See :data:`TrainOn`.
    """
    if trains_on_response(problem, train_on):
        return candidate.response
    return code_after_prompt(problem.prompt, candidate.code)


def trainable(
    problem: Problem, judged: Sequence[JudgedByAll], train_on: TrainOn = "auto"
) -> tuple[list[JudgedByAll], list[Dropped]]:
    """Return the candidates to rank, and the dropped ones: cut off, empty, or the same as another.

    Of equal ones the first is kept, the student's only where all are. A response whose program is whole is cut off all
    the same where it is the response that is trained on: the policy would learn to stop there.

    Args:
        problem: Their problem.
        judged: The candidates with their judgements.
        train_on: See :data:`TrainOn`.
    """
    as_response = trains_on_response(problem, train_on)
    truncated: list[str] = []
    repeated: list[str] = []
    first: dict[str, int] = {}
    kept: list[JudgedByAll] = []
    for candidate, judgements in judged:
        text = training_text(problem, candidate, train_on)
        is_cut = candidate.finish_reason == "length" or (as_response and candidate.sampling.get("cut_off", False))
        if is_cut or not text.strip():
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

"""Answers to a problem: as they came, as they were judged, as they were ranked, and why one was not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .content import content_hash
from .forms import check
from .problem import Prompt

Source = Literal["student", "teacher", "reference", "human"]
"""Who wrote a candidate: the policy being trained, a stronger model, the problem's own answer, a person."""

State = Literal["compile_error", "runtime_error", "partial", "passed", "timeout", "memory", "refused"]
"""What happened when a candidate met its tests. The paper's four states are ``compile_error <
runtime_error < partial < passed``; ``timeout``, ``memory`` and ``refused`` (a forbidden act) are kinds of
run-time failure that are worth telling apart."""

SOURCES: tuple[str, ...] = get_args(Source)
STATES: tuple[str, ...] = get_args(State)

PROBLEM_REASONS = {
    "no_order": "all answers score the same",
    "too_few": "fewer than two different whole answers",
    "teacher_below": "the teacher's best answer is below the student's",
}
"""Why a whole problem is dropped, each in words."""

ANSWER_REASONS = {"repeated": "the same as another answer", "truncated": "cut off at max_new_tokens, or empty"}
"""Why a single answer is dropped, each in words."""


@dataclass(frozen=True)
class Candidate:
    """One response to one problem, with where it came from.

    Args:
        candidate_id: Content hash over everything else here; build with :meth:`create`.
        task_id: The problem it answers.
        response: The text as it came, unchanged.
        code: The program extracted from it, complete with the prompt's part where the response continues it.
        source: Who wrote it.
        model: The model's name or path, or ``reference``.
        sampling: ``temperature``, ``top_p``, ``seed``, ``max_new_tokens`` and ``index`` (the draw's number).
        finish_reason: ``stop`` (it ended by itself) or ``length`` (it was cut off).
    """

    candidate_id: str
    task_id: str
    response: str
    code: str
    source: Source
    model: str
    sampling: dict[str, Any]
    finish_reason: Literal["stop", "length"]

    @classmethod
    def create(cls, **fields: Any) -> Candidate:
        """Build a candidate and give it the hash of its content as ``candidate_id``."""
        return cls(candidate_id=content_hash(fields), **fields)

    @classmethod
    def from_json(cls, row: Any) -> Candidate:
        """Build a candidate from its JSON form; raises :class:`RecordError` naming the field."""
        check(cls, row)
        return cls(**row)


@dataclass(frozen=True)
class Judgement:
    """What one feedback source says of one candidate.

    Args:
        candidate_id: The candidate.
        feedback: The name of the source, for instance ``unit_tests``.
        state: For tests, what happened; ``None`` for sources that only score.
        score: Larger is better. For tests the fraction of tests passed, in [0, 1]. ``None`` where the source
            abstained; ``detail["abstained"]`` says why.
        detail: Which test failed with what message, the judge's words, the annotator.
    """

    candidate_id: str
    feedback: str
    state: State | None
    score: float | None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RankedGroup:
    """A prompt with scored responses: one row of the trainer's data set.

    Args:
        prompt: As in :class:`Problem`.
        responses: The texts, at least two.
        scores: One finite number a response, larger is better.
        sources: Who wrote each response, or ``None`` where it does not matter.
        task_id: The problem, for the reader of the file.
        candidate_ids: The candidate behind each response, for the reader of the file.
    """

    prompt: Prompt
    responses: list[str]
    scores: list[float]
    sources: list[str] | None = None
    task_id: str | None = None
    candidate_ids: list[str] | None = None


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

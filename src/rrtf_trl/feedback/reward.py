"""A feedback source as a reward function of TRL's GRPOTrainer, so that both trainers learn from the same scores."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from rrtf_trl.errors import FeedbackError
from rrtf_trl.files.rows import parse_json
from rrtf_trl.records import Candidate, Problem, Prompt, content_hash

from .base import Feedback

logger = logging.getLogger(__name__)

Extract = Callable[[str, Prompt, str | None], str]
"""A function of (completion, prompt, entry point) that returns the program to judge."""


def as_reward_func(feedback: Feedback, extract: Extract | None = None) -> Callable[..., list[float | None]]:
    r"""Return a reward function for ``GRPOTrainer(reward_funcs=...)`` that scores completions by ``feedback``.

    It reads these columns of the data set: ``tests`` (the JSON text of a problem's tests, or the object),
    ``entry_point``, and, if there, ``task_id`` and ``reference``. JSON text is the safe form of ``tests``: a column
    of objects has one type for all rows, which many tests do not fit.

    The reward is the judgement's score; it is ``None``, which GRPO ignores, where a row has no ``tests``, the source
    abstained, or it failed after some judgements. A row that cannot be judged is a :class:`ValueError`.

    Args:
        feedback: The source; the logs name the reward after it.
        extract: Finds the program in a completion; by default as the samplers do.

    >>> from rrtf_trl.feedback import UnitTests
    >>> reward = as_reward_func(UnitTests(timeout=2))
    >>> tests = '{"kind": "asserts", "asserts": ["assert inc(1) == 2", "assert inc(-1) == 0"]}'
    >>> reward(
    ...     prompts=["def inc(x):\n"] * 2,
    ...     completions=["    return x + 1\n", "    return 2 * x\n"],
    ...     tests=[tests] * 2,
    ...     entry_point=["inc"] * 2,
    ... )
    [1.0, 0.5]
    """

    def reward(prompts: list[Prompt], completions: list[Any], **columns: Any) -> list[float | None]:
        if "tests" not in columns:
            raise ValueError(
                f"The data set has no column 'tests', which {feedback.name} needs. Add one with the JSON text of "
                "each problem's tests."
            )
        items = []
        for index, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            if columns["tests"][index] is None:
                continue
            problem = _problem(prompt, {name: columns[name][index] for name in _COLUMNS if name in columns}, index)
            feedback.check(problem)
            items.append((problem, _candidate(problem, _text(completion), str(index), extract or _extract)))
        rewards: list[float | None] = [None] * len(completions)
        judged = 0
        try:
            for judgement in feedback.judge(items):
                rewards[int(judgement.candidate_id)] = judgement.score
                judged += 1
        except FeedbackError as error:
            if not judged:
                raise
            logger.warning("%d of %d completions have no reward: %s", len(items) - judged, len(items), error)
        return rewards

    reward.__name__ = feedback.name
    return reward


_COLUMNS = ("task_id", "tests", "entry_point", "reference")


def _problem(prompt: Prompt, row: dict[str, Any], index: int) -> Problem:
    tests = row["tests"]
    try:
        if isinstance(tests, str):
            row["tests"] = parse_json(tests)
        else:  # in a column of objects, each has null in the fields of the others
            row["tests"] = {name: value for name, value in tests.items() if value is not None}
        row["task_id"] = str(row.get("task_id") or content_hash(prompt, row["tests"]))
        return Problem.from_json({"prompt": prompt, **row})
    except ValueError as error:
        raise ValueError(f"Row {index} of the batch cannot be judged: {error}") from error


def _candidate(problem: Problem, response: str, candidate_id: str, extract: Extract) -> Candidate:
    return Candidate(
        candidate_id=candidate_id,
        task_id=problem.task_id,
        response=response,
        code=extract(response, problem.prompt, problem.entry_point),
        source="student",
        model="policy",
        sampling={},
        finish_reason="stop",
    )


def _text(completion: Any) -> str:
    if isinstance(completion, str):
        return completion
    return "".join(message.get("content") or "" for message in completion if message.get("role") == "assistant")


def _extract(response: str, prompt: Prompt, entry_point: str | None) -> str:
    from rrtf_trl.programs.extract import extract_code  # as for training

    return extract_code(response, prompt, entry_point).code

"""Prompts to tokens and responses to candidates, as all samplers of language models do it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rrtf_trl.models.refusals import refusals_told
from rrtf_trl.models.tokenize import encode_prompt
from rrtf_trl.programs.extract import extract_code
from rrtf_trl.records import Candidate, Problem, Source

from .base import Samples


def encode_prompts(
    problems: list[Problem], tokenizer: Any, model: str, window: int | None
) -> tuple[Samples, list[tuple[Problem, list[int]]]]:
    """Return samples in which the problems that fill the model's window are skipped, and the others with token ids.

    Args:
        problems: The problems.
        tokenizer: A tokenizer of transformers.
        model: Its model's name, for messages.
        window: The most tokens of prompt and response; ``None`` for no limit.

    Raises:
        UserError: If the model's chat template refuses a prompt, or there is none.
    """
    samples = Samples()
    encoded = []
    for problem in problems:
        if isinstance(problem.prompt, str):
            ids = encode_prompt(problem, tokenizer, model)
        else:
            with refusals_told(f"problem {problem.task_id}"):
                ids = encode_prompt(problem, tokenizer, model)
        if window is not None and len(ids) >= window:
            samples.skipped[problem.task_id] = f"the prompt has {len(ids)} tokens, the model's window {window}"
        else:
            encoded.append((problem, ids))
    return samples, encoded


def until_end(ids: list[int], ends: Collection[int]) -> tuple[list[int], bool]:
    """Return a response's token ids up to the first that ends it, and whether there is one."""
    for position, token in enumerate(ids):
        if token in ends:
            return ids[:position], True
    return ids, False


def make_candidate(
    problem: Problem,
    response: str,
    *,
    stopped: bool,
    source: Source,
    model: str,
    sampling: dict[str, Any],
) -> Candidate:
    """Return the candidate of a response, with the program in it.

    Args:
        problem: The problem.
        response: The text of the model.
        stopped: Whether the model ended it itself; a response whose program is complete counts as ended too.
        source: Who wrote it.
        model: The model's name.
        sampling: How it was drawn.
    """
    extracted = extract_code(response, problem.prompt, problem.entry_point)
    return Candidate.create(
        task_id=problem.task_id,
        response=response,
        code=extracted.code,
        source=source,
        model=model,
        sampling=sampling,
        finish_reason="stop" if stopped or extracted.ended else "length",
    )

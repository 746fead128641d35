"""Prompts to tokens and responses to candidates, as all samplers of language models do it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rrtf_trl.models.refusals import naming_refusals
from rrtf_trl.models.tokenize import decode_response, encode_prompt
from rrtf_trl.programs.extract import extract_code
from rrtf_trl.records import Candidate, Problem, Source

from .base import Samples
from .stops import cut_at_stop


def encode_prompts(
    problems: list[Problem],
    tokenizer: Any,
    model: str,
    window: int | None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> tuple[Samples, list[tuple[Problem, list[int]]]]:
    """Return samples in which the problems that fill the model's window are skipped, and the others with token ids.

    Args:
        problems: The problems.
        tokenizer: A tokenizer of transformers.
        model: Its model's name, for messages.
        window: The most tokens of prompt and response; ``None`` for no limit.
        chat_template_kwargs: Variables of the chat template.

    Raises:
        UserError: If the model's chat template refuses a prompt, or there is none.
    """
    samples = Samples()
    encoded = []
    for problem in problems:
        with naming_refusals(f"problem {problem.task_id}"):
            ids = encode_prompt(problem, tokenizer, model, chat_template_kwargs)
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


def sampled_candidate(
    problem: Problem,
    prompt_ids: list[int],
    ids: list[int],
    tokenizer: Any,
    *,
    stopped: bool,
    stops: Sequence[str],
    source: Source,
    model: str,
    sampling: dict[str, Any],
    logprobs: list[float] | None = None,
) -> Candidate:
    """Return the candidate of a response that was drawn as tokens, which the candidate keeps.

    Args:
        problem: The problem.
        prompt_ids: The ids of the prompt's tokens.
        ids: Those of the response, without the one that ended it.
        tokenizer: A tokenizer of transformers.
        stopped: Whether the response ended, by a token or one of ``stops``.
        stops: Texts of which the first ends the response; tokens are kept only where there is none.
        source: Who wrote it.
        model: The model's name.
        sampling: How it was drawn.
        logprobs: See :class:`~rrtf_trl.records.Candidate`.
    """
    response, is_cut = cut_at_stop(decode_response(prompt_ids, ids, tokenizer), stops)
    return make_candidate(
        problem,
        response,
        stopped=stopped or is_cut,
        source=source,
        model=model,
        sampling=sampling,
        token_ids=None if is_cut else ids,
        logprobs=None if is_cut else logprobs,
    )


def make_candidate(
    problem: Problem,
    response: str,
    *,
    stopped: bool,
    source: Source,
    model: str,
    sampling: dict[str, Any],
    token_ids: list[int] | None = None,
    logprobs: list[float] | None = None,
) -> Candidate:
    """Return the candidate of a response, with the program in it.

    Args:
        problem: The problem.
        response: The text of the model.
        stopped: Whether the model ended it itself; a response whose program is complete counts as ended too.
        source: Who wrote it.
        model: The model's name.
        sampling: How it was drawn.
        token_ids: See :class:`~rrtf_trl.records.Candidate`.
        logprobs: Likewise.
    """
    extracted = extract_code(response, problem.prompt, problem.entry_point)
    return Candidate.create(
        task_id=problem.task_id,
        response=response,
        code=extracted.code,
        source=source,
        model=model,
        sampling=sampling if stopped or not extracted.ended else {**sampling, "cut_off": True},
        finish_reason="stop" if stopped or extracted.ended else "length",
        token_ids=token_ids,
        logprobs=logprobs,
    )

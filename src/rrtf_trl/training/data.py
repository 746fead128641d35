"""From data set rows to the tensors of a training step.

:func:`ranked_row` converts an accepted row to (prompt, responses, scores), :func:`tokenize_row` to token ids,
:func:`~rrtf_trl.training.prepare.fit_row` limits its lengths and its number of responses, and :class:`RankedCollator`
pads a batch of rows to tensors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length, extract_prompt
from trl.trainer.utils import pad

from rrtf_trl.models.refusals import refusals_told
from rrtf_trl.models.tokenize import encode

TOKENIZED_COLUMNS = ["prompt_ids", "response_ids", "scores", "from_teacher"]
"""The columns that the collator reads."""

_RANKED = ("prompt", "responses", "scores")
_PREFERENCE = ("chosen", "rejected")
_LARGEST_SCORE = torch.finfo(torch.float32).max / 2
_OF_IDS = {"prompt_ids": "prompt", "response_ids": "responses", "chosen_ids": "chosen", "rejected_ids": "rejected"}


def ranked_row(
    row: dict[str, Any], index: int, require_sources: bool = False, with_images: bool = False
) -> dict[str, Any]:
    """Return an accepted row as ``prompt``, ``responses``, ``scores`` and ``from_teacher``.

    Accepted are ranked rows (``prompt``, ``responses``, ``scores`` and optionally ``sources``) and TRL's
    preference rows (``chosen``, ``rejected``, with an explicit or implicit ``prompt``), both as plain text or
    as chat messages. A preference row becomes two responses with the scores 1 and 0.

    Raises:
        ValueError: If the row cannot be trained on; the message names the row and what is wrong with it.
    """
    # In a data set of mixed forms, a row has null in the columns of the other form.
    row = {name: value for name, value in row.items() if value is not None}
    if not with_images and ("image" in row or row.get("images")):
        raise ValueError(
            f"Row {index} is vision-related: it has an image. That takes a vision-language model with its processor "
            "(loaded with the model, or `processing_class`), and a data set whose first row has the column too."
        )
    is_preference = "responses" not in row and ("chosen" in row or "rejected" in row)
    missing = [name for name in (_PREFERENCE if is_preference else _RANKED) if name not in row]
    if missing:
        raise ValueError(
            f"Row {index} has no {' and no '.join(map(repr, missing))}. A row is either (prompt, responses, scores) "
            f"or (prompt, chosen, rejected); this one has {', '.join(sorted(row))}."
        )
    if is_preference:
        if "prompt" not in row:
            if not row["chosen"] or not row["rejected"]:
                raise ValueError(f"Row {index}: 'chosen' or 'rejected' is empty.")
            row = {**row, **extract_prompt(row)}
        row = {**row, "responses": [row["chosen"], row["rejected"]], "scores": [1.0, 0.0], "sources": None}
    responses, scores, sources = row["responses"], row["scores"], row.get("sources")
    for name in ("responses", "scores"):
        if not isinstance(row[name], list):
            raise ValueError(f"Row {index}: '{name}' is {row[name]!r:.60}, not a list.")
    if not isinstance(row["prompt"], str | list):
        raise ValueError(f"Row {index}: 'prompt' is {row['prompt']!r:.60}, neither text nor chat messages.")
    if len(responses) != len(scores):
        raise ValueError(f"Row {index} has {len(responses)} responses but {len(scores)} scores.")
    if len(responses) < 2:
        raise ValueError(
            f"Row {index} has {len(responses)} response: ranking needs at least two. Drop such rows first."
        )
    for position, (response, score) in enumerate(zip(responses, scores, strict=True)):
        if _is_empty(response):
            raise ValueError(f"Row {index}: responses[{position}] is empty.")
        if isinstance(row["prompt"], str) and not isinstance(response, str):
            raise ValueError(
                f"Row {index}: the prompt is text, but responses[{position}] is a list. Both must be chat messages, "
                "or both text."
            )
        if not isinstance(score, int | float) or not abs(score) <= _LARGEST_SCORE:
            raise ValueError(
                f"Row {index}: scores[{position}] is {score!r:.60}, not a finite number within ±{_LARGEST_SCORE:.1e}: "
                "float32 holds it and its differences with others."
            )
    if sources is not None and len(sources) != len(responses):
        raise ValueError(f"Row {index} has {len(responses)} responses but {len(sources)} sources.")
    if require_sources and sources is None:
        raise ValueError(f'Row {index} has no \'sources\', which pairs="teacher_student" needs. Use pairs="all".')
    if isinstance(row["prompt"], list):
        responses = [[{"role": "assistant", "content": r}] if isinstance(r, str) else r for r in responses]
    return {
        "prompt": row["prompt"],
        "responses": responses,
        "scores": [float(score) for score in scores],
        "from_teacher": [source not in (None, "student") for source in sources or [None] * len(responses)],
    }


def _is_empty(response: str | list[Any] | None) -> bool:
    if isinstance(response, list):
        return not any(isinstance(m, int) or m.get("content") or m.get("tool_calls") for m in response)
    return not response


def tokenize_row(
    row: dict[str, Any], index: int, tokenizer: PreTrainedTokenizerBase, require_sources: bool = False
) -> dict[str, Any]:
    """Return a row's ``prompt_ids`` (list), ``response_ids`` (list of lists), ``scores``, ``from_teacher``, ``row``.

    The responses' token ids start where generation from the prompt alone would start, and end with the
    end-of-sequence token (plain text) or with the chat template's end of a turn. A tokenized row (``prompt_ids``
    with ``response_ids``, or with ``chosen_ids`` and ``rejected_ids``) keeps its ids.
    """
    is_tokenized = "prompt_ids" in row
    if is_tokenized:
        row = {**row, **{column: row[ids] for ids, column in _OF_IDS.items() if ids in row}}
        if "from_teacher" in row:
            row["sources"] = ["teacher" if flag else "student" for flag in row["from_teacher"]]
    ranked = ranked_row(row, index, require_sources)
    if is_tokenized:
        prompt_ids, response_ids = ranked["prompt"], ranked["responses"]
    elif isinstance(ranked["prompt"], list):
        with refusals_told(f"Row {index}"):
            prompt_ids, response_ids = _tokenize_chat(ranked, row, tokenizer)
    else:
        prompt_ids, response_ids = _tokenize_text(ranked, tokenizer)
    return {
        "prompt_ids": prompt_ids,
        "response_ids": response_ids,
        "scores": ranked["scores"],
        "from_teacher": ranked["from_teacher"],
        "row": index,
    }


def _tokenize_text(ranked: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[list[int]]]:
    prompt, eos = ranked["prompt"], tokenizer.eos_token or ""
    responses = [r if eos and r.endswith(eos) else r + eos for r in ranked["responses"]]
    prompt_ids = encode(prompt, tokenizer)
    joint_ids = [encode(prompt + response, tokenizer) for response in responses]
    if all(ids[: len(prompt_ids)] == prompt_ids for ids in joint_ids):
        return prompt_ids, [ids[len(prompt_ids) :] for ids in joint_ids]
    # A token spans the end of the prompt. In generation the prompt is tokenized alone, so tokenize the response
    # alone too, if the two decode to the same text.
    alone = [list(tokenizer(response, add_special_tokens=False)["input_ids"]) for response in responses]
    texts = [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in joint_ids]
    if [tokenizer.decode(prompt_ids + ids, clean_up_tokenization_spaces=False) for ids in alone] == texts:
        return prompt_ids, alone
    return _split_at_common_prefix(prompt_ids, joint_ids)


def _tokenize_chat(
    ranked: dict[str, Any], row: dict[str, Any], tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], list[list[int]]]:
    tools = row.get("tools")
    options = {
        "tokenize": True,
        "return_dict": True,
        "tools": json.loads(tools) if isinstance(tools, str) else tools,
        **(row.get("chat_template_kwargs") or {}),
    }
    prompt = ranked["prompt"]
    prompt_ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, **options)["input_ids"]
    joint_ids = [tokenizer.apply_chat_template(prompt + r, **options)["input_ids"] for r in ranked["responses"]]
    return _split_at_common_prefix(list(prompt_ids), [list(ids) for ids in joint_ids])


def _split_at_common_prefix(prompt_ids: list[int], joint_ids: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    # As in TRL's preference trainers: the responses start where a sequence first differs from the prompt.
    length = min(common_prefix_length(prompt_ids, ids) for ids in joint_ids)
    return prompt_ids[:length], [ids[length:] for ids in joint_ids]


@dataclass
class RankedCollator:
    """Pads the responses of several groups into one batch, one row per response.

    Args:
        pad_token_id: The padding token.
        pad_to_multiple_of: Pad to a multiple of this many tokens.

    Returns a dict with, for G groups of N responses in all, padded on the right to L tokens:

    - ``input_ids`` int `[N, L]`, ``attention_mask`` int `[N, L]`, ``completion_mask`` int `[N, L]`: 1 on
      response tokens;
    - ``scores`` float `[N]`, ``group_ids`` int `[N]` from 0 to G − 1, ``from_teacher`` bool `[N]`.

    >>> row = {"prompt_ids": [1, 2], "response_ids": [[3], [4, 5]], "scores": [0.0, 1.0], "from_teacher": [False] * 2}
    >>> batch = RankedCollator(pad_token_id=0)([row])
    >>> batch["input_ids"]
    tensor([[1, 2, 3, 0],
            [1, 2, 4, 5]])
    >>> batch["completion_mask"]
    tensor([[0, 0, 1, 0],
            [0, 0, 1, 1]])
    >>> batch["group_ids"]
    tensor([0, 0])
    """

    pad_token_id: int
    pad_to_multiple_of: int | None = None

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the batch of ``examples``, rows as :func:`tokenize_row` returns them."""
        rows = [(example["prompt_ids"], ids) for example in examples for ids in example["response_ids"]]
        input_ids = [torch.tensor(prompt + response) for prompt, response in rows]
        completion = [torch.tensor([0] * len(prompt) + [1] * len(response)) for prompt, response in rows]
        multiple = self.pad_to_multiple_of
        return {
            "input_ids": pad(input_ids, self.pad_token_id, "right", multiple),
            "attention_mask": pad([torch.ones_like(ids) for ids in input_ids], 0, "right", multiple),
            "completion_mask": pad(completion, 0, "right", multiple),
            **group_tensors(examples),
        }


def group_tensors(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Return ``scores`` float `[N]`, ``group_ids`` int `[N]`, ``from_teacher`` bool `[N]` of tokenized rows."""
    return {
        "scores": torch.tensor([score for example in examples for score in example["scores"]]),
        "group_ids": torch.tensor([g for g, example in enumerate(examples) for _ in example["scores"]]),
        "from_teacher": torch.tensor([flag for example in examples for flag in example["from_teacher"]]),
    }

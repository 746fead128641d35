"""Batches without padding that contain every prompt once.

A batch is one row: for each group its prompt and then its responses, one after the other. Each response attends to
its prompt and to itself only (:mod:`~rrtf_trl.training.shared_prefix`), so its positions continue those of the prompt.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .data import group_tensors, unscored_of


class PackedCollator:
    """Packs several groups into one row without padding, with every prompt once.

    Returns a dict with, for G groups of N responses and T tokens in all, S of which are scored:

    - ``input_ids`` int `[1, T]`, ``position_ids`` int `[1, T]`, ``attention_mask`` int `[1, T]`: all 1;
    - ``prompt_lengths`` int `[G]`, ``response_lengths`` int `[N]`;
    - ``scored_positions`` int `[S]`: the positions that predict a token of a response. The last position of a
      prompt predicts the first token of each of its responses, and is listed once for each.
      ``scored_tokens`` int `[1, S]`: the predicted tokens; ``scored_responses`` int `[S]`: their responses;
    - ``scores`` float `[N]`, ``group_ids`` int `[N]` from 0 to G − 1, ``from_teacher`` bool `[N]`.

    Without a prompt the first token of a response is not predicted, and not scored.

    >>> row = {"prompt_ids": [1, 2], "response_ids": [[3], [4, 5]], "scores": [0.0, 1.0], "from_teacher": [False] * 2}
    >>> batch = PackedCollator()([row])
    >>> batch["input_ids"]
    tensor([[1, 2, 3, 4, 5]])
    >>> batch["position_ids"]
    tensor([[0, 1, 2, 2, 3]])
    >>> batch["scored_positions"]
    tensor([1, 1, 3])
    >>> batch["scored_tokens"]
    tensor([[3, 4, 5]])
    >>> batch["scored_responses"]
    tensor([0, 1, 1])
    """

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the batch of ``examples``, rows as :func:`~rrtf_trl.training.tokens.tokenize_row` returns them."""
        tokens: list[int] = []
        positions: list[int] = []
        scored: list[tuple[int, int, int]] = []  # position, predicted token, response
        responses = 0
        for example in examples:
            prompt = example["prompt_ids"]
            tokens += prompt
            positions += range(len(prompt))
            end_of_prompt = len(tokens) - 1
            for response, unscored in zip(example["response_ids"], unscored_of(example), strict=True):
                start = len(tokens)
                first = [(end_of_prompt, response[0], responses)] if prompt and response else []
                later = [(start + i, token, responses) for i, token in enumerate(response[1:])]
                scored += (first + later)[unscored:]
                tokens += response
                positions += range(len(prompt), len(prompt) + len(response))
                responses += 1
        columns = torch.tensor(scored, dtype=torch.long).reshape(-1, 3)
        scored_positions, scored_tokens, scored_responses = columns.unbind(dim=1)
        input_ids = torch.tensor([tokens])
        return {
            "input_ids": input_ids,
            "position_ids": torch.tensor([positions]),
            "attention_mask": torch.ones_like(input_ids),
            "prompt_lengths": torch.tensor([len(example["prompt_ids"]) for example in examples]),
            "response_lengths": torch.tensor([len(ids) for example in examples for ids in example["response_ids"]]),
            "scored_positions": scored_positions,
            "scored_tokens": scored_tokens[None],
            "scored_responses": scored_responses,
            **group_tensors(examples),
        }

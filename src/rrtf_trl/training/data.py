"""Tokenized rows to the tensors of a training step: :class:`RankedCollator` pads a batch of them.

Before it, :func:`~rrtf_trl.training.rows.ranked_row` converts an accepted row to (prompt, responses, scores),
:func:`~rrtf_trl.training.tokens.tokenize_row` to token ids, and :func:`~rrtf_trl.training.prepare.fit_row` limits its
lengths and its number of responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.utils import pad

TOKENIZED_COLUMNS = ["prompt_ids", "response_ids", "scores", "from_teacher", "unscored", "row"]
"""The columns that the collator reads."""


@dataclass
class RankedCollator:
    """Pads the responses of several groups into one batch, one row per response.

    Args:
        pad_token_id: The padding token.
        pad_to_multiple_of: Pad to a multiple of this many tokens.

    Returns a dict with, for G groups of N responses in all, padded on the right to L tokens:

    - ``input_ids`` int `[N, L]`, ``attention_mask`` int `[N, L]`, ``completion_mask`` int `[N, L]`: 1 on
      response tokens, but for a response's first ``unscored`` ones where the rows have that;
    - ``scores`` float64 `[N]`, ``group_ids`` int `[N]` from 0 to G − 1, ``from_teacher`` bool `[N]`;
    - ``rows``: the numbers of the groups' rows, where the examples have them.

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

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of ``examples``, rows as :func:`~rrtf_trl.training.tokens.tokenize_row` returns them."""
        rows = [
            (example["prompt_ids"], ids, unscored)
            for example in examples
            for ids, unscored in zip(example["response_ids"], unscored_of(example), strict=True)
        ]
        input_ids = [torch.tensor(prompt + response) for prompt, response, _ in rows]
        completion = [
            torch.tensor([0] * (len(prompt) + unscored) + [1] * (len(response) - unscored))
            for prompt, response, unscored in rows
        ]
        multiple = self.pad_to_multiple_of
        return {
            "input_ids": pad(input_ids, self.pad_token_id, "right", multiple),
            "attention_mask": pad([torch.ones_like(ids) for ids in input_ids], 0, "right", multiple),
            "completion_mask": pad(completion, 0, "right", multiple),
            **group_tensors(examples),
        }


def unscored_of(example: dict[str, Any]) -> list[int]:
    """Return how many of the first tokens of each response of a tokenized row are not scored."""
    return example.get("unscored") or [0] * len(example["response_ids"])


def score_dtype(loss_type: str = "rrtf") -> torch.dtype:
    """Return what a loss reads scores as: float64, or float32 if it is registered, or on a Mac, whose GPU lacks it."""
    is_exact = loss_type in ("rrtf", "rrhf") and not torch.backends.mps.is_available()
    return torch.float64 if is_exact else torch.float32


def group_tensors(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ``scores`` float64 `[N]`, ``group_ids`` int `[N]`, ``from_teacher`` bool `[N]` of tokenized rows.

    Scores are float64, in which whole numbers above 2²⁴ keep their order; see :func:`score_dtype`. ``rows`` is a list
    of the rows' numbers, which errors name.
    """
    scores = [score for example in examples for score in example["scores"]]
    return {
        "scores": torch.tensor(scores, dtype=score_dtype()),
        "group_ids": torch.tensor([g for g, example in enumerate(examples) for _ in example["scores"]]),
        "from_teacher": torch.tensor([flag for example in examples for flag in example["from_teacher"]]),
        **({"rows": [example["row"] for example in examples]} if all("row" in one for one in examples) else {}),
    }

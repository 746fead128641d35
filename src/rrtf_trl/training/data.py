"""Tokenized rows to a batch: :class:`RankedCollator` pads one.

Before it, :func:`~rrtf_trl.training.rows.ranked_row` converts an accepted row to (prompt, responses, scores),
:func:`~rrtf_trl.training.tokens.tokenize_row` to token ids, and :func:`~rrtf_trl.training.prepare.fit_row` limits its
lengths and its number of responses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import pad

from .groups import Groups
from .losses.prefix_tree import PrefixTree, prefix_tree

TOKENIZED_COLUMNS = [
    "prompt_ids",
    "response_ids",
    "scores",
    "from_teacher",
    "unscored",
    "row",
    "reference_logps",
    "sampling_logps",
]
"""The columns that the collator reads."""

PER_TOKEN = ("reference_logps", "sampling_logps")
"""Columns with a number for each token of each response, where rows have them; NaN for one that is not scored."""

PER_RESPONSE = ("response_ids", "scores", "from_teacher", "unscored", "kept", *PER_TOKEN)
"""Columns with something for each response."""


def with_responses(row: dict[str, Any], chosen: list[int]) -> dict[str, Any]:
    """Return a tokenized row with some of its responses, by number."""
    columns = {name: row[name] for name in PER_RESPONSE if row.get(name) is not None}
    return {**row, **{name: [column[number] for number in chosen] for name, column in columns.items()}}


@dataclass
class RankedCollator:
    """Pads the responses of several groups into one batch, one row per response.

    Args:
        pad_token_id: The padding token.
        pad_to_multiple_of: Pad to a multiple of this many tokens.
        needs: What the loss reads besides, see :func:`loss_columns`.

    Returns a dict with, for G groups of N responses in all, padded on the right to L tokens:

    - ``input_ids`` int `[N, L]`, ``attention_mask`` int `[N, L]`, ``completion_mask`` int `[N, L]`: 1 on
      response tokens, but for a response's first ``unscored`` ones where the rows have that;
    - ``groups``: :class:`~rrtf_trl.training.groups.Groups`, and the :func:`loss_columns`.

    >>> row = {"prompt_ids": [1, 2], "response_ids": [[3], [4, 5]], "scores": [0.0, 1.0], "from_teacher": [False] * 2}
    >>> batch = RankedCollator(pad_token_id=0)([row])
    >>> batch["input_ids"]
    tensor([[1, 2, 3, 0],
            [1, 2, 4, 5]])
    >>> batch["completion_mask"]
    tensor([[0, 0, 1, 0],
            [0, 0, 1, 1]])
    >>> batch["groups"].ids
    tensor([0, 0])
    """

    pad_token_id: int
    pad_to_multiple_of: int | None = None
    needs: tuple[str, ...] = ()

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
        batch = {
            "input_ids": pad(input_ids, self.pad_token_id, "right", multiple),
            "attention_mask": pad([torch.ones_like(ids) for ids in input_ids], 0, "right", multiple),
            "completion_mask": pad(completion, 0, "right", multiple),
        }
        return {**batch, "groups": Groups.of_padded(examples, batch), **loss_columns(examples, self.needs)}

    def size(self, example: dict[str, Any]) -> tuple[int, int]:
        """Return how many sequences a row adds to a batch, and how long the longest is."""
        longest = max(map(len, example["response_ids"]), default=0)
        multiple = self.pad_to_multiple_of or 1
        return len(example["response_ids"]), -(-(len(example["prompt_ids"]) + longest) // multiple) * multiple

    def tokens(self, sizes: list[tuple[int, int]]) -> int:
        """Return how many tokens a batch of rows of these sizes has, padding included."""
        return sum(count for count, _ in sizes) * max((length for _, length in sizes), default=0)

    def in_order(self, example: dict[str, Any]) -> list[int]:
        """Return the responses of a row by number, those beside each other that have most to gain by one batch."""
        return sorted(range(len(example["response_ids"])), key=lambda number: -len(example["response_ids"][number]))


def unscored_of(example: dict[str, Any]) -> list[int]:
    """Return how many of the first tokens of each response of a tokenized row are not scored."""
    return example.get("unscored") or [0] * len(example["response_ids"])


def loss_columns(examples: list[dict[str, Any]], needs: tuple[str, ...]) -> dict[str, Tensor | PrefixTree]:
    """Return what a loss needs of tokenized rows besides the policy's log-probabilities.

    Args:
        examples: The rows.
        needs: ``reference_logps`` and ``sampling_logps``: float `[T]`, those of the T scored tokens, from the column
            of this name, NaN where a row has no ``sampling_logps``; ``tree``: ``prefix_tree``, which tokens the
            responses share.
    """
    found: dict[str, Tensor | PrefixTree] = {}
    # Without a prompt nothing predicts the first token.
    unscored = [[max(one, int(not example["prompt_ids"])) for one in unscored_of(example)] for example in examples]
    for name in {"reference_logps", "sampling_logps"} & set(needs):
        columns = [example.get(name) for example in examples]
        if name == "sampling_logps" and any(name in example for example in examples):  # some rows have none
            columns = [
                [[math.nan] * len(ids) for ids in example["response_ids"]] if column is None else column
                for example, column in zip(examples, columns, strict=True)
            ]
        if all(column is not None for column in columns):
            values = [
                value
                for column, counts in zip(columns, unscored, strict=True)
                for response, count in zip(column or (), counts, strict=True)
                for value in response[count:]
            ]
            found[name] = torch.tensor(values, dtype=torch.float32)
    if "tree" in needs:
        found["prefix_tree"] = prefix_tree([example["response_ids"] for example in examples], unscored)
    return found

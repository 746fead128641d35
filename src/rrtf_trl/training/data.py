"""Tokenized rows to a batch: :class:`RankedCollator` pads one, :class:`Groups` says which responses are compared.

Before it, :func:`~rrtf_trl.training.rows.ranked_row` converts an accepted row to (prompt, responses, scores),
:func:`~rrtf_trl.training.tokens.tokenize_row` to token ids, and :func:`~rrtf_trl.training.prepare.fit_row` limits its
lengths and its number of responses.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import pad

TOKENIZED_COLUMNS = ["prompt_ids", "response_ids", "scores", "from_teacher", "unscored"]
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
    - ``groups``: :class:`Groups`.

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
        return {**batch, "groups": Groups.of_padded(examples, batch)}

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


class Groups:
    """The N responses of a batch by their G groups, on the host, where nothing waits for the device.

    This is no dataclass, which wrappers of models would copy to the device.

    Args:
        examples: Tokenized rows, a group each.
        lengths: int `[N]`, the scored tokens of each response.
        tokens: How many tokens the model computes, without padding.

    Attributes:
        scores: float64 `[N]`: float32 has no two numbers for 2²⁴ and 2²⁴ + 1.
        ids: int `[N]`, the group of each response, ascending from 0 to G − 1.
        from_teacher: bool `[N]`.
        lengths: int `[N]`, at least 1, by which sums over a response's tokens become means.
        scored: int `[N]`, the scored tokens of each response: 0 where nothing precedes its only one.
        count: G.
        numbers: Which of the batch's rows each group is.
        tokens: As in the arguments.
    """

    def __init__(self, examples: list[dict[str, Any]], lengths: Tensor, tokens: int) -> None:
        self.scores = torch.tensor([one for example in examples for one in example["scores"]], dtype=torch.float64)
        self.ids = torch.tensor([g for g, example in enumerate(examples) for _ in example["scores"]], dtype=torch.long)
        self.from_teacher = torch.tensor(
            [flag for example in examples for flag in example["from_teacher"]], dtype=torch.bool
        )
        self.scored, self.lengths = lengths, lengths.clamp(min=1)
        self.count, self.tokens = len(examples), tokens
        self.numbers = list(range(self.count))

    @classmethod
    def of_padded(cls, examples: list[dict[str, Any]], batch: dict[str, Tensor]) -> Groups:
        """Return the groups of a padded batch; the first token of a sequence is not predicted."""
        return cls(examples, batch["completion_mask"][:, 1:].sum(dim=1), int(batch["attention_mask"].sum()))

    def of(self, kept: list[int]) -> Groups:
        """Return a part of the groups, by their places in this batch, ascending; ``tokens`` stays."""
        part, chosen = copy(self), torch.isin(self.ids, torch.tensor(kept, dtype=torch.long))
        for name in ("scores", "from_teacher", "scored", "lengths"):
            setattr(part, name, getattr(self, name)[chosen])
        part.ids = torch.searchsorted(torch.tensor(kept, dtype=torch.long), self.ids[chosen])
        part.count, part.numbers = len(kept), [self.numbers[group] for group in kept]
        return part

    def best(self) -> Tensor:
        """Return bool `[N]`: which responses have the best score of their group."""
        top = torch.full_like(self.scores[: self.count], -torch.inf).scatter_reduce(0, self.ids, self.scores, "amax")
        return self.scores == top[self.ids]

"""Batches without padding that contain once what responses have in common, their prompt above all.

A batch is one row: for each group the trie of its prompt and responses (:mod:`~rrtf_trl.training.tree`). Each token
attends to those before it in its own response and prompt (:mod:`~rrtf_trl.training.shared_prefix`), and each token of
a response is predicted by the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .data import loss_columns, unscored_of
from .groups import Groups
from .tree import Ints, Tree, size_of_trie, trie


@dataclass
class PackedCollator:
    """Packs several groups into one row without padding, with every token that responses share once.

    Args:
        needs: What the loss reads besides, see :func:`~rrtf_trl.training.data.loss_columns`.

    Returns a dict with, for G groups of N responses and T tokens in all, S of which are scored:

    - ``input_ids`` int `[1, T]`, ``position_ids`` int `[1, T]`, ``attention_mask`` int `[1, T]`: all 1;
    - ``tree``: the :class:`~rrtf_trl.training.tree.Tree` of the row;
    - ``scored_positions`` int `[S]`: the positions that predict a token of some response, and ``scored_tokens`` int
      `[1, S]`: the predicted tokens. A position predicts the first token of each of its branches;
    - ``member_scores`` int `[M]`, indices into these, and ``member_responses`` int `[M]`: for each token of each
      response, as M there are in all, which prediction is its own;
    - ``groups``: :class:`~rrtf_trl.training.groups.Groups`, and the :func:`~rrtf_trl.training.data.loss_columns`.

    Without a prompt the first token of a response is not predicted, and not scored.

    >>> row = {"prompt_ids": [1, 2], "response_ids": [[3, 6], [3, 5]], "scores": [0.0, 1.0], "from_teacher": [0, 0]}
    >>> batch = PackedCollator()([row])
    >>> batch["input_ids"]
    tensor([[1, 2, 3, 5, 6]])
    >>> batch["position_ids"]
    tensor([[0, 1, 2, 3, 3]])
    >>> batch["tree"].ends
    array([5, 5, 5, 4, 5])
    >>> batch["scored_positions"]
    tensor([1, 2, 2])
    >>> batch["scored_tokens"]
    tensor([[3, 5, 6]])
    >>> batch["member_scores"]
    tensor([0, 2, 0, 1])
    >>> batch["member_responses"]
    tensor([0, 0, 1, 1])
    """

    needs: tuple[str, ...] = ()

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of ``examples``, rows as :func:`~rrtf_trl.training.tokens.tokenize_row` returns them."""
        tokens, ends, depths = [], [], []
        members: list[Ints] = []  # for each response the tokens of the row that it is scored by
        parents: list[Ints] = []
        start = 0
        for example in examples:
            prompt = example["prompt_ids"]
            found = trie([prompt + response for response in example["response_ids"]] or [prompt])
            tokens.append(found.tokens)
            ends.append(found.ends + start)
            depths.append(found.depths)
            for path, unscored in zip(found.paths, unscored_of(example), strict=True):
                # The first token of a sequence is not predicted.
                first = max(len(prompt) + unscored, 1)
                members.append(path[first:] + start)
                parents.append(path[first - 1 : -1] + start)
            start += len(found.tokens)
        row, ends_of_row, depths_of_row = (np.concatenate(part) for part in (tokens, ends, depths))
        member, parent = np.concatenate(members), np.concatenate(parents)
        scored, first_member, member_scores = np.unique(member, return_index=True, return_inverse=True)
        input_ids = torch.from_numpy(row)[None]
        lengths = torch.tensor([len(one) for one in members])
        return {
            "input_ids": input_ids,
            "position_ids": torch.from_numpy(depths_of_row)[None],
            "attention_mask": torch.ones_like(input_ids),
            "tree": Tree(ends_of_row, depths_of_row),
            "scored_positions": torch.from_numpy(parent[first_member]),
            "scored_tokens": torch.from_numpy(row[scored])[None],
            "member_scores": torch.from_numpy(member_scores),
            "member_responses": torch.arange(len(members)).repeat_interleave(lengths),
            "groups": Groups(examples, lengths, len(row)),
            **loss_columns(examples, self.needs),
        }

    def size(self, example: dict[str, Any]) -> tuple[int, int]:
        """Return 1 and how many tokens a row has in a batch."""
        return 1, size_of_trie([example["prompt_ids"] + ids for ids in example["response_ids"]])

    def tokens(self, sizes: list[tuple[int, int]]) -> int:
        """Return how many tokens a batch of rows of these sizes has."""
        return sum(length for _, length in sizes)

    def in_order(self, example: dict[str, Any]) -> list[int]:
        """Return the responses of a row by number, those beside each other that have most to gain by one batch."""
        return sorted(range(len(example["response_ids"])), key=example["response_ids"].__getitem__)

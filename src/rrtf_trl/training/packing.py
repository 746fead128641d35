"""Batches without padding that contain once what responses have in common, their prompt above all.

A batch is one row: for each group the trie of its prompt and responses (:mod:`~rrtf_trl.training.tree`). Each token
attends to those before it in its own response and prompt (:mod:`~rrtf_trl.training.shared_prefix`), and each token of
a response is predicted by the one before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .data import group_tensors, unscored_of
from .tree import Ints, Tree, trie


class PackedCollator:
    """Packs several groups into one row without padding, with every token that responses share once.

    Returns a dict with, for G groups of N responses and T tokens in all, S of which are scored:

    - ``input_ids`` int `[1, T]`, ``position_ids`` int `[1, T]`, ``attention_mask`` int `[1, T]`: all 1;
    - ``tree``: the :class:`~rrtf_trl.training.tree.Tree` of the row;
    - ``scored_positions`` int `[S]`: the positions that predict a token of some response, and ``scored_tokens`` int
      `[1, S]`: the predicted tokens. A position predicts the first token of each of its branches;
    - ``member_scores`` int `[M]`, indices into these, and ``member_responses`` int `[M]`: for each token of each
      response, as M there are in all, which prediction is its own;
    - ``scores`` float64 `[N]`, ``group_ids`` int `[N]` from 0 to G − 1, ``from_teacher`` bool `[N]`;
    - ``rows``: the numbers of the groups' rows, where the examples have them.

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
        return {
            "input_ids": input_ids,
            "position_ids": torch.from_numpy(depths_of_row)[None],
            "attention_mask": torch.ones_like(input_ids),
            "tree": Tree(ends_of_row, depths_of_row),
            "scored_positions": torch.from_numpy(parent[first_member]),
            "scored_tokens": torch.from_numpy(row[scored])[None],
            "member_scores": torch.from_numpy(member_scores),
            "member_responses": torch.from_numpy(np.repeat(np.arange(len(members)), [len(one) for one in members])),
            **group_tensors(examples),
        }

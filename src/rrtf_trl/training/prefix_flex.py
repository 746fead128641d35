"""Attention in a packed row on a GPU: one FlexAttention call (arXiv 2412.05496) over the whole row.

Its block mask skips the blocks in which no token attends to another, so the cost is that of the sequences, as in
:mod:`~rrtf_trl.training.prefix_attention`, in one kernel instead of two per group.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from .prefix_layout import PrefixLayout


@functools.cache
def compiled_flex_attention() -> Any:
    """Return FlexAttention compiled to one kernel; uncompiled, it computes all scores of the row."""
    return torch.compile(flex_attention, dynamic=True)


def attend_by_blocks(
    layout: PrefixLayout,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int | None,
    scaling: float | None,
    softcap: float | None,
) -> Tensor:
    """Attend within each response and to its prompt.

    Args:
        layout: The layout of the row.
        query: float `[1, H, T, D]`.
        key: float `[1, H_kv, T, D]`, H_kv a divisor of H.
        value: float `[1, H_kv, T, D_v]`.
        window: Positions that a token attends to, itself included; ``None`` for all.
        scaling: Factor of the scores; by default 1 / √D.
        softcap: Bound of the scores, as in Gemma 2.

    Returns:
        float `[1, H, T, D_v]`.
    """

    def capped(score: Tensor, batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        assert softcap is not None
        return softcap * torch.tanh(score / softcap)

    attention = compiled_flex_attention() if query.is_cuda else flex_attention
    out: Tensor = attention(
        query,
        key,
        value,
        score_mod=None if softcap is None else capped,
        block_mask=block_mask(layout, window, query.device),
        scale=scaling,
        enable_gqa=query.size(1) != key.size(1),
    )
    return out


def block_mask(layout: PrefixLayout, window: int | None, device: torch.device) -> BlockMask:
    """Return which tokens of the row attend to which; layers with the same window use the same mask."""
    if window not in layout.block_masks:
        # For each token of the row: its group, its response (0 in the prompt), and its position in the sequence.
        tokens = [
            (group, part, position)
            for group, (prompt, responses) in enumerate(layout.groups)
            for part, length in enumerate([prompt, *responses])
            for start in [prompt if part else 0]
            for position in range(start, start + length)
        ]
        group, part, position = torch.tensor(tokens, device=device).T.contiguous()

        def visible(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
            attends: Tensor = (group[q] == group[k]) & (k <= q) & ((part[k] == 0) | (part[k] == part[q]))
            return attends if window is None else torch.logical_and(attends, position[q] - position[k] < window)

        size = len(tokens)
        # Uncompiled, it needs memory for every pair of tokens.
        layout.block_masks[window] = create_block_mask(
            visible, None, None, size, size, device=device, _compile=device.type == "cuda"
        )
    return layout.block_masks[window]

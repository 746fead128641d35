"""The layout of a packed row, which both implementations of attention use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask


@dataclass(eq=False)
class PrefixLayout:
    """The lengths and positions of the groups in a packed row.

    Args:
        groups: For each group the length of its prompt and those of its responses.
        scored_positions: int `[S]`, the positions whose hidden states predict a token of a response.
        masks: Masks built so far, see :meth:`mask`.
        block_masks: FlexAttention's masks built so far, by window.
        windows: Sliding windows by attention layer, of the layers that have run.
    """

    groups: list[tuple[int, list[int]]]
    scored_positions: Tensor
    masks: dict[tuple[Any, ...], Tensor] = field(default_factory=dict, repr=False)
    block_masks: dict[int | None, BlockMask] = field(default_factory=dict, repr=False)
    windows: dict[nn.Module, int | None] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, batch: Mapping[str, Tensor]) -> PrefixLayout:
        """Return the layout of a batch of :class:`~rrtf_trl.training.packing.PackedCollator`."""
        lengths = iter(batch["response_lengths"].tolist())
        sizes = batch["group_ids"].bincount().tolist()
        prompts = batch["prompt_lengths"].tolist()
        groups = [(prompt, list(islice(lengths, size))) for prompt, size in zip(prompts, sizes, strict=True)]
        return cls(groups, batch["scored_positions"])

    def mask(self, queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
        """Return bool `[queries, keys]`, True where the last ``queries`` of ``keys`` positions attend.

        Layers with the same window use the same mask, so the backward pass keeps only one.
        """
        key = (queries, keys, window, device)
        if key not in self.masks:
            distance = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
            visible = distance >= 0
            self.masks[key] = visible if window is None else visible & (distance < window)
        return self.masks[key]

"""Averages of what happens between two logs, over items rather than batches, and over all processes."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor

from .losses import LossOutput


class Metrics:
    """Sums and counts on this process; they are joined over processes when they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def record(
        self,
        loss: LossOutput,
        logps: Tensor,
        lengths: Tensor,
        entropy: Tensor,
        is_top1: Tensor,
        inputs: dict[str, Tensor],
    ) -> None:
        """Add a batch of N responses of L tokens at most.

        Args:
            loss: What the loss said of it.
            logps: float `[N]`, mean log-probability of each response's tokens.
            lengths: int `[N]`, tokens of each response.
            entropy: float `[N, L]`, 0 off the response.
            is_top1: bool `[N, L]`, whether a token is the likeliest; False off the response.
            inputs: The batch of the collator.
        """
        group_ids, scores = inputs["group_ids"], inputs["scores"]
        top = torch.full_like(scores, -torch.inf)[: loss.rank_loss.numel()].scatter_reduce(
            0, group_ids, scores, "amax"
        )
        best = scores == top[group_ids]
        self.add("rank_loss", loss.rank_loss)
        self.add("sft_loss", loss.sft_loss)
        self.add("margins", loss.margins)
        self.add("ranking_accuracy", (loss.margins > 0).float())
        self.add("active_pairs", (loss.margins < 0).float())
        self.add("logps/best", logps[best])
        self.add("logps/rest", logps[~best])
        self.add("entropy", entropy.float().sum(), lengths.sum())
        self.add("mean_token_accuracy", is_top1[best].float().sum(), lengths[best].sum())

    def add(self, name: str, values: Tensor, count: Tensor | int | None = None) -> None:
        """Add the sum of ``values`` to a metric, for ``count`` items or as many as there are values."""
        count = values.numel() if count is None else count
        pair = torch.stack([values.detach().sum().double(), torch.as_tensor(count, device=values.device).double()])
        self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the averages over all processes and start again."""
        averages = {}
        for name, pair in self._sums.items():
            total, count = accelerator.reduce(pair, reduction="sum").tolist()
            if count:  # a metric over pairs has none where all scores are equal
                averages[name] = total / count
        self._sums.clear()
        return averages

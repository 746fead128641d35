"""Metrics between two logs, averaged over items instead of batches, and over all processes."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor

from .losses import LossOutput
from .scoring import ScoredResponses


class Metrics:
    """Sums and counts of this process, which are summed over all processes when they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def record(self, loss: LossOutput, scored: ScoredResponses, inputs: dict[str, Tensor]) -> None:
        """Add a batch.

        Args:
            loss: Its loss.
            scored: Its responses, as the policy scores them.
            inputs: ``scores`` and ``group_ids`` of these responses.
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
        logps = scored.logps.detach() / scored.lengths
        self.add("logps/best", logps[best])
        self.add("logps/rest", logps[~best])
        self.add("entropy", scored.entropy, scored.lengths.sum())
        self.add("mean_token_accuracy", scored.top1[best].sum(), scored.lengths[best].sum())

    def add(self, name: str, values: Tensor, count: Tensor | int | None = None) -> None:
        """Add the sum of ``values`` to a metric, for ``count`` items or as many as there are values."""
        count = values.numel() if count is None else count
        pair = torch.stack([values.detach().sum().double(), torch.as_tensor(count, device=values.device).double()])
        self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the averages over all processes and reset them."""
        averages = {}
        for name, pair in self._sums.items():
            total, count = accelerator.reduce(pair, reduction="sum").tolist()
            if count:  # there are no pairs where all scores are equal
                averages[name] = total / count
        self._sums.clear()
        return averages

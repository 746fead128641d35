"""Metrics between two logs, averaged over items instead of batches, and over all processes."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from .groups import Groups
from .losses import LossInputs, LossOutput


class Metrics:
    """Sums and counts of this process, which are added up over all processes when they are read.

    The sums stay on the device until then, so that recording does not wait for it.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def record(self, loss: LossOutput, inputs: LossInputs, groups: Groups) -> None:
        """Add the loss of a batch, what it is of, and which responses are compared."""
        best, is_scored = groups.best(), groups.scored > 0  # without a scored token there is no mean
        device = inputs.token_logps.device
        parts = {
            name: chosen.nonzero()[:, 0].to(device, non_blocking=True)
            for name, chosen in (("best", best & is_scored), ("rest", ~best & is_scored))
        }
        self.add("rank_loss", loss.rank_loss)
        self.add("sft_loss", loss.sft_loss)
        self.add("margins", loss.margins)
        self.add("ranking_accuracy", loss.margins > 0)
        self.add("active_pairs", loss.margins < 0)
        for name, values in loss.metrics.items():
            self.add(name, values)
        means = inputs.logps.detach() / inputs.lengths
        for name, responses in parts.items():
            self.add(f"logps/{name}", means[responses])
        assert inputs.entropy is not None
        assert inputs.top1 is not None
        self.add("entropy", inputs.entropy, int(groups.scored.sum()))
        top1 = inputs.response_sums(inputs.top1)
        self.add("mean_token_accuracy", top1[parts["best"]], int(groups.scored[best].sum()))

    def add(self, name: str, values: Tensor, count: int | None = None) -> None:
        """Add the sum of ``values`` to a metric, for ``count`` items or as many as there are values."""
        # In float64, which Apple's GPUs do not have.
        total = values.detach().sum(dtype=torch.float32 if values.device.type == "mps" else torch.float64)
        self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._counts[name] = self._counts.get(name, 0) + (values.numel() if count is None else count)

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the averages over all processes and reset them."""
        # A process may have had no batch with some metric, nor any batch; all add up the same ones, in one order.
        own = list(self._sums)
        names = own if accelerator.num_processes == 1 else list(dict.fromkeys(gather_object(own)))
        if not names:
            return {}
        device = accelerator.device
        nothing = torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
        sums = torch.stack([self._sums.get(name, nothing) for name in names])
        counts = torch.tensor([self._counts.get(name, 0) for name in names], dtype=sums.dtype, device=sums.device)
        totals = accelerator.reduce(torch.stack([sums, counts]), reduction="sum").tolist()
        averages = {
            name: total / count
            for name, total, count in zip(names, *totals, strict=True)
            if count  # there are no pairs where all scores are equal
        }
        self._sums.clear()
        self._counts.clear()
        return averages

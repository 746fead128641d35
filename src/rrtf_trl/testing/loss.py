"""The tests that every loss must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from rrtf_trl.training import LossOutput


class LossContract:
    """Subclass it as ``TestMine`` and set ``loss_type``.

    Args:
        loss_type: The name of the loss.
        options: Further options of ``RRTFConfig``.
    """

    loss_type: str
    options: dict[str, Any] = {}  # noqa: RUF012  (it is read only)

    def test_it_gives_finite_values_and_gradients(self) -> None:
        """Each term has one value for each group, and the gradient of every response is finite."""
        import torch

        logps, *rest = self._batch()
        logps.requires_grad_()
        output = self._loss(logps, *rest)
        assert output.rank_loss.shape == output.sft_loss.shape == (3,)
        total = (output.rank_loss + output.sft_loss).sum()
        assert torch.isfinite(total)
        torch.autograd.backward(total)
        assert logps.grad is not None
        assert torch.isfinite(logps.grad).all()
        assert not output.margins.requires_grad, "margins are only for metrics: detach them"

    def test_a_group_does_not_depend_on_others(self) -> None:
        """A group's terms are the same alone and in a batch."""
        import torch

        logps, lengths, scores, groups = self._batch()
        together = self._loss(logps, lengths, scores, groups)
        for group in range(3):
            own = groups == group
            alone = self._loss(logps[own], lengths[own], scores[own], torch.zeros(int(own.sum()), dtype=torch.long))
            torch.testing.assert_close(alone.rank_loss[0], together.rank_loss[group])
            torch.testing.assert_close(alone.sft_loss[0], together.sft_loss[group])

    def test_it_is_finite_in_half_precision(self) -> None:
        """In bfloat16 the values are finite too."""
        import torch

        logps, lengths, scores, groups = self._batch()
        output = self._loss(logps.bfloat16(), lengths, scores, groups)
        assert torch.isfinite(output.rank_loss.float() + output.sft_loss.float()).all()

    def _loss(self, logps: Tensor, lengths: Tensor, scores: Tensor, groups: Tensor) -> LossOutput:
        import torch

        from rrtf_trl import RRTFConfig
        from rrtf_trl.training.losses import batch_loss

        config = RRTFConfig("out", loss_type=self.loss_type, use_cpu=True, bf16=False, **self.options)
        teacher = torch.zeros(len(logps), dtype=torch.bool)
        return batch_loss(logps, lengths, scores, groups, config, from_teacher=teacher)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Nine responses in three groups: one with ties, one in order, one of two."""
        import torch

        draw = torch.Generator().manual_seed(0)
        logps = -10 * torch.rand(9, generator=draw)
        lengths = torch.randint(1, 9, (9,), generator=draw)
        scores = torch.tensor([1.0, 3.0, 1.0, 3.0, 0.0, 1.0, 2.0, 5.0, -1.0])
        return logps, lengths, scores, torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])

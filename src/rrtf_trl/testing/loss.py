"""The tests that every loss must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from rrtf_trl.training import LossInputs, LossOutput


class LossContract:
    """Subclass it as ``TestMine`` and set ``loss_type``.

    Args:
        loss_type: The name of the loss.
        options: Further options of ``RRTFConfig``.
    """

    loss_type: str
    options: dict[str, Any] = {}  # noqa: RUF012  (it is read only)

    def test_it_gives_finite_values_and_gradients(self) -> None:
        """Each term has one value for each group, and the gradient of every token is finite."""
        import torch

        inputs = self._inputs([0, 1, 2])
        output = self._loss(inputs)
        assert output.rank_loss.shape == output.sft_loss.shape == (3,)
        total = (output.rank_loss + output.sft_loss).sum()
        assert torch.isfinite(total)
        torch.autograd.backward(total)
        assert inputs.token_logps.grad is not None
        assert torch.isfinite(inputs.token_logps.grad).all()
        assert not output.margins.requires_grad, "margins are only for metrics: detach them"
        for name, values in output.metrics.items():
            assert not values.requires_grad, f"{name} is only for metrics: detach it"

    def test_a_group_does_not_depend_on_others(self) -> None:
        """A group's terms are the same alone and in a batch."""
        import torch

        together = self._loss(self._inputs([0, 1, 2]))
        for group in range(3):
            alone = self._loss(self._inputs([group]))
            torch.testing.assert_close(alone.rank_loss[0], together.rank_loss[group])
            torch.testing.assert_close(alone.sft_loss[0], together.sft_loss[group])

    def test_it_is_finite_in_half_precision(self) -> None:
        """In bfloat16 the values are finite too."""
        import torch

        output = self._loss(self._inputs([0, 1, 2], torch.bfloat16))
        assert torch.isfinite(output.rank_loss.float() + output.sft_loss.float()).all()

    def _loss(self, inputs: LossInputs) -> LossOutput:
        from rrtf_trl import RRTFConfig
        from rrtf_trl.training.losses import resolve_loss

        config = RRTFConfig("out", loss_type=self.loss_type, use_cpu=True, bf16=False, **self.options)
        return resolve_loss(config)(inputs)

    def _inputs(self, chosen: list[int], dtype: torch.dtype | None = None) -> LossInputs:
        """Of three groups, one with ties, one in order, one of two responses, those with the chosen numbers."""
        import torch

        from rrtf_trl.training.losses import LossInputs, prefix_tree

        draw = torch.Generator().manual_seed(0)
        scores = [[1.0, 3.0, 1.0, 3.0], [0.0, 1.0, 2.0], [5.0, -1.0]]
        groups = [
            [torch.randint(2, (int(torch.randint(1, 9, (), generator=draw)),), generator=draw) for _ in group]
            for group in scores
        ]
        drawn = [[-2 * torch.rand(3, len(ids), generator=draw) for ids in group] for group in groups]
        groups, drawn = [groups[number] for number in chosen], [drawn[number] for number in chosen]
        scores = [scores[number] for number in chosen]
        lengths = torch.tensor([len(ids) for group in groups for ids in group])
        logps = torch.cat([one for group in drawn for one in group], dim=1).to(dtype or torch.float32)
        token_logps, reference_logps, sampling_logps = logps
        return LossInputs(
            token_logps=token_logps.clone().requires_grad_(),
            responses=torch.arange(len(lengths)).repeat_interleave(lengths),
            lengths=lengths,
            scores=torch.tensor([score for group in scores for score in group]),
            group_ids=torch.arange(len(groups)).repeat_interleave(torch.tensor([len(group) for group in groups])),
            groups=len(groups),
            from_teacher=torch.zeros(len(lengths), dtype=torch.bool),
            entropy=torch.ones_like(token_logps),
            reference_logps=reference_logps,
            sampling_logps=sampling_logps,
            tree=prefix_tree([[ids.tolist() for ids in group] for group in groups]),
        )

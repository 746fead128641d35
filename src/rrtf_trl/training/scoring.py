"""The policy's log-probabilities of the responses of a batch, packed or padded, in one forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

_LOSS_COLUMNS = {"completion_mask", "scores", "group_ids", "from_teacher", "rows"}


@dataclass
class ScoredResponses:
    """The N responses of a batch as the policy scores them.

    Args:
        logps: float `[N]`, the sum of each response's token log-probabilities.
        lengths: int `[N]`, the number of these tokens, at least 1.
        top1: float `[N]`, how many of them are the policy's most likely token.
        entropy: float `[N]`, the sum of each response's token entropies, in nats, without gradient.
        aux_loss: float, the load-balancing loss of a mixture of experts, over all computed tokens, or ``None``.
    """

    logps: Tensor
    lengths: Tensor
    top1: Tensor
    entropy: Tensor
    aux_loss: Tensor | None

    def of(self, responses: Tensor) -> ScoredResponses:
        """Return the scores of a part of the responses: bool `[N]`, True for those."""
        names = ("logps", "lengths", "top1", "entropy")
        return replace(self, **{name: getattr(self, name)[responses] for name in names})


def score_responses(model: nn.Module, batch: Mapping[str, Any], *, router_loss: bool = False) -> ScoredResponses:
    """Score the responses of a batch.

    Args:
        model: The model as the trainer wraps it, with TRL's fused LM head; for a packed batch, prepared by
            :func:`~rrtf_trl.training.shared_prefix.share_prefixes`.
        batch: A batch of :class:`~rrtf_trl.training.packing.PackedCollator` or
            :class:`~rrtf_trl.training.data.RankedCollator`.
        router_loss: Whether to compute ``aux_loss``.
    """
    options = {"fused_lm_head": True, "use_cache": False}
    if router_loss:
        options["output_router_logits"] = True
    score = _score_packed if "scored_positions" in batch else _score_padded
    return score(model, batch, options)


def _score_packed(model: nn.Module, batch: Mapping[str, Any], options: dict[str, bool]) -> ScoredResponses:
    outputs = model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        tree=batch["tree"],
        scored_positions=batch["scored_positions"],
        shift_labels=batch["scored_tokens"],
        **options,
    )
    tokens, responses = batch["member_scores"], batch["member_responses"]
    # Ranking compares means over many tokens, so sum them in float32 whatever the model's dtype.
    zeros = outputs.log_probs.new_zeros(len(batch["scores"]), dtype=torch.float32)

    def sums(values: Tensor) -> Tensor:
        return torch.index_add(zeros, 0, responses, values[0].float()[tokens])

    return ScoredResponses(
        logps=sums(outputs.log_probs),
        lengths=responses.bincount(minlength=len(zeros)).clamp(min=1),
        top1=sums(outputs.is_top1),
        entropy=sums(outputs.entropy.detach()),
        aux_loss=outputs.aux_loss,
    )


def _score_padded(model: nn.Module, batch: Mapping[str, Tensor], options: dict[str, bool]) -> ScoredResponses:
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    outputs = model(**model_inputs(batch), labels=labels, **options)
    # Prompt-learning adapters prepend virtual tokens: only the last positions are tokens of the batch.
    positions = labels.size(1) - 1
    return ScoredResponses(
        logps=outputs.log_probs[:, -positions:].float().sum(dim=1),
        # The first token of a sequence is not predicted: without a prompt it does not count.
        lengths=batch["completion_mask"][:, 1:].sum(dim=1).clamp(min=1),
        top1=outputs.is_top1[:, -positions:].float().sum(dim=1),
        entropy=outputs.entropy[:, -positions:].detach().float().sum(dim=1),
        aux_loss=outputs.aux_loss,
    )


def model_inputs(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the model's inputs in a padded batch: tokens, their mask, and a processor's tensors of images."""
    return {name: values for name, values in batch.items() if name not in _LOSS_COLUMNS}

"""The policy's log-probabilities of the tokens of a batch's responses, packed or padded, in one forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .groups import Groups
from .losses import LossInputs

_NOT_OF_THE_MODEL = {"completion_mask", "groups", "reference_logps", "sampling_logps", "prefix_tree"}


@dataclass
class ScoredResponses:
    """The N responses of a batch as the policy scores them, with T scored tokens in all.

    Args:
        token_logps: float32 `[T]`, the log-probability of each token, those of the first response first.
        responses: int `[T]`, the response of each token, ascending.
        top1: float32 `[T]`, 1 where the token is the policy's most likely one.
        entropy: float32 `[T]`, the policy's entropy before each token, in nats, without gradient.
        groups: Which responses are compared.
        aux_loss: float, the load-balancing loss of a mixture of experts, over all computed tokens, or ``None``.
    """

    token_logps: Tensor
    responses: Tensor
    top1: Tensor
    entropy: Tensor
    groups: Groups
    aux_loss: Tensor | None

    @property
    def logps(self) -> Tensor:
        """Float32 `[N]`, the sum of each response's token log-probabilities."""
        return self.sums(self.token_logps)

    @property
    def lengths(self) -> Tensor:
        """Int `[N]`, the number of these tokens, at least 1."""
        return self.groups.lengths.to(self.token_logps.device, non_blocking=True)

    def sums(self, values: Tensor) -> Tensor:
        """Return float `[N]`: values `[T]` added up by response."""
        return values.new_zeros(len(self.groups.lengths)).index_add(0, self.responses, values)


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
    return _scored(outputs, 0, batch["member_scores"], batch["member_responses"], batch["groups"])


def _score_padded(model: nn.Module, batch: Mapping[str, Any], options: dict[str, bool]) -> ScoredResponses:
    mask, groups = batch["completion_mask"], batch["groups"]
    labels = batch["input_ids"].masked_fill(mask == 0, -100)
    outputs = model(**model_inputs(batch), labels=labels, **options)
    # The first token of a sequence is not predicted. How many are scored is known: no waiting for the device.
    scored = mask[:, 1:].flatten().nonzero_static(size=int(groups.scored.sum()))[:, 0]
    # Prompt-learning adapters prepend virtual tokens: only the last positions are tokens of the batch.
    first = outputs.log_probs.size(1) - (labels.size(1) - 1)
    return _scored(outputs, first, scored, scored // (mask.size(1) - 1), groups)


def _scored(outputs: Any, first: int, tokens: Tensor, responses: Tensor, groups: Groups) -> ScoredResponses:
    def of_tokens(values: Tensor) -> Tensor:
        # Ranking compares means over many tokens, so they are added up in float32 whatever the model's dtype.
        return values[:, first:].flatten().float()[tokens]

    return ScoredResponses(
        token_logps=of_tokens(outputs.log_probs),
        responses=responses,
        top1=of_tokens(outputs.is_top1),
        entropy=of_tokens(outputs.entropy.detach()),
        groups=groups,
        aux_loss=outputs.aux_loss,
    )


def model_inputs(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the model's inputs in a padded batch: tokens, their mask, and a processor's tensors of images."""
    return {name: values for name, values in batch.items() if name not in _NOT_OF_THE_MODEL}


def loss_inputs(scored: ScoredResponses, batch: Mapping[str, Any]) -> LossInputs:
    """Return what a loss gets of scored responses and of the batch that they are of."""
    groups, device = scored.groups, scored.token_logps.device
    precision = torch.float32 if device.type == "mps" else torch.float64  # which Apple's GPUs do not have
    return LossInputs(
        token_logps=scored.token_logps,
        responses=scored.responses,
        lengths=scored.lengths,
        scores=groups.scores.to(device, precision, non_blocking=True),
        group_ids=groups.ids.to(device, non_blocking=True),
        groups=groups.count,
        from_teacher=groups.from_teacher.to(device, non_blocking=True),
        entropy=scored.entropy,
        reference_logps=batch.get("reference_logps"),
        sampling_logps=batch.get("sampling_logps"),
        tree=batch.get("prefix_tree"),
        top1=scored.top1,
        on_host=groups,
    )

"""TRL's fused LM head: response tokens are scored in chunks, so that their whole logits are never in memory."""

from __future__ import annotations

from typing import Any

from transformers.utils import is_peft_available
from trl.trainer.utils import add_fused_lm_head

from .loading import base_model


def add_head(model: Any) -> None:
    """Add the fused LM head to a model, or to the base of its adapter.

    Args:
        model: A causal language model, or a PEFT model of one.

    Raises:
        ValueError: If the adapter has weights on the head that the fused head does not apply.
    """
    base = base_model(model)
    head = base.get_output_embeddings()
    if hasattr(head, "base_layer"):
        raise ValueError(
            "The adapter has low-rank weights on the LM head, which is applied in chunks that ignore them. Leave "
            'it out of `target_modules`, or train all of it with `modules_to_save=["lm_head"]`.'
        )
    if is_peft_available():
        from peft.utils.other import TrainableTokensWrapper

        if isinstance(head, TrainableTokensWrapper):
            # PEFT's wrapper has the head's weights, with the trained tokens in them, and no bias, which is read too.
            vars(head)["bias"] = head.original_module.bias
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))

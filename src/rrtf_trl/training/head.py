"""TRL's fused LM head: response tokens are scored in chunks, so that their whole logits are never in memory."""

from __future__ import annotations

from typing import Any

import torch
from transformers.utils import is_peft_available
from trl.trainer.utils import add_fused_lm_head

from .loading import base_model


def add_head(model: Any, in_float32: bool = False) -> None:
    """Add the fused LM head to a model, or to the base of its adapter.

    Args:
        model: A causal language model, or a PEFT model of one.
        in_float32: Whether to hold the head's weights in float32 and to compute its logits so, outside of autocast.

    Raises:
        ValueError: If the adapter has weights on the head that the fused head does not apply, or the head cannot be
            in float32: it is quantized, or split by DeepSpeed's ZeRO-3.
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
    if in_float32:
        _cast(base, head)
    add_fused_lm_head(base, cast_lm_head_to_fp32=in_float32, outputs=("log_probs", "entropy", "is_top1"))


def _cast(base: Any, head: Any) -> None:
    """Make the head's weights float32; embeddings that are the same weights go on to return what they did."""
    weight = head.weight
    if not weight.is_floating_point() or hasattr(weight, "quant_state") or hasattr(weight, "ds_id"):
        how = "split by ZeRO-3" if hasattr(weight, "ds_id") else "quantized"
        raise ValueError(f"`cast_lm_head_to_fp32` is not supported where the LM head is {how}. Leave it out.")
    dtype, embeddings = weight.dtype, base.get_input_embeddings()
    is_tied = embeddings.weight is weight
    head.float()
    if dtype == torch.float32:
        return
    # The model itself, without the fused head, calls the head with its own dtype.
    head.register_forward_pre_hook(lambda module, args: (args[0].float(),))
    if is_tied:
        embeddings.register_forward_hook(lambda module, args, output: output.to(dtype))

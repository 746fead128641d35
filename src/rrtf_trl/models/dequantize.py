"""Weights in 4 bits on a processor.

For drawing they are dequantized once, where memory has space for them: bitsandbytes dequantizes each of them again for
each token, which takes as long as the products. And products are in float32 where the processor has no instructions
for bfloat16, without which training takes fifteen times as long. The values are the same, so the policy is: only the
rounding of the products differs.
"""

from __future__ import annotations

import copy
from typing import Any

_WITHOUT_BFLOAT16 = ("DEFAULT", "NO AVX", "AVX2")
"""What torch calls the abilities of processors on which bfloat16 is slower than float32."""

_SHARE = 0.5
"""The most of the free memory that weights may take: the rest is for what is drawn."""


def for_processor(quantization_config: Any) -> Any:
    """Return bitsandbytes options for this processor: with products in float32 where those in bfloat16 are slower.

    Args:
        quantization_config: The options that were chosen; they are not changed.
    """
    import torch

    if torch.backends.cpu.get_cpu_capability() not in _WITHOUT_BFLOAT16:
        return quantization_config
    found = copy.copy(quantization_config)
    found.bnb_4bit_compute_dtype = torch.float32
    return found


def draws_dequantized(weights: float, free: float) -> bool:
    """Return whether a processor dequantizes weights of 4 bits once for drawing, or again for each token.

    Args:
        weights: Bytes of all weights of the model, dequantized.
        free: Bytes of memory that are free.
    """
    return weights <= _SHARE * free


def dequantized_bytes(model: Any, dtype: Any) -> int:
    """Return the bytes that the weights of a model take when those of 4 bits are dequantized.

    Args:
        model: A model of transformers with bitsandbytes' layers.
        dtype: Torch's data type for all weights.
    """
    from bitsandbytes.nn import Params4bit

    shapes = (p.quant_state.shape if isinstance(p, Params4bit) else p.shape for p in model.parameters())
    return sum(int(shape.numel()) for shape in shapes) * int(dtype.itemsize)


def dequantize(model: Any, dtype: Any) -> Any:
    """Return the model with plain linear layers in place of those of 4 bits, all in one data type.

    Args:
        model: A model of transformers with bitsandbytes' layers; it is changed.
        dtype: Torch's data type for all weights.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit
    from torch import nn

    quantized = [(name, module) for name, module in model.named_modules() if isinstance(module, Linear4bit)]
    with torch.no_grad():
        for name, module in quantized:
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain = nn.Linear(module.in_features, module.out_features, bias=False, device="meta")
            plain.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
            plain.bias = module.bias
            model.set_submodule(name, plain)
    model.hf_quantizer.remove_quantization_config(model)
    model.is_loaded_in_4bit = False
    return model.to(dtype)

"""In which precision a model is loaded, trained and saved, where the user has not chosen it by ``dtype``.

All weights are trained in float32: AdamW's steps are often smaller than what bfloat16 can tell apart. They are saved
in the checkpoint's own precision again; the checkpoints of the training itself stay float32. Under an adapter nothing
of the base changes, so a bfloat16 base stays as it is, and what is trained is float32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig

from rrtf_trl.models.size import model_size

from .config import RRTFConfig

_HALF: dict[Any, torch.dtype] = {
    "BF16": torch.bfloat16,  # as safetensors writes it
    "F16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    torch.bfloat16: torch.bfloat16,
    torch.float16: torch.float16,
}


def half_precision_of(model: str, revision: str | None, trust_remote_code: bool) -> torch.dtype | None:
    """Return the half precision that a checkpoint is in, or ``None`` where it is in float32.

    Args:
        model: A path or hub id.
        revision: Of a hub id.
        trust_remote_code: Whether to run a checkpoint's own code.
    """
    config = AutoConfig.from_pretrained(model, revision=revision, trust_remote_code=trust_remote_code)
    dtype: Any = config.dtype or config.get_text_config().dtype
    if dtype is None and (size := model_size(model)) is not None:
        dtype = size.dtype
    return _HALF.get(dtype)


def base_dtype(half: torch.dtype | None, args: RRTFConfig, peft_config: Any) -> torch.dtype:
    """Return the precision to load a model in for training.

    Args:
        half: The half precision of the checkpoint, or ``None``.
        args: The options.
        peft_config: That of the adapter that is going to be trained, or ``None`` for all weights.
    """
    # In float16 gradients underflow without scaling, and `fp16` computes in another range than bfloat16's.
    if peft_config is None or half != torch.bfloat16 or args.fp16:
        return torch.float32
    # Whole modules are trained in float32, and without autocast the layers after them would not take what they return.
    return torch.bfloat16 if args.bf16 or not getattr(peft_config, "modules_to_save", None) else torch.float32


def train_in_float32(model: nn.Module) -> None:
    """Make all weights that are trained float32."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()


def in_precision(state: dict[str, Tensor], dtype: torch.dtype, model: Any) -> dict[str, Tensor]:
    """Return a model's float32 weights in another precision, on the CPU; tied weights stay one tensor.

    Args:
        state: The weights.
        dtype: The precision.
        model: The model, whose architecture may keep some modules in float32.
    """
    kept = set(model._keep_in_fp32_modules_strict or ())
    if dtype == torch.float16:
        kept |= set(model._keep_in_fp32_modules or ())
    made: dict[tuple[int, torch.Size], Tensor] = {}
    result = {}
    for name, tensor in state.items():
        if tensor.dtype != torch.float32 or any(module in name for module in kept):
            result[name] = tensor
            continue
        key = tensor.data_ptr(), tensor.shape
        if key not in made:
            made[key] = tensor.to("cpu", dtype)
        result[name] = made[key]
    return result


def write_precision(folder: str | Path, dtype: torch.dtype) -> None:
    """Write the precision of the saved weights to ``config.json``, which names that of the model in memory."""
    file = Path(folder) / "config.json"
    config = json.loads(file.read_text())

    def name_in(node: dict[str, Any]) -> None:
        for key, value in node.items():
            if key in ("dtype", "torch_dtype") and value == "float32":
                node[key] = str(dtype).removeprefix("torch.")
            elif isinstance(value, dict):
                name_in(value)

    name_in(config)
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")

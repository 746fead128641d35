"""Forms that transformers reads: full weights, bitsandbytes, GPTQ and AWQ."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rrtf_trl.models.adapters import find_adapter, load_adapter


def merge(model: str, folder: Path) -> None:
    """Write the model as one folder of safetensors with its tokenizer; an adapter is merged into its base.

    Args:
        model: Path or hub id of a model or an adapter.
        folder: The folder to write.

    Raises:
        UserError: If an adapter cannot be put on its base; see :mod:`rrtf_trl.models.adapters`.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def load(name: str, revision: str | None) -> Any:
        return AutoModelForCausalLM.from_pretrained(name, revision=revision or "main", dtype="auto")

    adapter = find_adapter(model)
    source, revision = (model, None) if adapter is None else adapter.tokenizer_source
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision or "main")
    if adapter is None:
        whole = load(model, None)
    else:
        whole = load_adapter(adapter, load, tokenizer, is_trainable=False).merge_and_unload()
    whole.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def full_weights(dtype: str) -> Callable[[Path, Path], None]:
    """Return a function that writes a model's weights in a data type."""
    return partial(_save, dtype=dtype)


def bitsandbytes(**options: Any) -> Callable[[Path, Path], None]:
    """Return a function that writes a model quantized by bitsandbytes; ``options`` are ``BitsAndBytesConfig``'s."""

    def export(model: Path, folder: Path) -> None:
        _save(model, folder, dtype="auto", quantization_config=bitsandbytes_config(**options), device_map=_device())

    return export


def bitsandbytes_config(**options: Any) -> Any:
    """Return a ``BitsAndBytesConfig``; 4 bits are NF4 and compute in bfloat16, as in QLoRA (arXiv 2305.14314)."""
    import torch
    from transformers import BitsAndBytesConfig

    if options.get("load_in_4bit"):
        options = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16, **options}
    return BitsAndBytesConfig(**options)


def gptqmodel(bits: int, method: str) -> Callable[[Path, Path, list[str]], None]:
    """Return a function that writes a model quantized by GPTQModel, calibrated on texts.

    Args:
        bits: Bits of a weight.
        method: ``gptq`` (arXiv 2210.17323) or ``awq`` (arXiv 2306.00978).
    """

    def export(model: Path, folder: Path, texts: list[str]) -> None:
        from gptqmodel import GPTQModel
        from gptqmodel.quantization import METHOD, QuantizeConfig

        options = {"method": METHOD.AWQ} if method == "awq" else {}
        quantized = GPTQModel.load(str(model), QuantizeConfig(bits=bits, group_size=128, **options))
        quantized.quantize(texts, batch_size=1)
        quantized.save(str(folder))

    return export


def _save(model: Path, folder: Path, **options: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(model, **options).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    template = model / "chat_template.jinja"
    if template.is_file():
        shutil.copy(template, folder)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"

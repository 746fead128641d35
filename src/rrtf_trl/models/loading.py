"""Loads a causal language model with its tokenizer, ready to generate."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from rrtf_trl.errors import UserError

from .adapters import find_adapter, load_adapter
from .dequantize import dequantize, dequantized_bytes, draws_dequantized, for_processor
from .memory import free_bytes, free_memory
from .network import only_the_hub


def load_for_generation(
    model: str,
    *,
    dtype: str = "auto",
    device: str | None = None,
    quantization_config: Any = None,
    attn_implementation: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    device_map: Any = None,
) -> tuple[Any, Any]:
    """Return a model in evaluation mode and its tokenizer, which pads on the left.

    An adapter is put on its base, without being merged, by :func:`~rrtf_trl.models.adapters.load_adapter`, in the
    base's dtype.

    Args:
        model: Path or hub id of a model or an adapter.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``; ``auto`` is the checkpoint's own, but float32 on a
            CPU, where half precision is slower, unless weights are quantized.
        device: Torch device; by default a GPU where there is one.
        quantization_config: bitsandbytes options, or ``None``; a checkpoint may also be quantized itself. On a CPU
            4 bits that are asked for here are dequantized again (see :mod:`.dequantize`).
        attn_implementation: As in ``from_pretrained``.
        revision: Of a hub id.
        trust_remote_code: Whether to run a checkpoint's own code.
        device_map: As in ``from_pretrained``, in place of ``device``: ``auto`` spreads a model over several GPUs.

    Raises:
        UserError: If there is no such model, it has no tokenizer, or an adapter does not fit its base (see
            :func:`~rrtf_trl.models.adapters.find_adapter` too); and on generating, if a prompt has a token that the
            model has no embedding for.
    """
    import torch

    free_memory()
    if device is None:  # of several processes on a machine, each has a GPU of its own
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    load = partial(
        _load,
        dtype=dtype,
        device=device,
        quantization_config=quantization_config,
        attn_implementation=attn_implementation,
        trust_remote_code=trust_remote_code,
        device_map=device_map,
    )
    adapter = find_adapter(model, revision)
    source = (model, revision) if adapter is None else adapter.tokenizer_source
    tokenizer = _tokenizer(*source, trust_remote_code)
    loaded = load_adapter(adapter, load, tokenizer, is_trainable=False) if adapter else load(model, revision)
    rows = loaded.get_input_embeddings().weight.shape[0]
    if tokenizer.pad_token is None or tokenizer.pad_token_id >= rows:  # padding is masked: any token will do
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if len(tokenizer) > rows:
        loaded.get_input_embeddings().register_forward_pre_hook(partial(_refuse_unknown, rows, tokenizer, model))
    return loaded.eval(), tokenizer


def _refuse_unknown(rows: int, tokenizer: Any, model: str, module: Any, inputs: tuple[Any, ...]) -> None:
    """Refuse token ids without an embedding, which would end a process that uses a GPU."""
    largest = int(inputs[0].max())
    if largest >= rows:
        raise UserError(
            f"model {model}: a prompt has token {largest} ({tokenizer.convert_ids_to_tokens(largest)!r}), and there "
            f"are embeddings for the numbers below {rows} only: {len(tokenizer) - rows} of the tokenizer's tokens "
            "have none. Use the model's own tokenizer, or enlarge the model with `resize_token_embeddings`."
        )


def _load(
    model: str,
    revision: str | None,
    *,
    dtype: str,
    device: str,
    quantization_config: Any,
    attn_implementation: str | None,
    trust_remote_code: bool,
    device_map: Any,
) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    options: dict[str, Any] = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    config = AutoConfig.from_pretrained(model, **options)
    is_quantized = quantization_config is not None or getattr(config, "quantization_config", None) is not None
    options["dtype"] = "float32" if device == "cpu" and dtype == "auto" and not is_quantized else dtype
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    if quantization_config is not None:
        options["quantization_config"] = for_processor(quantization_config) if device == "cpu" else quantization_config
    with only_the_hub():
        if not is_quantized and device_map is None:
            return AutoModelForCausalLM.from_pretrained(model, **options).to(device)
        loaded = AutoModelForCausalLM.from_pretrained(model, device_map=device_map or device, **options)
    if getattr(quantization_config, "load_in_4bit", False) and loaded.device.type == "cpu":
        computing = torch.float32 if dtype == "auto" else getattr(torch, dtype)
        if draws_dequantized(dequantized_bytes(loaded, computing), free_bytes("cpu")):
            return dequantize(loaded, computing)
    return loaded


def _tokenizer(source: str, revision: str | None, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            source, padding_side="left", revision=revision or "main", trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise UserError(f"model {source}: its tokenizer cannot be loaded: {str(error).splitlines()[0]}") from error

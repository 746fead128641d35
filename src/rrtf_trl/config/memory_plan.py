"""What a configuration takes of a device's memory, and what to change where that is more than is free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rrtf_trl.models.dequantize import draws_dequantized
from rrtf_trl.models.memory import MOST_SEQUENCES, free_bytes
from rrtf_trl.models.size import ModelShape

from .memory import Parts, adapter_weights, sampling, stored, training

_GIB = 2**30
_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
_LONGEST = 1024
"""Tokens of a prompt and its response where `trainer.max_length` sets no limit."""


def memory_plan(config: Mapping[str, Any], shape: ModelShape, dtype: str) -> Iterator[str]:
    """Yield a line with what sampling, training and evaluation take, and one for each that takes more than is free.

    Args:
        config: The run's configuration, resolved.
        shape: The model's.
        dtype: The safetensors dtype of its weights, such as ``BF16``.
    """
    place, free = _device(config)
    needs = dict(_parts(config, shape, dtype, place == "the GPU", free))
    shown = ", ".join(f"{_rounded(part.total)} for {name}" for name, part in needs.items())
    yield f"memory: about {shown}, one after the other; {_rounded(free)} are free on {place}"
    if _bits(config) == 4 and place != "the GPU":
        yield _four_bits(config, shape, free)
    for name, part in needs.items():
        if part.total > free:
            what = "weights, gradients and AdamW" if name == "training" else "weights"
            remedy = (
                _for_training(config, shape, dtype, place == "the GPU", part, free)
                if name == "training"
                else _for_drawing(config, name, part, free)
            )
            yield (
                f"memory: {name} may not fit: {_rounded(part.weights)} for {what}, and {_rounded(part.batch)} for the "
                f"batch. {remedy}"
            )


def _four_bits(config: Mapping[str, Any], shape: ModelShape, free: float) -> str:
    """Return what a processor does with weights of 4 bits when it draws."""
    whole = _rounded(stored(shape, 4, None))
    if draws_dequantized(stored(shape, 4, None), free):
        return f"memory: for drawing, the 4-bit weights are dequantized once, to {whole} of float32 of the same values"
    return (
        f"memory: {whole} for the 4-bit weights in float32 are more than half of what is free, so drawing dequantizes "
        "them for each token, which takes several times as long"
    )


def _device(config: Mapping[str, Any]) -> tuple[str, float]:
    """Return where the run computes, and the bytes that are free there."""
    import torch  # heavy

    if torch.cuda.is_available() and not config["trainer"].get("use_cpu"):
        return "the GPU", float(free_bytes("cuda"))
    return "this machine", float(free_bytes("cpu"))


def _parts(
    config: Mapping[str, Any], shape: ModelShape, dtype: str, on_gpu: bool, free: float
) -> Iterator[tuple[str, Parts]]:
    nodes = {"sampling": config["sampler"].get("transformers") or {}, "evaluation": config["evaluation"]}
    drawing = {
        name: _drawing(config, shape, dtype, node, _samples(name, node), on_gpu, free)
        for name, node in nodes.items()
        if name == "evaluation" or "_target_" in node
    }
    if "sampling" in drawing:
        yield "sampling", drawing["sampling"]
    yield "training", _training(config, shape, dtype, on_gpu)
    yield "evaluation", drawing["evaluation"]


def _bits(config: Mapping[str, Any]) -> int | None:
    if config["quantization"] is None:
        return None
    return 4 if config["quantization"].get("load_in_4bit") else 8


def _samples(name: str, node: Mapping[str, Any]) -> int:
    """Return the most candidates that are drawn of a problem at once."""
    if name == "sampling":
        return int(node.get("n", 1))
    return max((int(measurement["n"]) for measurement in node["measurements"].values()), default=1)


def _at_once(node: Mapping[str, Any], samples: int) -> int:
    return int(min(node.get("batch_size", 32) * samples, node.get("max_sequences") or MOST_SEQUENCES))


def _drawing(
    config: Mapping[str, Any],
    shape: ModelShape,
    dtype: str,
    node: Mapping[str, Any],
    samples: int,
    on_gpu: bool,
    free: float,
) -> Parts:
    bits = _bits(config)
    width = _WIDTHS.get(node.get("dtype") or "auto", 4)
    if bits == 4 and not on_gpu and draws_dequantized(stored(shape, width, None), free):
        bits = None
    is_half = dtype in ("BF16", "F16") and (on_gpu or bits is not None)
    width = _WIDTHS.get(node.get("dtype") or "auto", 2 if is_half else 4)
    tokens = max(config["trainer"]["max_length"] or _LONGEST, node.get("max_new_tokens", 0))
    at_once = _at_once(node, samples)
    part = sampling(shape, stored(shape, width, bits), width, at_once, tokens)
    if node.get("max_sequences"):
        return part
    # The sampler draws as many at once as half of what is free has space for.
    return replace(part, batch=min(part.batch, max(part.batch / at_once, (free - part.weights) / 2)))


def _training(config: Mapping[str, Any], shape: ModelShape, dtype: str, on_gpu: bool) -> Parts:
    trainer, adapter = config["trainer"], config["adapter"]
    is_half = bool(trainer.get("bf16")) and (on_gpu or bool(trainer.get("use_cpu")))
    asked = str((trainer.get("model_init_kwargs") or {}).get("dtype"))
    if adapter is None:
        weights, trained = stored(shape, _WIDTHS.get(asked, 4), None), shape.parameters
    else:
        trained = adapter_weights(shape, int(adapter.get("r") or 16))
        width = _WIDTHS.get(asked, 2 if dtype == "BF16" and is_half else 4)
        weights = stored(shape, width, _bits(config)) + 4 * trained
    return training(
        shape,
        weights,
        trained,
        2 if is_half else 4,
        _forward_tokens(config),
        checkpointing=bool(trainer.get("gradient_checkpointing")),
    )


def _forward_tokens(config: Mapping[str, Any]) -> int:
    """Return the most tokens that go forward at once: a batch, or what ``max_tokens_per_forward`` leaves of it."""
    trainer = config["trainer"]
    batch = int(trainer["per_device_train_batch_size"]) * _group_tokens(config)
    limit = trainer.get("max_tokens_per_forward")
    return batch if limit is None else min(batch, max(int(limit), int(trainer["max_length"] or _LONGEST)))


def _group_tokens(config: Mapping[str, Any]) -> int:
    """Return the tokens of the largest group: its prompt and all of its responses, as long as they may be."""
    trainer = config["trainer"]
    chosen = [node for node in config["sampler"].values() if node and "_target_" in node]
    longest = trainer["max_length"] or _LONGEST
    response = min(max((node.get("max_new_tokens") or 0 for node in chosen), default=0) or longest, longest)
    responses = sum(int(node.get("n") or 1) * len(node.get("temperatures") or [1.0]) for node in chosen)
    responses = max(2, min(responses, trainer.get("max_responses") or responses))
    if str(trainer.get("share_prefix")).lower() == "false":
        return int(longest * responses)
    return int(longest - response + response * responses)


def _for_drawing(config: Mapping[str, Any], name: str, part: Parts, free: float) -> str:
    if part.weights > free:
        smaller = "Choose quantization=bnb_4bit with adapter=lora, or a smaller model"
        return smaller if config["quantization"] is None else "Choose a smaller model"
    node = config["sampler"]["transformers"] if name == "sampling" else config["evaluation"]
    fitting = max(1, int(0.9 * _at_once(node, _samples(name, node)) * (free - part.weights) / part.batch))
    key = "sampler.transformers" if name == "sampling" else "evaluation"
    return f"Draw fewer at once: {key}.max_sequences={fitting}"


def _for_training(
    config: Mapping[str, Any], shape: ModelShape, dtype: str, on_gpu: bool, part: Parts, free: float
) -> str:
    trainer = config["trainer"]
    if part.weights > free:
        if config["adapter"] is None:
            return "Train an adapter: adapter=lora, with quantization=bnb_4bit where that is not enough"
        return "Choose quantization=bnb_4bit" if config["quantization"] is None else "Choose a smaller model"
    if not trainer.get("gradient_checkpointing"):
        return "Compute activations again: trainer.gradient_checkpointing=true"
    limit = _forward_tokens(config) // 2
    while limit >= (trainer["max_length"] or _LONGEST):
        limited = {**config, "trainer": {**trainer, "max_tokens_per_forward": limit}}
        if _training(limited, shape, dtype, on_gpu).total <= free:
            return f"Compute a batch in parts: trainer.max_tokens_per_forward={limit}"
        limit //= 2
    return "Train on shorter sequences: a smaller trainer.max_length"


def _rounded(size: float) -> str:
    gib = size / _GIB
    return f"{gib:.1f} GiB" if gib >= 0.1 else f"{1024 * gib:.0f} MiB"

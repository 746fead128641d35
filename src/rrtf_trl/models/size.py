"""The size and shape of a model, from its files' headers and its configuration: no weight is loaded."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from .adapters import find_adapter


@dataclass(frozen=True)
class ModelSize:
    """The size of a model's weights.

    Args:
        parameters: How many there are.
        dtype: The safetensors dtype of most of them, such as ``BF16``.
        bytes: Their size as stored.
    """

    parameters: int
    dtype: str
    bytes: int


@dataclass(frozen=True)
class ModelShape:
    """What a decoder's memory depends on.

    Args:
        parameters: How many there are.
        hidden: Numbers of a token between layers.
        layers: How many there are.
        query_width: Numbers of a token's queries, over all heads.
        key_value_width: Numbers of a token's keys, and of its values.
        inner: Numbers of a token inside the feed-forward part, of one expert that it is sent to or of several.
        vocabulary: How many tokens there are.
        gates: Matrices from ``hidden`` to ``inner``: 2 with a gated activation, as Llama's, otherwise 1.
    """

    parameters: int
    hidden: int
    layers: int
    query_width: int
    key_value_width: int
    inner: int
    vocabulary: int
    gates: int = 2

    @property
    def linear_weights(self) -> int:
        """Weights of the linear layers of a layer."""
        attention = 2 * self.hidden * (self.query_width + self.key_value_width)
        return attention + (self.gates + 1) * self.hidden * self.inner

    @property
    def linear_sides(self) -> int:
        """Inputs and outputs of the linear layers of a layer, summed."""
        return (
            4 * self.hidden
            + 2 * (self.query_width + self.key_value_width)
            + (self.gates + 1) * (self.hidden + self.inner)
        )


def model_folder(model: str) -> Path | None:
    """Return the folder of a model's files: of an adapter its base's, of a hub id what is cached, or ``None``."""
    folder = Path(model)
    if (folder / "adapter_config.json").is_file():
        adapter = find_adapter(model)
        return None if adapter is None else model_folder(adapter.base)
    if folder.is_dir():
        return folder
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def model_shape(model: str) -> ModelShape | None:
    """Return the shape of a model, or ``None`` where its configuration is not here or does not say.

    Where its weights are not here, they are counted from the shape.

    Args:
        model: A folder with a model or an adapter, or a hub id.
    """
    folder = model_folder(model)
    if folder is None or not (folder / "config.json").is_file():
        return None
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    config = {**config, **(config.get("text_config") or {})}

    def first(*names: str) -> int | None:
        return next((int(config[name]) for name in names if isinstance(config.get(name), int)), None)

    hidden, layers = first("hidden_size", "n_embd", "d_model"), first("num_hidden_layers", "n_layer")
    heads, vocabulary = first("num_attention_heads", "n_head"), first("vocab_size")
    if not (hidden and layers and heads and vocabulary):
        return None
    head = first("head_dim") or hidden // heads
    key_value_heads = 1 if config.get("multi_query") else first("num_key_value_heads") or heads
    inner = first("moe_intermediate_size", "intermediate_size", "n_inner", "ffn_dim") or 4 * hidden
    is_gated = config.get("hidden_act") == "silu" or "hidden_activation" in config  # as Llama and Qwen, or Gemma
    shape = ModelShape(
        0,
        hidden,
        layers,
        heads * head,
        key_value_heads * head,
        inner * (first("num_experts_per_tok") or 1),
        vocabulary,
        2 if is_gated else 1,
    )
    size = model_size(model)
    if size is not None:
        return replace(shape, parameters=size.parameters)
    ends = 1 if config.get("tie_word_embeddings") else 2
    return replace(shape, parameters=ends * vocabulary * hidden + layers * shape.linear_weights)


def model_size(model: str) -> ModelSize | None:
    """Return the size of a model's safetensors; ``None`` where none are here.

    Args:
        model: A folder with a model or an adapter, whose base counts, or a hub id.
    """
    folder = model_folder(model)
    counts: dict[str, int] = {}
    total = 0
    for file in sorted(folder.glob("*.safetensors")) if folder is not None else ():
        with file.open("rb") as opened:
            header = json.loads(opened.read(struct.unpack("<Q", opened.read(8))[0]))
        for name, tensor in header.items():
            if name != "__metadata__":
                counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + prod(tensor["shape"])
                begin, end = tensor["data_offsets"]
                total += end - begin
    if not counts:
        return None
    return ModelSize(sum(counts.values()), max(counts, key=counts.__getitem__), total)

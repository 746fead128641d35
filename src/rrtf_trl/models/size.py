"""The size of a model, from its files' headers: no weight is loaded."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path


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


def model_size(model: str) -> ModelSize | None:
    """Return the size of a folder's safetensors; ``None`` for a folder without any, or a hub id.

    Args:
        model: A folder with a model, or a hub id.
    """
    counts: dict[str, int] = {}
    total = 0
    for file in sorted(Path(model).glob("*.safetensors")) if Path(model).is_dir() else ():
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

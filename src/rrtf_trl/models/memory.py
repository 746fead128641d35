"""Memory: what one stage of a run loaded is gone before the next one loads, and how much is free."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MOST_SEQUENCES = 256
"""More sequences at a time make no matrix product faster."""

_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> None:
    """Free the models that nothing refers to any more.

    Trainers, and models with hooks or an adapter, refer to themselves: without a collection they stay until Python
    happens to do one, and on a GPU their memory stays reserved by torch after that.
    """
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def importing() -> Iterator[None]:
    """Import libraries without collections, and have later ones leave aside what is there at the end.

    It is half a million objects, which each whole collection would look at: it takes a fifth of the time of importing
    torch, transformers and TRL, and then half a second for each :func:`free_memory`.
    """
    gc.collect()  # what is garbage by now would stay
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def free_bytes(device: str) -> int:
    """Return the bytes of memory that are free for tensors on a device.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``. In a container with a limit of memory, a CPU has what is left of that.
    """
    import psutil
    import torch

    if torch.device(device).type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + cached)
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # no limit is the word "max"
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, max(limit - used, 0))
    return free


def sequences_that_fit(model: Any, tokens: int) -> int:
    """Return how many sequences may be drawn at a time: half of the free memory, and at most ``MOST_SEQUENCES``.

    Args:
        model: A causal language model of transformers.
        tokens: The most tokens of a sequence, its prompt included.
    """
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache = 2 * config.num_hidden_layers * heads * size * model.dtype.itemsize * tokens
    logits = 24 * config.vocab_size  # the model's, their softmax in float32, and its cumulative sum in float64
    return max(1, min(MOST_SEQUENCES, free_bytes(str(model.device)) // int(2 * (cache + logits))))

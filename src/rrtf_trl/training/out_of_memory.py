"""Where memory runs out in training: on which rows, and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from .config import RRTFConfig

_MESSAGES = ("out of memory", "DefaultCPUAllocator: can't allocate memory")
"""What PyTorch says on GPUs of several makers, and on a processor."""


@contextmanager
def naming_rows(batch: Mapping[str, Any], args: RRTFConfig) -> Iterator[None]:
    """Have an error for lack of memory say which rows it was, how many tokens they have, and what to change.

    Args:
        batch: The batch that is trained on; of its tensors only the shapes are read, as there is no memory left.
        args: The options.

    Raises:
        RuntimeError: Of the error's own type, with its message, so that ``auto_find_batch_size`` knows it.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(one in str(error) for one in _MESSAGES):
            raise
        raise type(error)(f"{_advice(batch, args)} PyTorch says: {error}") from error


def _advice(batch: Mapping[str, Any], args: RRTFConfig) -> str:
    groups = batch["groups"]
    numbers = groups.rows
    rows = f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}" if numbers else "a batch"
    tokens, responses = batch["input_ids"].numel(), len(groups.scores)
    if "tree" in batch:
        size = (
            f"{tokens} tokens, of which the longest response with its prompt has {int(batch['tree'].depths.max()) + 1}"
        )
    else:
        size = f"{tokens} tokens with padding, {batch['input_ids'].shape[1]} for each"
    # In the order of what they cost: the first changes speed alone.
    names = ("per_device_train_batch_size", "max_tokens_per_forward", "max_length", "max_responses")
    options = ", ".join(f"`{name}` (now {getattr(args, name)})" for name in names if hasattr(args, name))
    more = "" if args.gradient_checkpointing else ", or set `gradient_checkpointing=True`"
    return f"There is too little memory to train on {rows}: {responses} responses in {size}. Lower {options}{more}."

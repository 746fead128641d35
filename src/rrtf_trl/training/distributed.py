"""Training on several processes: what would end in waiting for ever, or in losses of few digits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from datasets import Dataset
from torch import nn

from .config import RRTFConfig


def check_batches(args: RRTFConfig, dataset: Any, processes: int) -> None:
    """Raise ValueError if a process would get a batch more than another, which would wait for it for ever.

    Args:
        args: Reads ``accelerator_config.even_batches``, ``train_batch_size`` and ``dataloader_drop_last``.
        dataset: The prepared rows; of a stream nothing is known.
        processes: How many there are.
    """
    if args.accelerator_config.even_batches or args.dataloader_drop_last or not isinstance(dataset, Dataset):
        return
    size = args.train_batch_size
    batches = math.ceil(len(dataset) / size)
    if batches % processes:
        raise ValueError(
            f"{len(dataset)} rows in batches of {size} are {batches} batches, which {processes} processes cannot "
            'share equally: one would wait for another for ever. Leave out `accelerator_config={"even_batches": '
            "False}`, or set `dataloader_drop_last=True`."
        )


def keep_float32_losses(accelerator: Accelerator) -> None:
    """Have FSDP2 return log-probabilities as they are computed, in float32, and add gradients up in float32.

    accelerate's policy rounds both to the precision of the computation: -6.1076 to -6.125.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    policy = getattr(plugin, "mixed_precision_policy", None)
    if plugin is not None and policy is not None and hasattr(policy, "output_dtype"):
        # Without a dtype of its own an output is not cast, so that layers hand on what they computed.
        plugin.mixed_precision_policy = replace(policy, output_dtype=None, reduce_dtype=torch.float32)


@contextmanager
def without_sync(accelerator: Accelerator, model: nn.Module, *, unless: bool) -> Iterator[None]:
    """Keep the gradients of a backward on their process, so that each process may do as many as it needs.

    Args:
        accelerator: Of the trainer.
        model: As it is wrapped.
        unless: Whether this is the last backward of the batch: gradients are averaged where they would be without
            this.
    """
    state = accelerator.gradient_state
    syncs = state.sync_gradients
    if unless or not syncs:  # in an earlier batch of the step they are not averaged anyway
        yield
        return
    state._set_sync_gradients(False)
    try:
        with accelerator.no_sync(model):
            yield
    finally:
        state._set_sync_gradients(syncs)


def is_sharded(accelerator: Accelerator) -> bool:
    """Return whether weights are fetched from other processes in each forward, so that all need as many of these."""
    kinds = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
    return accelerator.num_processes > 1 and (accelerator.distributed_type in kinds or accelerator.is_fsdp2)


def most_of_all(counts: list[int], accelerator: Accelerator) -> list[int]:
    """Return for each of some counts the largest that a process has."""
    gathered = accelerator.gather(torch.tensor([counts], device=accelerator.device))
    largest: list[int] = gathered.amax(dim=0).tolist()
    return largest

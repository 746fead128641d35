"""Training on several processes: what would end in waiting for ever, or in losses of few digits."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.parallelism_config import ParallelismConfig
from accelerate.utils import DistributedType
from datasets import Dataset, is_caching_enabled
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


def check_parallelism(args: RRTFConfig) -> None:
    """Refuse to split sequences over processes.

    Raises:
        ValueError: If context or sequence parallelism is chosen, by ``parallelism_config`` or the launcher.
    """
    chosen = args.parallelism_config
    if chosen is None and os.environ.get("ACCELERATE_USE_PARALLELISM_CONFIG", "false").lower() == "true":
        chosen = ParallelismConfig()
    sizes = {name: getattr(chosen, name, 1) for name in ("cp_size", "sp_size")}
    if wrong := [f"{name}={size}" for name, size in sizes.items() if size > 1]:
        raise ValueError(
            f"RRTFTrainer does not support context or sequence parallelism (`parallelism_config` with {wrong[0]}): a "
            "row's responses are compared as wholes, and no part of a sequence knows its log-probability. Set both "
            "`cp_size=1` and `sp_size=1`; for long sequences use `max_length`, `max_responses`, gradient "
            "checkpointing, or FSDP2 over all processes."
        )


@contextmanager
def first_on_each_node(dataset: Any) -> Iterator[None]:
    """Have one process of each machine prepare a data set first, so that the others read the result from the cache.

    A data set in memory (``Dataset.from_list``) and a stream have no cache: each process prepares it, all at once.
    """
    state = PartialState()
    is_cached = isinstance(dataset, Dataset) and bool(dataset.cache_files) and is_caching_enabled()
    waits = is_cached and not state.is_local_main_process
    if waits:
        state.wait_for_everyone()
    try:
        yield
    finally:  # an error too, which the others then come upon themselves
        if not waits:
            state.wait_for_everyone()


def keep_float32_losses(accelerator: Accelerator) -> None:
    """Have FSDP2 return log-probabilities as they are computed, in float32, and add gradients up in float32.

    accelerate's policy rounds both to the precision of the computation: -6.1076 to -6.125.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    policy = getattr(plugin, "mixed_precision_policy", None)
    if plugin is not None and policy is not None and hasattr(policy, "output_dtype"):
        # Without a dtype of its own an output is not cast, so that layers hand on what they computed.
        plugin.mixed_precision_policy = replace(policy, output_dtype=None, reduce_dtype=torch.float32)


def keep_buffers(args: RRTFConfig) -> None:
    """Have DDP send no buffers, such as the frequencies of rotary positions, which are the same in all processes.

    It would in the first forward of a step, and orders its buckets in the first one with a graph. Where a row goes in
    parts these are two, and in other processes one: they would do in another order what all must do together.

    Raises:
        ValueError: If ``ddp_broadcast_buffers`` asks for it.
    """
    if args.ddp_broadcast_buffers:
        raise ValueError(
            "`max_tokens_per_forward` does not go with `ddp_broadcast_buffers=True`: processes have different numbers "
            "of forwards. Leave one of the two out."
        )
    args.ddp_broadcast_buffers = False


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

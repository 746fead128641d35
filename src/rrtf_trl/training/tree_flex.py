"""Attention in a packed row on a GPU: one FlexAttention call (arXiv 2412.05496) over the whole row.

Its block mask skips the blocks in which no token attends to another, so the cost is that of the sequences.
"""

from __future__ import annotations

import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from .tree import Tree, trie
from .tree_spans import attend_by_spans

logger = logging.getLogger(__name__)

_FAST_ON = {"cuda"}
"""Types of devices on which FlexAttention is one kernel."""


@functools.cache
def compiled_flex_attention() -> Any:
    """Return FlexAttention compiled to one kernel; uncompiled, it computes all scores of the row."""
    return torch.compile(flex_attention, dynamic=True)


def attend_by_blocks(
    tree: Tree,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int | None,
    scaling: float | None,
    softcap: float | None,
) -> Tensor:
    """Attend from all tokens of the row in one call.

    Args:
        tree: Of the row.
        query: float `[1, H, T, D]`.
        key: float `[1, H_kv, T, D]`, H_kv a divisor of H.
        value: float `[1, H_kv, T, D_v]`.
        window: Positions that a token attends to, itself included; ``None`` for all.
        scaling: Factor of the scores; by default 1 / √D.
        softcap: Bound of the scores, as in Gemma 2.

    Returns:
        float `[1, H, T, D_v]`.
    """

    def capped(score: Tensor, batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        assert softcap is not None
        return softcap * torch.tanh(score / softcap)

    attention = compiled_flex_attention() if query.is_cuda else flex_attention
    out: Tensor = attention(
        query,
        key,
        value,
        score_mod=None if softcap is None else capped,
        block_mask=block_mask(tree, window, query.device),
        scale=scaling,
        enable_gqa=query.size(1) != key.size(1),
    )
    return out


def block_mask(tree: Tree, window: int | None, device: torch.device) -> BlockMask:
    """Return which tokens of the row attend to which; layers with the same window use the same mask."""
    name = ("blocks", window, device)
    if name not in tree.masks:
        ends, depths = (torch.from_numpy(one).to(device) for one in (tree.ends, tree.depths))

        def visible(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
            attends = (k <= q) & (q < ends[k])
            return attends if window is None else torch.logical_and(attends, depths[q] - depths[k] < window)

        # Uncompiled, making the mask needs memory for every pair of tokens.
        make = compiled_create_block_mask() if device.type == "cuda" else create_block_mask
        tree.masks[name] = make(visible, None, None, len(tree), len(tree), device=device)
    found: BlockMask = tree.masks[name]
    return found


@functools.cache
def compiled_create_block_mask() -> Any:
    """Return ``create_block_mask`` compiled."""
    return torch.compile(create_block_mask, dynamic=True)


def computing_dtype(query: Tensor) -> torch.dtype:
    """Return the dtype to compute in: autocast does not cast for FlexAttention."""
    device = query.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else query.dtype


@functools.cache
def flex_works(
    device: torch.device, dtype: torch.dtype, heads: tuple[int, int], sizes: tuple[int, int], softcap: float | None
) -> bool:
    """Whether FlexAttention equals attention by spans here, in values and gradients; tried once.

    Args:
        device: FlexAttention is fast on GPUs only.
        dtype: Of query, key and value.
        heads: H and H_kv.
        sizes: D and D_v.
        softcap: Of the layer.
    """
    if device.type not in _FAST_ON:
        return False
    # In a thread of its own: where the first layer to run is inside of a checkpoint (as where FSDP moves the model
    # only after the trainer is made), the checkpoint would count the tensors that the trial saves.
    with ThreadPoolExecutor(1, initializer=_use, initargs=(device,)) as pool:
        problem = pool.submit(_problem_of_flex, device, dtype, heads, sizes, softcap).result()
    if problem:
        logger.warning("FlexAttention %s: attention is computed span by span.", problem)
    return not problem


def _use(device: torch.device) -> None:
    """Have this thread launch kernels on a device; each thread begins with the first one."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def _problem_of_flex(
    device: torch.device, dtype: torch.dtype, heads: tuple[int, int], sizes: tuple[int, int], softcap: float | None
) -> str:
    """Return how FlexAttention fails here; empty where it does not."""
    examples = [[7] * 70 + [1] * 40, [7] * 70 + [1] * 9 + [2] * 60, [7] * 70 + [3] * 130, [8] * 3, [8] * 3 + [9] * 64]
    found = trie(examples)
    tree = Tree(found.ends, found.depths)
    generator = torch.Generator(device)
    shapes = [(heads[0], sizes[0]), (heads[1], sizes[0]), (heads[1], sizes[1])]
    options: dict[str, Any] = {"window": 50, "scaling": None, "softcap": softcap}
    results = []
    try:
        for attend in (attend_by_blocks, attend_by_spans):
            generator.manual_seed(0)
            inputs = [
                torch.randn(
                    1, count, len(tree), size, generator=generator, device=device, dtype=dtype, requires_grad=True
                )
                for count, size in shapes
            ]
            out = attend(tree, *inputs, **options)
            gradients = torch.autograd.grad(out.float().square().sum(), inputs)
            results.append([out, *gradients])
    except Exception as error:
        return f"does not run here ({error})"
    tolerance = 1e-3 if dtype in (torch.float32, torch.float64) else 0.05
    pairs = zip(*results, strict=True)
    distance: float = max(((flex - by_spans).norm() / by_spans.norm()).item() for flex, by_spans in pairs)
    return f"gives different results here (relative error {distance:.1e})" if distance > tolerance else ""

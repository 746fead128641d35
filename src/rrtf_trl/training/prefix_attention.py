"""Attention in a packed row: each response attends to its prompt and to itself, not to other responses.

The row is a batch of :class:`~rrtf_trl.training.packing.PackedCollator`. Attention is computed group by group, or on a
GPU by :mod:`~rrtf_trl.training.prefix_flex`, so its cost is that of the sequences, not of the row squared.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AttentionInterface

from .prefix_flex import attend_by_blocks
from .prefix_layout import PrefixLayout

logger = logging.getLogger(__name__)

NAME = "rrtf_shared_prefix"
"""The name of :func:`shared_prefix_attention` in transformers' registry of attention functions.

No mask function has this name, so transformers builds no mask, which would be `[T, T]` for the whole row.
"""


def shared_prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    shared_prefix: PrefixLayout,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend within each response and to its prompt; the signature is that of transformers' attention functions.

    Args:
        module: The attention layer.
        query: float `[1, H, T, D]`.
        key: float `[1, H_kv, T, D]`, H_kv a divisor of H.
        value: float `[1, H_kv, T, D_v]`.
        attention_mask: Must be ``None``.
        shared_prefix: The layout of the row.
        dropout: Probability of dropping an attention weight.
        scaling: Factor of the scores; by default 1 / √D.
        softcap: Bound of the scores, as in Gemma 2.
        kwargs: ``sliding_window`` is used; without it, the layer's attribute of that name.

    Returns:
        float `[1, T, H, D_v]`, and ``None`` for the weights.
    """
    unsupported = [name for name in ("s_aux", "position_bias") if kwargs.get(name) is not None]
    if attention_mask is not None:
        unsupported.append("attention_mask")
    if unsupported:
        raise ValueError(
            f"Shared prompts do not support the {', '.join(unsupported)} of {type(module).__name__}. Use "
            '`share_prefix="false"`.'
        )
    window = kwargs["sliding_window"] if "sliding_window" in kwargs else getattr(module, "sliding_window", None)
    shared_prefix.windows[module] = window
    options: dict[str, Any] = {"window": window, "scaling": scaling, "softcap": softcap}
    device, dtype = query.device, query.dtype
    if torch.is_autocast_enabled(device.type):  # which does not cast for FlexAttention
        dtype = torch.get_autocast_dtype(device.type)
    heads, sizes = (query.size(1), key.size(1)), (query.size(3), value.size(3))
    if not dropout and flex_works(device, dtype, heads, sizes, softcap):
        inputs = (rows.to(dtype) for rows in (query, key, value))
        out = attend_by_blocks(shared_prefix, *inputs, **options)
    else:
        out = attend_by_groups(shared_prefix, query, key, value, dropout=dropout, **options)
    return out.transpose(1, 2), None


def attend_by_groups(
    layout: PrefixLayout,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int | None,
    scaling: float | None,
    softcap: float | None,
    dropout: float = 0.0,
) -> Tensor:
    """Attend group by group: within the prompt, then from all of its responses at once.

    Arguments and result are those of :func:`~rrtf_trl.training.prefix_flex.attend_by_blocks`.
    """
    options: dict[str, Any] = {"window": window, "dropout": dropout, "scaling": scaling, "softcap": softcap}
    copies = query.size(1) // key.size(1)
    q, k, v = (rows.transpose(1, 2)[0] for rows in (query, key, value))  # [T, heads, D]
    if copies > 1:
        k, v = k.repeat_interleave(copies, dim=1), v.repeat_interleave(copies, dim=1)
    parts: list[Tensor] = []
    start = 0
    for prompt, responses in layout.groups:
        end = start + prompt + sum(responses)
        sizes = [prompt, *responses]
        q_prompt, *q_own = torch.split(q[start:end], sizes)
        k_prompt, *k_own = torch.split(k[start:end], sizes)
        v_prompt, *v_own = torch.split(v[start:end], sizes)
        if prompt:
            parts.append(_attend(layout, q_prompt[None], k_prompt[None], v_prompt[None], **options)[0])
        # The first token of a response sees most of the prompt, window − 1 positions.
        seen = prompt if window is None else min(prompt, window - 1)
        out = _attend(
            layout,
            pad_sequence(q_own, batch_first=True),
            _after_prompt(k_prompt[prompt - seen :], k_own),
            _after_prompt(v_prompt[prompt - seen :], v_own),
            **options,
        )
        # Outputs of padding are dropped here, and no response attends to keys in the padding.
        parts += [own[:size] for own, size in zip(out, responses, strict=True)]
        start = end
    return torch.cat(parts).transpose(0, 1)[None]


def _after_prompt(prompt: Tensor, own: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """Return float `[k, P + L, H, D]`: the prompt's `[P, H, D]` and then each response's, padded to L tokens."""
    padded = pad_sequence(list(own), batch_first=True)
    return torch.cat([prompt.expand(len(own), *prompt.shape), padded], dim=1)


def _attend(
    layout: PrefixLayout,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    window: int | None,
    dropout: float,
    scaling: float | None,
    softcap: float | None,
) -> Tensor:
    """Return float `[B, queries, H, D_v]`: attention of the last positions of `[B, keys, H, D]` to all before them."""
    queries, keys = q.size(1), k.size(1)
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if window is not None and window >= keys:
        window = None
    if softcap is not None:
        scores = q @ k.transpose(2, 3) * (q.size(-1) ** -0.5 if scaling is None else scaling)
        scores = softcap * torch.tanh(scores / softcap)
        scores = scores.masked_fill(~layout.mask(queries, keys, window, q.device), -torch.inf)
        weights = functional.softmax(scores, dim=-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype)
        return (functional.dropout(weights, dropout) @ v).transpose(1, 2)
    causal = queries == keys and window is None
    mask = None if causal else layout.mask(queries, keys, window, q.device)
    out = functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scaling
    )
    return out.transpose(1, 2)


@functools.cache
def flex_works(
    device: torch.device, dtype: torch.dtype, heads: tuple[int, int], sizes: tuple[int, int], softcap: float | None
) -> bool:
    """Whether FlexAttention equals group-by-group attention here, in values and gradients; tried once.

    Args:
        device: FlexAttention is fast on GPUs only.
        dtype: Of query, key and value.
        heads: H and H_kv.
        sizes: D and D_v.
        softcap: Of the layer.
    """
    if device.type != "cuda":
        return False
    layout = PrefixLayout([(70, [40, 9, 130]), (3, [5, 64])], torch.empty(0))
    total = sum(prompt + sum(responses) for prompt, responses in layout.groups)
    generator = torch.Generator(device)
    shapes = [(heads[0], sizes[0]), (heads[1], sizes[0]), (heads[1], sizes[1])]
    options: dict[str, Any] = {"window": 50, "scaling": None, "softcap": softcap}
    results = []
    try:
        for attend in (attend_by_blocks, attend_by_groups):
            generator.manual_seed(0)
            inputs = [
                torch.randn(1, count, total, size, generator=generator, device=device, dtype=dtype).requires_grad_()
                for count, size in shapes
            ]
            with torch.enable_grad():
                out = attend(layout, *inputs, **options)
                gradients = torch.autograd.grad(out.float().square().sum(), inputs)
            results.append([out, *gradients])
    except Exception as error:
        logger.warning("FlexAttention does not run here (%s): prompts are shared group by group.", error)
        return False
    tolerance = 1e-3 if dtype in (torch.float32, torch.float64) else 0.05
    pairs = zip(*results, strict=True)
    distance: float = max(((flex - by_groups).norm() / by_groups.norm()).item() for flex, by_groups in pairs)
    if distance > tolerance:
        logger.warning(
            "FlexAttention gives different results here (relative error %.1e): prompts are shared group by group.",
            distance,
        )
    return distance <= tolerance


AttentionInterface.register(NAME, shared_prefix_attention)

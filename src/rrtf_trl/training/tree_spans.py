"""Attention in a packed row by scaled dot-product attention, in some calls for the spans of the row by their sizes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .tree import Tree


def attend_by_spans(
    tree: Tree,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int | None,
    scaling: float | None,
    softcap: float | None,
    dropout: float = 0.0,
) -> Tensor:
    """Attend from each span to the whole sequence that it ends; several spans in one call.

    Arguments and result are those of :func:`~rrtf_trl.training.tree_flex.attend_by_blocks`.
    """
    copies = query.size(1) // key.size(1)
    q, k, v = (rows[0].transpose(0, 1) for rows in (query, key, value))  # [T, heads, D]
    if copies > 1:
        k, v = k.repeat_interleave(copies, dim=1), v.repeat_interleave(copies, dim=1)
    sizes = [stop - start for start, stop in tree.chains]
    queries = torch.split(q, [span.stop - span.start for span in tree.spans])
    keys, values = torch.split(k, sizes), torch.split(v, sizes)
    out: list[Tensor] = [q] * len(tree.spans)
    for batch in tree.batches():
        spans = [tree.spans[number] for number in batch.spans]
        mask = tree.mask(batch, window, q.device, q.dtype)
        attended = _attend(
            _padded([[queries[number]] for number in batch.spans], batch.queries),
            _padded([[keys[chain] for chain in span.chains] for span in spans], batch.keys),
            _padded([[values[chain] for chain in span.chains] for span in spans], batch.keys),
            mask,
            scaling=scaling,
            softcap=softcap,
            dropout=dropout,
        )
        for number, span, rows in zip(batch.spans, spans, attended, strict=True):
            out[number] = rows[: span.stop - span.start]
    return torch.cat(out).transpose(0, 1)[None]


def _padded(rows: list[list[Tensor]], length: int) -> Tensor:
    """Return float `[B, H, length, D]` of parts `[n, H, D]` of B rows, padded with zeros."""
    parts: list[Tensor] = []
    zeros = rows[0][0].new_zeros(length, *rows[0][0].shape[1:])
    for row in rows:
        parts += row
        missing = length - sum(map(len, row))
        if missing:
            parts.append(zeros[:missing])
    return torch.cat(parts).view(len(rows), length, *zeros.shape[1:]).transpose(1, 2)


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    *,
    scaling: float | None,
    softcap: float | None,
    dropout: float,
) -> Tensor:
    """Return float `[B, queries, H, D_v]` of `[B, H, …, D]`; without a mask, attention is causal."""
    if softcap is None:
        out = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scaling
        )
        return out.transpose(1, 2)
    scores = q @ k.transpose(2, 3) * (q.size(-1) ** -0.5 if scaling is None else scaling)
    scores = softcap * torch.tanh(scores / softcap)
    if mask is None:
        mask = scores.new_full(scores.shape[2:], -torch.inf).triu(1)
    weights = functional.softmax(scores + mask, dim=-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype)
    return (functional.dropout(weights, dropout) @ v).transpose(1, 2)

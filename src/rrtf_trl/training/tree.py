"""A packed row of tokens as a forest: what responses have in common, prompts above all, is there once.

A row has a trie for each group, in depth-first order, so that the subtree of a token is a range of the row. One
integer a token describes it: where this range ends. A token sees the tokens whose ranges it is in, itself included,
which are the tokens before it in its response and prompt. TRL's ``AsyncGRPOTrainer`` packs its rows as tries too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_CALL = 40_000
"""Pairs of tokens whose attention takes about as long as one more call, on a processor."""

Ints = NDArray[np.int64]


class Trie(NamedTuple):
    """The sequences of a group.

    Args:
        tokens: int `[T]`, in depth-first order.
        ends: int `[T]`: one past the last token of each token's subtree.
        depths: int `[T]`: how many tokens precede each in its sequences.
        paths: For each sequence int `[L]`, where its tokens are.
    """

    tokens: Ints
    ends: Ints
    depths: Ints
    paths: list[Ints]


def trie(sequences: list[list[int]]) -> Trie:
    """Return the trie of some sequences of tokens, which may be equal, empty, or the beginnings of others."""
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    tokens: list[int] = []
    size = sum(map(len, sequences))
    ends, depths = np.empty(size, np.int64), np.empty(size, np.int64)
    paths: list[Ints] = [np.empty(0, np.int64)] * len(sequences)
    path, before = np.empty(0, np.int64), list[int]()
    for number in order:
        sequence = sequences[number]
        shared, start = _common(before, sequence), len(tokens)
        ends[path[shared:]] = start
        stop = start + len(sequence) - shared
        depths[start:stop] = np.arange(shared, len(sequence))
        path = np.concatenate([path[:shared], np.arange(start, stop)])
        tokens += sequence[shared:]
        paths[number], before = path, sequence
    ends[path] = len(tokens)
    return Trie(np.array(tokens, np.int64), ends[: len(tokens)], depths[: len(tokens)], paths)


def size_of_trie(sequences: list[list[int]]) -> int:
    """Return how many tokens the trie of some sequences has."""
    ordered = sorted(sequences)
    return sum(map(len, ordered)) - sum(map(_common, ordered, ordered[1:]))


def _common(first: list[int], second: list[int]) -> int:
    """Return how many tokens two sequences have in common at their beginnings."""
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return length
    differs = np.array(first[:length]) != np.array(second[:length])
    return int(differs.argmax())


class Span(NamedTuple):
    """A part of the row in which each token follows the one before it, from a branch to the end of a response.

    Args:
        start: Its first token.
        stop: One past its last token.
        chains: By their numbers, the chains from the root to its last token.
        depth: Tokens before its first one in its sequence.
    """

    start: int
    stop: int
    chains: list[int]
    depth: int


@dataclass
class SpanBatch:
    """Spans that are computed in one call of attention, padded.

    Args:
        spans: By their numbers.
        queries: Tokens of the longest span.
        keys: Tokens of the longest sequence.
    """

    spans: list[int]
    queries: int
    keys: int


class Tree:
    """A packed row's forest, on the host, with the masks that attention builds of it.

    This is no dataclass, of which wrappers of models would make copies without the masks.

    Args:
        ends: int `[T]`: one past the last token of each token's subtree.
        depths: int `[T]`: the position of each token in its sequences.

    Attributes:
        chains: int pairs, first token and one past the last, of the longest parts in which nothing branches.
        spans: See :class:`Span`.
        windows: Sliding windows by attention layer, of the layers that have run.
        masks: What attention has built, by whatever it depends on.
    """

    def __init__(self, ends: Ints, depths: Ints) -> None:
        self.ends = ends
        self.depths = depths
        self.chains, self.spans = _chains_and_spans(ends, depths)
        self.windows: dict[nn.Module, int | None] = {}
        self.masks: dict[tuple[Any, ...], Any] = {}

    def __len__(self) -> int:
        return len(self.ends)

    def batches(self) -> list[SpanBatch]:
        """Return the spans in calls of attention of about equal sizes, so that little of them is padding."""
        if ("batches",) not in self.masks:
            self.masks["batches",] = _batches(self.spans)
        found: list[SpanBatch] = self.masks["batches",]
        return found

    def mask(self, batch: SpanBatch, window: int | None, device: torch.device, dtype: torch.dtype) -> Tensor | None:
        """Return what to add to the scores of a batch; None where attention is merely causal.

        Args:
            batch: One of :meth:`batches`.
            window: Positions that a token sees, itself included; None for all.
            device: Of the result.
            dtype: Of the result.

        Returns:
            float `[B or 1, 1, queries, keys]`, 0 or −∞; layers with the same window share it.
        """
        starts = sorted({self.spans[number].depth for number in batch.spans})
        # Spans that begin at the same depth, as after a prompt, see the same.
        starts = starts if len(starts) == 1 else [self.spans[number].depth for number in batch.spans]
        key = (*starts, batch.queries, batch.keys, window, device, dtype)
        if key not in self.masks:
            depths = torch.tensor(starts, device=device)
            if window is None and not depths.any():
                self.masks[key] = None
            else:
                position = depths[:, None, None] + torch.arange(batch.queries, device=device)[:, None]
                # A query that is padding sees something too: the softmax of nothing is no number.
                distance = position.clamp(max=batch.keys - 1) - torch.arange(batch.keys, device=device)
                visible = distance >= 0 if window is None else (distance >= 0) & (distance < window)
                hidden = torch.zeros(visible.shape, device=device, dtype=dtype).masked_fill_(~visible, -torch.inf)
                self.masks[key] = hidden[:, None]
        found: Tensor | None = self.masks[key]
        return found


def _chains_and_spans(ends: Ints, depths: Ints) -> tuple[list[tuple[int, int]], list[Span]]:
    if not len(ends):
        return [], []
    # A span ends at a token without children, and a branch is where a later span goes on.
    stops = np.flatnonzero(ends == np.arange(1, len(ends) + 1)) + 1
    starts = np.concatenate([[0], stops[:-1]])
    cuts = {0, *stops.tolist()}
    parents = []
    for start in starts.tolist():
        depth = int(depths[start])
        # The parent is the last token before it of which it is a descendant.
        before = np.flatnonzero((ends[:start] > start) & (depths[:start] == depth - 1))
        parent = int(before[-1]) if len(before) else -1
        parents.append(parent)
        cuts.add(parent + 1)
    bounds = sorted(cuts)
    chains = list(pairwise(bounds))
    number_at = {start: number for number, (start, _) in enumerate(chains)}
    spans: list[Span] = []
    paths: dict[int, list[int]] = {-1: []}  # the chains from the root to the token before this one
    for start, stop, parent in zip(starts.tolist(), stops.tolist(), parents, strict=True):
        path = list(paths[parent])
        at = start
        while at < stop:
            number = number_at[at]
            path.append(number)
            at = chains[number][1]
            paths[at - 1] = list(path)
        spans.append(Span(start, stop, path, int(depths[start])))
    return chains, spans


def _batches(spans: list[Span]) -> list[SpanBatch]:
    """Return spans by their sizes, in as many calls as pay."""
    found: list[SpanBatch] = []
    order = sorted(range(len(spans)), key=lambda number: (spans[number].depth > 0, _keys(spans[number])))
    for number in order:
        span = spans[number]
        queries, keys = span.stop - span.start, _keys(span)
        last = found[-1] if found else None
        if last is not None and (spans[last.spans[0]].depth > 0) == (span.depth > 0):
            count = len(last.spans)
            joint = (count + 1) * max(last.queries, queries) * max(last.keys, keys)
            if joint <= count * last.queries * last.keys + queries * keys + _CALL:
                last.spans.append(number)
                last.queries, last.keys = max(last.queries, queries), max(last.keys, keys)
                continue
        found.append(SpanBatch([number], queries, keys))
    return found


def _keys(span: Span) -> int:
    return span.depth + span.stop - span.start

"""A key-value cache that takes new tokens without copying old ones, and drops sequences that have ended in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


class PreallocatedLayer(DynamicLayer):
    """A layer's keys and values `[sequences, heads, tokens, size]`, as views of tensors with space for all tokens.

    :class:`~transformers.cache_utils.DynamicLayer` copies all of them for each new token.

    Args:
        tokens: For how many tokens there is space.
    """

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.space = tokens
        self._keys = self._values = torch.empty(0)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values; return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._keys, self._values = self._allocate(key_states), self._allocate(value_states)
            self._set_length(len(key_states), 0)
        sequences, start = self.keys.shape[0], self.keys.shape[2]
        end = start + key_states.shape[2]
        self._keys[:sequences, :, start:end] = key_states
        self._values[:sequences, :, start:end] = value_states
        self._set_length(sequences, end)
        return self.keys, self.values

    def select(self, rows: list[int]) -> None:
        """Make a sequence of each of ``rows``, numbers of present sequences, which may repeat."""
        index = torch.tensor(rows, device=self.keys.device)
        keys, values, length = self.keys[index], self.values[index], self.keys.shape[2]
        self._keys, self._values = self._allocate(keys), self._allocate(values)
        self._keys[:, :, :length], self._values[:, :, :length] = keys, values
        self._set_length(len(rows), length)

    def drop(self, moves: dict[int, int], left: int) -> None:
        """Keep the first ``left`` sequences, after sequences were moved to where others have ended.

        Args:
            moves: The new place of each moved sequence, by its old one.
            left: How many sequences are left.
        """
        if moves:
            old, new = list(moves), list(moves.values())
            self.keys[new] = self.keys[old]
            self.values[new] = self.values[old]
        self._set_length(left, self.keys.shape[2])

    def _allocate(self, states: Tensor) -> Tensor:
        sequences, heads, _, size = states.shape
        return states.new_empty(sequences, heads, self.space, size)

    def _set_length(self, sequences: int, tokens: int) -> None:
        self.keys = self._keys[:sequences, :, :tokens]
        self.values = self._values[:sequences, :, :tokens]


def preallocated_cache(config: Any, tokens: int) -> DynamicCache | None:
    """Return a cache with space for so many tokens of each sequence; ``None`` for a model with another kind of cache.

    Layers with a sliding window stay transformers' own: they hold no more than the window.

    Args:
        config: The model's configuration.
        tokens: Of the longest sequence.
    """
    cache = DynamicCache(config=config)
    if not all(isinstance(layer, DynamicLayer) for layer in cache.layers):
        return None
    cache.layers = [PreallocatedLayer(tokens) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def select(cache: DynamicCache, rows: list[int]) -> None:
    """Make a sequence of the cache of each of ``rows``, numbers of present sequences, which may repeat."""
    for layer in cache.layers:
        if isinstance(layer, PreallocatedLayer):
            layer.select(rows)
        else:
            layer.batch_select_indices(torch.tensor(rows, device=layer.keys.device))


def drop(cache: DynamicCache, moves: dict[int, int], left: int) -> None:
    """Keep the first ``left`` sequences of the cache, after those of ``moves`` got a new place."""
    for layer in cache.layers:
        if isinstance(layer, PreallocatedLayer):
            layer.drop(moves, left)
        else:
            order = list(range(left))
            for old, new in moves.items():
                order[new] = old
            layer.batch_select_indices(torch.tensor(order, device=layer.keys.device))

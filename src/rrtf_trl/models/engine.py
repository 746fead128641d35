"""Inference engines other than transformers: what they have in common."""

from __future__ import annotations

from collections.abc import Callable

Generate = Callable[[list[int], int, bool], list[int]]
"""(token ids of the prompt, most new tokens, whether to go on after an end token) to the new token ids."""

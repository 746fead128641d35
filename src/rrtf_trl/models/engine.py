"""The function that inference engines other than transformers provide."""

from __future__ import annotations

from collections.abc import Callable

Generate = Callable[[list[int], int, bool], list[int]]
"""From the prompt's token ids, the most new tokens, and whether to continue after an end token: the new token ids."""

"""How answers are drawn: the options that the samplers of language models share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Decoding:
    """Checked options of drawing.

    Args:
        n: Draws a prompt for each temperature.
        temperatures: One or several; 0 is greedy decoding, of which a prompt gets one draw.
        top_ps: Nucleus sampling, one for each temperature.
        max_new_tokens: Most tokens of an answer.
        seed: Decides the draws.
    """

    n: int
    temperatures: list[float]
    top_ps: list[float]
    max_new_tokens: int
    seed: int

    @classmethod
    def checked(
        cls, n: int, temperatures: list[float] | None, top_ps: list[float] | None, max_new_tokens: int, seed: int
    ) -> Decoding:
        """Fill in what is not given, and check it.

        Raises:
            ValueError: If an option is out of its range.
        """
        temperatures = [1.0] if temperatures is None else list(temperatures)
        given = [1.0] if top_ps is None else list(top_ps)
        if n < 1 or max_new_tokens < 1:
            raise ValueError("n, max_new_tokens and batch_size must be at least 1")
        if not temperatures or any(t < 0 for t in temperatures):
            raise ValueError(f"temperatures must be numbers >= 0, got {temperatures}")
        spread = given * len(temperatures) if len(given) == 1 else given
        if len(spread) != len(temperatures) or any(not 0 < p <= 1 for p in spread):
            raise ValueError(f"top_ps must be one number in (0, 1], or one for each temperature, got {given}")
        return cls(n, temperatures, spread, max_new_tokens, seed)

    @property
    def draws(self) -> int:
        """Candidates that one problem gets."""
        return sum(draws for _, _, draws in self)

    def __iter__(self) -> Iterator[tuple[float, float, int]]:
        """Yield each temperature with its top_p and how often a prompt is drawn with it."""
        for temperature, top_p in zip(self.temperatures, self.top_ps, strict=True):
            yield temperature, top_p, 1 if temperature == 0 else self.n

    def identity(self) -> dict[str, Any]:
        """Return the options as plain JSON."""
        return {
            "n": self.n,
            "temperatures": self.temperatures,
            "top_ps": self.top_ps,
            "max_new_tokens": self.max_new_tokens,
            "seed": self.seed,
        }

"""The decoding options that all samplers of language models have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Decoding:
    """Checked decoding options.

    Args:
        n: Draws of a prompt at each temperature.
        temperatures: One or several; 0 is greedy decoding, which is drawn once.
        top_ps: Nucleus sampling, one for each temperature.
        max_new_tokens: The most tokens of a response.
        seed: Determines the draws.
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
        """Check the options; an option that is ``None`` gets its default.

        Raises:
            ValueError: If an option is out of its range.
        """
        temperatures = [1.0] if temperatures is None else list(temperatures)
        top_ps = [1.0] if top_ps is None else list(top_ps)
        if n < 1 or max_new_tokens < 1:
            raise ValueError("n, max_new_tokens and batch_size must be at least 1")
        if not temperatures or any(t < 0 for t in temperatures):
            raise ValueError(f"temperatures must be numbers >= 0, got {temperatures}")
        if len(top_ps) not in (1, len(temperatures)) or any(not 0 < p <= 1 for p in top_ps):
            raise ValueError(f"top_ps must be one number in (0, 1], or one for each temperature, got {top_ps}")
        if len(top_ps) == 1:
            top_ps *= len(temperatures)
        return cls(n, temperatures, top_ps, max_new_tokens, seed)

    @property
    def draws(self) -> int:
        """Candidates of one problem."""
        return sum(draws for _, _, draws in self)

    def __iter__(self) -> Iterator[tuple[float, float, int]]:
        """Yield each temperature with its top_p and its number of draws of a prompt."""
        for temperature, top_p in zip(self.temperatures, self.top_ps, strict=True):
            yield temperature, top_p, 1 if temperature == 0 else self.n

    def identity(self) -> dict[str, Any]:
        """Return the options as plain JSON."""
        return asdict(self)

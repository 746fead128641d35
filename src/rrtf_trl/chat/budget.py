"""Tokens and money: what was spent, and the limits."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Spending:
    """Requests and tokens at one server and model.

    Args:
        requests: Requests that were answered.
        prompt_tokens: As the server counts them.
        completion_tokens: As the server counts them.
        estimated: The requests for which the server reported no tokens; three bytes count as one then.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0

    def __add__(self, other: Spending) -> Spending:
        return Spending(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Budget:
    """The most that may be spent at one server and model, by all processes that use the same reply cache.

    Spending is kept with the replies, so it is not reset by a restart. A request is sent only if the most that it
    could cost is covered. Several processes may together exceed the budget by their requests in flight.

    Args:
        usd: The most US dollars; ``None`` for no limit. Needs the prices.
        tokens: The most tokens, prompts and replies together; ``None`` for no limit.
        prompt_price: US dollars for a million prompt tokens.
        completion_price: US dollars for a million tokens of replies.

    Raises:
        ValueError: If a value is negative, or ``usd`` is set without prices.
    """

    usd: float | None = None
    tokens: int | None = None
    prompt_price: float | None = None
    completion_price: float | None = None

    def __post_init__(self) -> None:
        for name in ("usd", "tokens", "prompt_price", "completion_price"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"budget.{name} must not be negative, got {value}")
        if self.usd is not None and (self.prompt_price is None or self.completion_price is None):
            raise ValueError("budget.usd needs budget.prompt_price and budget.completion_price (USD a million tokens)")

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self.usd is not None or self.tokens is not None

    def cost(self, spent: Spending) -> float | None:
        """Return the cost of ``spent`` in US dollars, or ``None`` where the prices are not known."""
        if self.prompt_price is None or self.completion_price is None:
            return None
        return (spent.prompt_tokens * self.prompt_price + spent.completion_tokens * self.completion_price) / 1_000_000

    def covers(self, spent: Spending) -> bool:
        """Whether ``spent`` is within the limits."""
        cost = self.cost(spent)
        fits = self.tokens is None or spent.prompt_tokens + spent.completion_tokens <= self.tokens
        return fits and (self.usd is None or cost is None or cost <= self.usd)

    def describe(self, spent: Spending) -> str:
        """Return ``spent`` as text, with its cost and the limits where there are any."""
        cost = self.cost(spent)
        parts = [f"{spent.requests:,} requests, {spent.prompt_tokens:,} + {spent.completion_tokens:,} tokens"]
        if spent.estimated:
            parts.append(f"{spent.estimated:,} of them estimated")
        if cost is not None:
            parts.append(f"{cost:.4f} USD")
        limits = [f"{self.usd:g} USD"] if self.usd is not None else []
        limits += [f"{self.tokens:,} tokens"] if self.tokens is not None else []
        if limits:
            parts.append(f"budget {' and '.join(limits)}")
        return ", ".join(parts)


@runtime_checkable
class ReportsSpending(Protocol):
    """A sampler or feedback source that spends tokens or money; a run prints what."""

    def describe_spending(self) -> str:
        """Return what was spent as text; empty where nothing was."""
        ...

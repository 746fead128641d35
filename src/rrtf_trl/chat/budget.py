"""Tokens and money: what was spent, and how much may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spending:
    """What was spent at one server and model.

    Args:
        requests: Requests that were answered.
        prompt_tokens: As the server counts them.
        completion_tokens: As the server counts them.
        estimated: Of the requests, those whose server told no count: three bytes were taken for a token.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.estimated + other.estimated,
        )


@dataclass(frozen=True)
class Budget:
    """The most that may be spent at one server and model, by everything that shares the reply cache.

    It is like a prepaid account: the balance is kept with the replies, so a restart does not begin anew. A
    request is only sent if the most it could cost is covered. Processes that share an account may exceed it together
    by what they have under way.

    Args:
        usd: Most US dollars; ``None`` for no limit. Needs the prices.
        tokens: Most tokens, prompts and replies together; ``None`` for no limit.
        prompt_price: US dollars for a million prompt tokens.
        completion_price: US dollars for a million tokens of replies.

    Raises:
        ValueError: If a value is negative, or ``usd`` is given without prices.
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
        """Whether there is a limit at all."""
        return self.usd is not None or self.tokens is not None

    def cost(self, spent: Spending) -> float | None:
        """Return what ``spent`` costs in US dollars, or ``None`` where the prices are not known."""
        if self.prompt_price is None or self.completion_price is None:
            return None
        return (spent.prompt_tokens * self.prompt_price + spent.completion_tokens * self.completion_price) / 1_000_000

    def covers(self, spent: Spending) -> bool:
        """Whether ``spent`` is within the limits."""
        cost = self.cost(spent)
        fits = self.tokens is None or spent.prompt_tokens + spent.completion_tokens <= self.tokens
        return fits and (self.usd is None or cost is None or cost <= self.usd)

    def describe(self, spent: Spending) -> str:
        """Return ``spent`` in words, with its cost and the limits where there are any."""
        cost = self.cost(spent)
        words = [f"{spent.requests:,} requests, {spent.prompt_tokens:,} + {spent.completion_tokens:,} tokens"]
        if spent.estimated:
            words.append(f"{spent.estimated:,} of them estimated")
        if cost is not None:
            words.append(f"{cost:.4f} USD")
        limits = [f"{self.usd:g} USD"] if self.usd is not None else []
        limits += [f"{self.tokens:,} tokens"] if self.tokens is not None else []
        if limits:
            words.append(f"budget {' and '.join(limits)}")
        return ", ".join(words)

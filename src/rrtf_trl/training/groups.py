"""Which responses of a batch are compared with each other."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor


class Groups:
    """The N responses of a batch by their G groups, on the host, where nothing waits for the device.

    This is no dataclass, which wrappers of models would copy to the device.

    Args:
        examples: Tokenized rows, a group each.
        lengths: int `[N]`, the scored tokens of each response.
        tokens: How many tokens the model computes, without padding.

    Attributes:
        scores: float64 `[N]`: float32 has no two numbers for 2²⁴ and 2²⁴ + 1.
        ids: int `[N]`, the group of each response, ascending from 0 to G − 1.
        from_teacher: bool `[N]`.
        lengths: int `[N]`, at least 1, by which sums over a response's tokens become means.
        scored: int `[N]`, the scored tokens of each response: 0 where nothing precedes its only one.
        count: G.
        numbers: Which of the batch's rows each group is.
        rows: The number of each group's row in the data set, where the rows have them.
        tokens: As in the arguments.
    """

    def __init__(self, examples: list[dict[str, Any]], lengths: Tensor, tokens: int) -> None:
        self.scores = torch.tensor([one for example in examples for one in example["scores"]], dtype=torch.float64)
        self.ids = torch.tensor([g for g, example in enumerate(examples) for _ in example["scores"]], dtype=torch.long)
        self.from_teacher = torch.tensor(
            [flag for example in examples for flag in example["from_teacher"]], dtype=torch.bool
        )
        self.scored, self.lengths = lengths, lengths.clamp(min=1)
        self.count, self.tokens = len(examples), tokens
        self.numbers = list(range(self.count))
        self.rows = [example["row"] for example in examples if "row" in example]

    @classmethod
    def of_padded(cls, examples: list[dict[str, Any]], batch: dict[str, Tensor]) -> Groups:
        """Return the groups of a padded batch; the first token of a sequence is not predicted."""
        return cls(examples, batch["completion_mask"][:, 1:].sum(dim=1), int(batch["attention_mask"].sum()))

    def first(self, count: int) -> Groups:
        """Return the first groups alone; ``tokens`` stays."""
        part, responses = copy(self), int((self.ids < count).sum())
        for name in ("scores", "ids", "from_teacher", "scored", "lengths"):
            setattr(part, name, getattr(self, name)[:responses])
        part.count, part.numbers, part.rows = count, self.numbers[:count], self.rows[:count]
        return part

    def best(self) -> Tensor:
        """Return bool `[N]`: which responses have the best score of their group."""
        top = torch.full_like(self.scores[: self.count], -torch.inf).scatter_reduce(0, self.ids, self.scores, "amax")
        return self.scores == top[self.ids]

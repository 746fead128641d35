"""Batches for losses in plain Python, from which the tests compute what a loss must be, and as tensors."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from rrtf_trl.training.losses import LossInputs, prefix_tree


@dataclass(frozen=True)
class Answer:
    """A response: its tokens, their log-probabilities, and its score. The first ``unscored`` tokens have none."""

    ids: list[int]
    logps: list[float]
    reference: list[float]
    sampling: list[float]
    score: float
    teacher: bool = False
    unscored: int = 0

    @property
    def length(self) -> int:
        """Its scored tokens, at least 1."""
        return max(len(self.logps), 1)


Group = list[Answer]

PASSED = 0.5
"""The score of responses that pass."""


def answer(draw: random.Random, score: float, length: int, *, teacher: bool = False, unscored: int = 0) -> Answer:
    """Draw a response of so many scored tokens, out of two tokens so that beginnings are shared."""

    def logps(spread: float) -> list[float]:
        return [-draw.uniform(0.05, spread) for _ in range(length)]

    ids = [draw.randrange(2) for _ in range(length + unscored)]
    return Answer(ids, logps(3.0), logps(3.0), logps(3.0), score, teacher, unscored)


def random_groups(seed: int) -> list[Group]:
    """Draw groups with ties, of which all pass, of which none pass, and with responses of one token and of none."""
    draw = random.Random(seed)
    scores = [
        [draw.choice([-1.0, -0.3, 0.0, 0.5, 1.0]) for _ in range(draw.randint(5, 8))],
        [1.0, 0.5, 1.0],
        [-1.0, 0.0, 0.0, -0.3],
        [1.0, 0.0],
        [0.5, 0.5],
        [0.0, 1.0, -1.0, 0.5],
    ]
    groups = [
        [answer(draw, score, draw.randint(1, 6), teacher=draw.random() < 0.3) for score in group] for group in scores
    ]
    groups[3][0] = answer(draw, 1.0, 1)
    groups[5][2] = answer(draw, -1.0, 0, unscored=3)
    return groups


def as_inputs(groups: list[Group]) -> LossInputs:
    """Return the batch in float64, whose token log-probabilities require gradients."""
    flat = [one for group in groups for one in group]

    def tokens(name: str) -> torch.Tensor:
        return torch.tensor([value for one in flat for value in getattr(one, name)], dtype=torch.float64)

    lengths = torch.tensor([len(one.logps) for one in flat])
    return LossInputs(
        token_logps=tokens("logps").requires_grad_(),
        responses=torch.arange(len(flat)).repeat_interleave(lengths),
        lengths=lengths.clamp(min=1),
        scores=torch.tensor([one.score for one in flat], dtype=torch.float64),
        group_ids=torch.tensor([number for number, group in enumerate(groups) for _ in group]),
        groups=len(groups),
        from_teacher=torch.tensor([one.teacher for one in flat]),
        reference_logps=tokens("reference"),
        sampling_logps=tokens("sampling"),
        tree=prefix_tree([[one.ids for one in group] for group in groups], [[a.unscored for a in g] for g in groups]),
    )


def differences(group: Group, loss: Callable[[Group], float], step: float = 1e-6) -> list[float]:
    """Return the derivative of a group's loss by each scored token's log-probability, by central differences."""
    found = []
    for number, one in enumerate(group):
        for token in range(len(one.logps)):
            around = []
            for shift in (step, -step):
                logps = [*one.logps]
                logps[token] += shift
                around.append(loss([*group[:number], replace(one, logps=logps), *group[number + 1 :]]))
            found.append((around[0] - around[1]) / (2 * step))
    return found


def assert_is(inputs: LossInputs, found: torch.Tensor, groups: list[Group], loss: Callable[[Group], float]) -> None:
    """Compare a loss and its gradient with those of a function of one group."""
    assert_values(inputs, found, [loss(group) for group in groups], [differences(group, loss) for group in groups])


def assert_values(
    inputs: LossInputs, found: torch.Tensor, expected: list[float], gradients: list[list[float]]
) -> None:
    """Compare a loss, float `[G]`, and its gradient by each token with those that are expected of each group."""
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(found.sum(), inputs.token_logps, allow_unused=True, materialize_grads=True)
    by_token = [value for group in gradients for value in group]
    torch.testing.assert_close(gradient, torch.tensor(by_token, dtype=torch.float64), atol=1e-7, rtol=1e-6)
    assert math.isfinite(gradient.abs().sum())
    assert any(abs(value) > 1e-3 for value in by_token)

"""A training step in several forwards: memory no longer grows with the batch, nor with the number of responses.

The loss is a sum over groups, so whole groups go forward and backward after each other. A group that is too large
alone goes in parts, by gradient caching (Gao et al., arXiv 2101.06983): the log-probabilities of all parts without a
graph, the gradient of the loss with respect to these numbers, then each part again, backward with its share of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .distributed import is_sharded, most_of_all, without_sync
from .forwards import batches_of, join
from .scoring import ScoredResponses

Batch = dict[str, Any]
Score = Callable[[Batch], ScoredResponses]


def step_in_forwards(
    forwards: list[Batch],
    *,
    score: Score,
    loss: Callable[[ScoredResponses, Batch], Tensor],
    share: Tensor | float,
    backward: Callable[[Batch], Tensor],
    context: Callable[[], AbstractContextManager[Any]],
    accelerator: Accelerator,
    model: nn.Module,
) -> Tensor:
    """Run a batch forward and backward; return its loss.

    Args:
        forwards: Those of :class:`~rrtf_trl.training.forwards.ForwardsCollator`, on the device.
        score: Runs the model on a batch.
        loss: Returns the loss of a group that went in parts, to be multiplied by ``share``.
        share: The weight of a group in the step.
        backward: Runs a batch forward and backward, and returns its loss.
        context: In which the model runs, of mixed precision.
        accelerator: Of the trainer.
        model: As it is wrapped.
    """
    in_parts = [forward for forward in forwards if "parts" in forward]
    batches = list(batches_of({"forwards": forwards}))
    missing, smallest = missing_forwards(forwards, accelerator)
    losses = []
    with context(), torch.no_grad():
        for forward in in_parts:
            for part in forward["parts"]:
                part["random_state"] = RandomState(accelerator.device)
                part["scored"] = score(part)
        for _ in range(missing.without_graph):
            score(smallest)
    for forward in in_parts:
        scored = join([part.pop("scored") for part in forward["parts"]], forward)
        scored.token_logps.requires_grad_()
        losses.append(loss(scored, forward) * share)
        (gradients,) = torch.autograd.grad(losses[-1], scored.token_logps)
        _add_gradients(forward, gradients, share)
    batches = [_without_gradients(smallest, accelerator.device)] * missing.all + batches
    for number, batch in enumerate(batches):
        with without_sync(accelerator, model, unless=number == len(batches) - 1):
            step = backward(batch)
        losses += [] if "token_gradients" in batch else [step]
    return torch.stack(losses).detach().sum()


def loss_of_part(part: Batch, score: Score, router_aux_loss_coef: float) -> Tensor:
    """Return a scalar whose gradient is that of the loss through the responses of a part.

    Args:
        part: With the gradient of the loss with respect to its tokens' log-probabilities.
        score: Runs the model on a batch.
        router_aux_loss_coef: Weight of the load-balancing loss of a mixture of experts.
    """
    with part["random_state"].restored():
        scored = score(part)
    gradients: Tensor = part["token_gradients"]
    total = (scored.token_logps * gradients).sum()
    if router_aux_loss_coef and scored.aux_loss is not None:
        total = total + router_aux_loss_coef * scored.aux_loss * part["aux_share"]
    return total


class Missing(NamedTuple):
    """How many forwards another process does more than this one, without a graph and in all.

    They differ where each forward fetches weights from the other processes, which then must do as many.
    """

    without_graph: int
    all: int


def missing_forwards(forwards: list[Batch], accelerator: Accelerator) -> tuple[Missing, Batch]:
    """Return how many forwards are missing here, and the smallest batch, to be computed in their place."""
    batches = list(batches_of({"forwards": forwards}))
    smallest = min(batches, key=lambda batch: int(batch["groups"].tokens))
    if not is_sharded(accelerator):
        return Missing(0, 0), smallest
    counts = [sum(len(forward.get("parts", ())) for forward in forwards), len(batches)]
    most = most_of_all(counts, accelerator)
    return Missing(*(high - count for high, count in zip(most, counts, strict=True))), smallest


def _add_gradients(forward: Batch, gradients: Tensor, share: Tensor | float) -> None:
    """Give each part of a group the gradient with respect to its own tokens, of float32 `[T]` in the row's order."""
    parts = forward["parts"]
    in_parts = torch.empty_like(gradients).index_copy(0, forward["order"], gradients)
    tokens = sum(part["groups"].tokens for part in parts)
    counts = [int(part["groups"].scored.sum()) for part in parts]
    for part, of_part in zip(parts, torch.split(in_parts, counts), strict=True):
        part["token_gradients"] = of_part
        # The load-balancing loss has the weight of the group, and of it that of the part's tokens.
        part["aux_share"] = share * part["groups"].tokens / tokens


def _without_gradients(batch: Batch, device: torch.device) -> Batch:
    """Return a batch whose backward adds nothing."""
    zeros = torch.zeros(int(batch["groups"].scored.sum()), device=device)
    return {**batch, "token_gradients": zeros, "random_state": RandomState(device), "aux_share": 0.0}


class RandomState:
    """The state of the random number generators, for a second forward with the same dropout.

    Args:
        device: Where the model is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._of_device = None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Draw from this state, and afterwards go on from the one before."""
        devices = [] if self._of_device is None else [self._device]
        with torch.random.fork_rng(devices, device_type=self._device.type if devices else "cuda"):
            torch.set_rng_state(self._cpu)
            if self._of_device is not None:
                torch.get_device_module(self._device).set_rng_state(self._of_device, self._device)
            yield

"""Batches in forwards of a limited number of tokens: memory no longer grows with the batch, nor with k.

The loss is a sum over groups, so whole groups can go forward and backward after each other. A group that is too large
alone goes in parts, by gradient caching (Gao et al., arXiv 2101.06983): the log-probabilities of all parts without a
graph, the gradient of the loss with respect to these numbers, then each part again, backward with its share of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .data import Groups, RankedCollator
from .packing import PackedCollator
from .scoring import ScoredResponses

Examples = list[dict[str, Any]]

_PER_RESPONSE = ("response_ids", "scores", "from_teacher", "unscored")


class ForwardsCollator:
    """Collates rows to forwards of at most ``max_tokens`` tokens each.

    Returns ``{"forwards": [...]}``, in which each is a batch of ``collator`` with whole groups, or, for a group that
    is larger, a dict with:

    - ``parts``: batches of ``collator`` with some of the group's responses each;
    - ``order`` int `[T]`: which of the parts' scored tokens, one part after the other, is the first of the first
      response, and so on in the order of the row;
    - ``responses`` int `[T]`: the response of each of them;
    - ``groups``: the whole group.

    A sequence that is longer than ``max_tokens`` alone has a forward to itself.

    Args:
        collator: Makes the batches.
        max_tokens: The limit, padding included.

    >>> from rrtf_trl.training.packing import PackedCollator
    >>> row = {"prompt_ids": [1], "response_ids": [[2, 3], [4, 5], [4, 6]], "scores": [0, 1, 2]}
    >>> row["from_teacher"] = [False] * 3
    >>> (forward,) = ForwardsCollator(PackedCollator(), max_tokens=4)([row])["forwards"]
    >>> [part["input_ids"].tolist() for part in forward["parts"]]
    [[[1, 2, 3]], [[1, 4, 5, 6]]]
    """

    def __init__(self, collator: RankedCollator | PackedCollator, max_tokens: int) -> None:
        self.collator, self.max_tokens = collator, max_tokens

    def __call__(self, examples: Examples) -> dict[str, Any]:
        """Return the forwards of ``examples``, tokenized rows."""
        sizes = [self.collator.size(example) for example in examples]
        tokens = self.collator.tokens
        together: list[list[int]] = []
        alone = []
        # The longest first, each to the first forward that has space for it: rows of similar length meet.
        for number in sorted(range(len(examples)), key=lambda number: -tokens([sizes[number]])):
            if tokens([sizes[number]]) > self.max_tokens:
                alone.append(number)
                continue
            for forward in together:
                if tokens([sizes[one] for one in [*forward, number]]) <= self.max_tokens:
                    forward.append(number)
                    break
            else:
                together.append([number])
        return {
            "forwards": [
                *(self._in_parts(examples[number], number) for number in alone),
                *(self._whole(examples, sorted(numbers)) for numbers in together),
            ]
        }

    def _whole(self, examples: Examples, numbers: list[int]) -> dict[str, Any]:
        batch = self.collator([examples[number] for number in numbers])
        batch["groups"].numbers = numbers
        return batch

    def _in_parts(self, example: dict[str, Any], number: int) -> dict[str, Any]:
        chosen = list(self._split(example))
        parts = [self.collator([_with(example, responses)]) for responses in chosen]
        order = torch.tensor([response for responses in chosen for response in responses])
        scored = torch.cat([part["groups"].scored for part in parts])
        responses = order.repeat_interleave(scored)
        whole = Groups([example], scored[order.argsort()], sum(part["groups"].tokens for part in parts))
        whole.numbers = [number]
        ordered, places = responses.sort(stable=True)
        return {"parts": parts, "order": places, "responses": ordered, "groups": whole}

    def _split(self, example: dict[str, Any]) -> Iterator[list[int]]:
        part: list[int] = []
        for response in self.collator.in_order(example):
            if part and self._tokens(_with(example, [*part, response])) > self.max_tokens:
                yield part
                part = []
            part.append(response)
        yield part

    def _tokens(self, example: dict[str, Any]) -> int:
        return self.collator.tokens([self.collator.size(example)])


def _with(example: dict[str, Any], responses: list[int]) -> dict[str, Any]:
    kept = {name: [example[name][one] for one in responses] for name in _PER_RESPONSE if name in example}
    return {**example, **kept}


def batches_of(batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each batch that goes forward by itself, of a batch of any collator."""
    for forward in batch.get("forwards", [batch]):
        yield from forward.get("parts", [forward])


def groups_of(batch: dict[str, Any]) -> list[Groups]:
    """Return the groups of a batch of any collator, forward by forward.

    Raises:
        TypeError: If the batch is of a collator that does not say which responses are compared.
    """
    try:
        return [forward["groups"] for forward in batch.get("forwards", [batch])]
    except KeyError:
        raise TypeError(
            f"`data_collator` returned a batch of {sorted(batch)} without `groups`: which responses are compared. "
            "Leave `data_collator` out, or extend `rrtf_trl.training.RankedCollator`."
        ) from None


def join(parts: list[ScoredResponses], forward: dict[str, Any]) -> ScoredResponses:
    """Return the responses of a group that was scored in parts, in the order of its row.

    Args:
        parts: The scores of each part.
        forward: What :class:`ForwardsCollator` returned for the group.
    """

    def together(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])[forward["order"]]

    return ScoredResponses(
        token_logps=together("token_logps"),
        responses=forward["responses"],
        top1=together("top1"),
        entropy=together("entropy"),
        groups=forward["groups"],
        aux_loss=_mean_aux_loss(parts),
    )


def _mean_aux_loss(parts: list[ScoredResponses]) -> Tensor | None:
    """Return the parts' load-balancing losses, weighted by their tokens; it is over the tokens of one forward."""
    tokens = [part.groups.tokens for part in parts]
    losses = [part.aux_loss for part in parts]
    if any(loss is None for loss in losses):
        return None
    weighted = [loss * count / sum(tokens) for loss, count in zip(losses, tokens, strict=True) if loss is not None]
    return torch.stack(weighted).sum()


def add_gradients(forward: dict[str, Any], gradients: Tensor, share: Tensor | float) -> None:
    """Give each part of a group the gradient of the loss with respect to its own tokens.

    Args:
        forward: What :class:`ForwardsCollator` returned for the group.
        gradients: float32 `[T]`, in the order of the row.
        share: The weight of the group in the step, which its load-balancing loss has too.
    """
    parts = forward["parts"]
    in_parts = torch.empty_like(gradients).index_copy(0, forward["order"], gradients)
    tokens = sum(part["groups"].tokens for part in parts)
    counts = [int(part["groups"].scored.sum()) for part in parts]
    for part, of_part in zip(parts, torch.split(in_parts, counts), strict=True):
        part["token_gradients"] = of_part
        part["aux_share"] = share * part["groups"].tokens / tokens


def without_gradients(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return a batch whose backward adds nothing, for a process that waits for others with more forwards."""
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

"""Batches in forwards of a limited number of tokens; :mod:`~rrtf_trl.training.steps` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import torch
from torch import Tensor

from .data import RankedCollator, loss_columns, with_responses
from .groups import Groups
from .packing import PackedCollator
from .scoring import ScoredResponses

Examples = list[dict[str, Any]]


class ForwardsCollator:
    """Collates rows to forwards of at most ``max_tokens`` tokens each.

    Returns ``{"forwards": [...]}``, in which each is a batch of ``collator`` with whole groups, or, for a group that
    is larger, a dict with:

    - ``parts``: batches of ``collator`` with some of the group's responses each;
    - ``order`` int `[T]`: which of the parts' scored tokens, one part after the other, is the first of the first
      response, and so on in the order of the row;
    - ``responses`` int `[T]`: the response of each of them;
    - ``groups`` of the whole group, and its :func:`~rrtf_trl.training.data.loss_columns`.

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
        self._of_parts = copy(collator)  # one that extends these may have another constructor
        self._of_parts.needs = ()

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
        parts = [self._of_parts([with_responses(example, responses)]) for responses in chosen]
        order = torch.tensor([response for responses in chosen for response in responses])
        scored = torch.cat([part["groups"].scored for part in parts])
        responses = order.repeat_interleave(scored)
        whole = Groups([example], scored[order.argsort()], sum(part["groups"].tokens for part in parts))
        whole.numbers = [number]
        ordered, places = responses.sort(stable=True)
        columns = loss_columns([example], self.collator.needs)
        return {"parts": parts, "order": places, "responses": ordered, "groups": whole, **columns}

    def _split(self, example: dict[str, Any]) -> Iterator[list[int]]:
        part: list[int] = []
        for response in self.collator.in_order(example):
            if part and self._tokens(with_responses(example, [*part, response])) > self.max_tokens:
                yield part
                part = []
            part.append(response)
        yield part

    def _tokens(self, example: dict[str, Any]) -> int:
        return self.collator.tokens([self.collator.size(example)])


def in_forwards(collator: Any, max_tokens: int, *, with_logits: bool) -> ForwardsCollator:
    """Return the collator of a trainer with ``max_tokens_per_forward``.

    Args:
        collator: Its collator without this.
        max_tokens: The limit.
        with_logits: Whether the logits of whole batches are needed, for ``compute_metrics``.

    Raises:
        ValueError: If its batches cannot be divided.
    """
    if not isinstance(collator, RankedCollator | PackedCollator):
        raise ValueError(
            f"`max_tokens_per_forward` cannot divide the batches of {type(collator).__name__}: how long rows with "
            "images are, or those of a collator of your own, is not known before. Leave it out, and lower "
            "`per_device_train_batch_size`, `max_length` or `max_responses`."
        )
    if with_logits:
        raise ValueError(
            "`compute_metrics` needs the logits of whole batches, which `max_tokens_per_forward` divides. Leave one "
            "of the two out."
        )
    return ForwardsCollator(collator, max_tokens)


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

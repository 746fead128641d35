"""What a loss gets and returns: :class:`LossInputs` and :class:`LossOutput`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ..groups import Groups
from .prefix_tree import PrefixTree


class LossOptions(Protocol):
    """The options that losses read, of :class:`~rrtf_trl.training.config.RRTFConfig`."""

    loss_type: str
    rank_weight: float
    sft_weight: float
    sft_reduction: str
    sft_responses: str
    sft_min_score: float | None
    pairs: str
    rank_min_score: float | None
    pair_reduction: str
    score_weighting: bool
    length_normalization: bool


@dataclass(frozen=True)
class LossInputs:
    """The N responses of a batch of G groups, with their T scored tokens: those of response 0 first, then of 1, ...

    Args:
        token_logps: float32 `[T]`, the policy's log-probability of each token, with its graph.
        responses: int64 `[T]`, the response of each token, ascending. A response may have no scored token.
        lengths: int `[N]`, the number of scored tokens of each response, at least 1.
        scores: float32 or float64 `[N]`, larger is better.
        group_ids: int `[N]`, the group of each response, ascending from 0 to G − 1.
        groups: G.
        from_teacher: bool `[N]`, True for responses that are not the student's own.
        entropy: float `[T]`, the entropy of the policy where it predicts each token, in nats, without graph.
        reference_logps: float `[T]`, the log-probabilities of the policy as it was before training.
        sampling_logps: float `[T]`, the log-probabilities that were recorded when the responses were drawn; NaN where
            none were.
        tree: Which tokens the responses of a group share.
        top1: float `[T]`, 1 where the token is the policy's most likely one, without graph; for the metrics.
        on_host: The responses in the memory of the host, by which :func:`~rrtf_trl.training.losses.pairs_of` and
            imitation choose without waiting for the device.
    """

    token_logps: Tensor
    responses: Tensor
    lengths: Tensor
    scores: Tensor
    group_ids: Tensor
    groups: int
    from_teacher: Tensor
    entropy: Tensor | None = None
    reference_logps: Tensor | None = None
    sampling_logps: Tensor | None = None
    tree: PrefixTree | None = None
    top1: Tensor | None = None
    on_host: Groups | None = None

    @classmethod
    def of_sums(
        cls, logps: Tensor, lengths: Tensor, scores: Tensor, group_ids: Tensor, from_teacher: Tensor | None = None
    ) -> LossInputs:
        """Return the inputs of a loss that reads no more of tokens than their sums, float `[N]`."""
        return cls(
            token_logps=logps,
            responses=torch.arange(len(logps), device=logps.device),
            lengths=lengths,
            scores=scores,
            group_ids=group_ids,
            groups=int(group_ids[-1]) + 1,
            from_teacher=torch.zeros_like(group_ids, dtype=torch.bool) if from_teacher is None else from_teacher,
        )

    def columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``scores``, ``group_ids`` and ``from_teacher``, on the host where they are there."""
        if self.on_host is None:
            return self.scores, self.group_ids, self.from_teacher
        return self.on_host.scores, self.on_host.ids, self.on_host.from_teacher

    @property
    def logps(self) -> Tensor:
        """Float `[N]`: the log-probability of each response, the sum of its tokens' ones."""
        return self.response_sums(self.token_logps)

    def response_sums(self, values: Tensor) -> Tensor:
        """Return float `[N]`: the sum over each response's tokens of float `[T]`."""
        return values.new_zeros(len(self.lengths)).index_add(0, self.responses, values)

    def group_sums(self, values: Tensor) -> Tensor:
        """Return float `[G]`: the sum over each group's responses of float `[N]`."""
        return sum_by_group(values, self.group_ids, self.groups)

    def group_means(self, values: Tensor) -> Tensor:
        """Return float `[G]`: the mean over each group's responses of float `[N]`."""
        return self.group_sums(values) / self.group_sums(torch.ones_like(values))

    def first_groups(self, groups: int) -> LossInputs:
        """Return the inputs of the first ``groups`` groups alone."""
        kept = self.group_ids < groups
        tokens = kept[self.responses]
        per_token = ("token_logps", "responses", "entropy", "reference_logps", "sampling_logps", "top1")
        per_response = ("lengths", "scores", "group_ids", "from_teacher")
        parts = {name: (getattr(self, name), tokens) for name in per_token}
        parts |= {name: (getattr(self, name), kept) for name in per_response}
        return replace(
            self,
            **{name: values[chosen] for name, (values, chosen) in parts.items() if values is not None},
            groups=min(groups, self.groups),
            tree=self.tree and self.tree.first_groups(groups, kept, tokens),
            on_host=self.on_host and self.on_host.first(min(groups, self.groups)),
        )


@dataclass
class LossOutput:
    """The terms of a loss on a batch of G groups with P ordered pairs in all.

    The trainer weights them by ``rank_weight`` and ``sft_weight``, and averages over groups.

    Args:
        rank_loss: float `[G]`, the ranking term of each group; 0 where a group has no pair.
        sft_loss: float `[G]`, the imitation term of each group; 0 where nothing is imitated.
        margins: float `[P]`, p_better − p_worse of each pair, without gradient; for the metrics.
        metrics: What else to log, by name: float `[...]`, the values to average over, without gradient.
    """

    rank_loss: Tensor
    sft_loss: Tensor
    margins: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


# -- Marking a loss that sees tokens ---------------------------------------------------------------------

NEEDS = {
    "reference_logps": "the log-probabilities of the policy before training. RRTFTrainer computes them where a loss "
    "needs them: leave `data_collator` out",
    "sampling_logps": "the log-probabilities that were recorded when the responses were drawn, which the data set "
    "lacks. Sample with `logprobs=true`",
    "tree": "the tokens that responses share. RRTFTrainer finds them where a loss needs them: leave `data_collator` "
    "out",
    "entropy": "the entropy of each token, which RRTFTrainer computes",
}
"""What a loss may need, and what to do where it is missing."""

_MARK = "__rrtf_token_loss__"
_Function = TypeVar("_Function", bound=Callable[..., LossOutput])


@dataclass(frozen=True)
class Requirements:
    """What a loss that sees tokens needs, see :func:`token_loss`."""

    needs: tuple[str, ...]
    passing_score: bool


def token_loss(*, needs: Collection[str] = (), passing_score: bool = False) -> Callable[[_Function], _Function]:
    """Mark a loss that sees tokens: ``(inputs, config, **options) -> LossOutput``.

    It gets :class:`LossInputs` and the config. Its own options are keyword-only parameters, which ``loss_kwargs``
    sets; each has a default, or must be set.

    Args:
        needs: Which of ``reference_logps``, ``sampling_logps``, ``tree`` and ``entropy`` it reads: these are not
            ``None`` then.
        passing_score: Whether it must be known which score passes, see :func:`passing_score`.

    Raises:
        ValueError: If there is no such need.
    """
    unknown = sorted(set(needs) - set(NEEDS))
    if unknown:
        raise ValueError(f"A loss can need {', '.join(NEEDS)}, not {', '.join(unknown)}.")

    def mark(function: _Function) -> _Function:
        setattr(function, _MARK, Requirements(tuple(needs), passing_score))
        return function

    return mark


def requirements(loss: Callable[..., Any]) -> Requirements | None:
    """Return what a loss needs, or ``None`` if it does not see tokens."""
    found: Requirements | None = getattr(loss, _MARK, None)
    return found


# -- Which responses pass --------------------------------------------------------------------------------


def passing_score(config: LossOptions) -> float | None:
    """Return the least score of a response that passes: ``rank_min_score``, else ``sft_min_score``, else ``None``.

    ``-inf`` is for the use of any response, and does not say which ones pass.
    """
    known = [score for score in (config.rank_min_score, config.sft_min_score) if score not in (None, -torch.inf)]
    return known[0] if known else None


def rewards(inputs: LossInputs, config: LossOptions) -> Tensor:
    """Return float `[N]`: 1 for responses that pass and 0 for others; if it is not known which do, their scores."""
    least = passing_score(config)
    values = inputs.scores if least is None else inputs.scores >= least
    return values.to(inputs.token_logps.dtype)


def sum_by_group(values: Tensor, group_ids: Tensor, groups: int) -> Tensor:
    """Return float `[G]`: the sums by group of float `[N]`, whose groups are int `[N]`."""
    return values.new_zeros(groups).index_add(0, group_ids, values)

"""The losses that align a policy with ranked responses.

With p_i the length-normalised log-probability of response i and r_i its score, RRTF (PanGu-Coder2,
arXiv 2307.14936) trains on::

    p_i    = (1/|y_i|) · Σ_t log P(y_i,t | x, y_i,<t)
    L_rank = − Σ_{r_i > r_j} (r_i − r_j) · min(0, p_i − p_j)
    L_ft   = − Σ_t log P(y_best,t | x, y_best,<t)
    L      = L_rank + L_ft

RRHF (arXiv 2304.05302) has weight 1 in place of (r_i − r_j). Which pairs enter the sum, and whether pairs and
tokens are summed as in the paper or averaged, are options of :class:`~rrtf_trl.training.config.RRTFConfig`: summed
over the 28 pairs of 8 responses, the ranking term dominates the other one and flattens the policy.

Another loss is a function with the parameters of :func:`rrtf_loss`, which a plugin registers by the hook
``rrtf_losses``; ``loss_type`` selects it by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from rrtf_trl import registry


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


Loss: TypeAlias = "Callable[..., LossOutput]"
"""``(logps, lengths, scores, group_ids, config) -> LossOutput``, with the arguments of :func:`rrtf_loss`; a loss that
has a parameter ``from_teacher`` is called with that too."""


@dataclass
class LossOutput:
    """The terms of a loss on a batch of G groups with P ordered pairs in all.

    The trainer weights them by ``rank_weight`` and ``sft_weight``, and averages over groups.

    Args:
        rank_loss: float `[G]`, the ranking term of each group; 0 where a group has no pair.
        sft_loss: float `[G]`, the imitation term of each group; 0 where nothing is imitated.
        margins: float `[P]`, p_better − p_worse of each pair, without gradient; for the metrics.
    """

    rank_loss: Tensor
    sft_loss: Tensor
    margins: Tensor


# -- Losses by name --------------------------------------------------------------------------------------


def find_loss(name: str) -> Loss:
    """Return the built-in or registered loss of a ``loss_type``.

    Raises:
        KeyError: If there is no loss of this name.
        TypeError: If a plugin's function does not have the parameters of a loss.
    """
    loss: Loss = registry.find("loss", name)
    try:
        inspect.signature(loss).bind(*[None] * 5, **dict.fromkeys(_extras(loss)))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"The loss {name!r} cannot be called as (logps, lengths, scores, group_ids, config): {error}."
        ) from error
    return loss


def batch_loss(
    logps: Tensor,
    lengths: Tensor,
    scores: Tensor,
    group_ids: Tensor,
    config: LossOptions,
    *,
    from_teacher: Tensor | None = None,
) -> LossOutput:
    """Return the loss of ``config.loss_type`` on a batch; the arguments are those of :func:`rrtf_loss`.

    Raises:
        ValueError: If a registered loss does not return one value per group for each term.
    """
    loss = find_loss(config.loss_type)
    extras = {"from_teacher": from_teacher} if _extras(loss) else {}
    if config.loss_type not in ("rrtf", "rrhf"):  # one may add them to what it makes of the log-probabilities
        scores = scores.to(logps.dtype)
    output = loss(logps, lengths, scores, group_ids, config, **extras)
    groups = int(group_ids[-1]) + 1
    for term in ("rank_loss", "sft_loss"):
        shape = tuple(getattr(output, term).shape)
        if shape != (groups,):
            raise ValueError(
                f"The loss {config.loss_type!r} returned `{term}` of shape {shape} for {groups} groups; it must have "
                f"one value per group, shape ({groups},)."
            )
    return output


def _extras(loss: Loss) -> list[str]:
    return [name for name in ("from_teacher",) if name in inspect.signature(loss).parameters]


def least_score(config: LossOptions) -> float | None:
    """Return the score that a group's best response must have for the group to add to the loss; ``None`` for any.

    For a registered loss this is not known: ``None``.
    """
    if config.loss_type not in ("rrtf", "rrhf"):
        return None
    terms = ((config.rank_weight, config.rank_min_score), (config.sft_weight, config.sft_min_score))
    needed = [min_score for weight, min_score in terms if weight > 0]
    return None if None in needed else min(score for score in needed if score is not None)


# -- RRTF and RRHF ---------------------------------------------------------------------------------------


def rrtf_loss(
    logps: Tensor,
    lengths: Tensor,
    scores: Tensor,
    group_ids: Tensor,
    config: LossOptions,
    *,
    from_teacher: Tensor | None = None,
) -> LossOutput:
    """The RRTF loss (arXiv 2307.14936, section 3.3), and RRHF's with ``config.loss_type == "rrhf"``.

    Args:
        logps: float `[N]`, the sum of each response's token log-probabilities.
        lengths: int or float `[N]`, the number of tokens in each response, at least 1.
        scores: float `[N]`, larger is better; equal scores do not form a pair. In float64 for the built-in losses,
            which compare them so; a registered loss gets them in the dtype of ``logps``.
        group_ids: int `[N]`, the group of each response, ascending from 0 to G − 1.
        config: Reads ``loss_type``, ``pairs``, ``rank_min_score``, ``pair_reduction``, ``score_weighting``,
            ``length_normalization``, ``sft_reduction``, ``sft_responses`` and ``sft_min_score``.
        from_teacher: bool `[N]`, True for responses that are not the student's own; needed by
            ``pairs="teacher_student"``, and preferred among equal scores for imitation.
    """
    groups = int(group_ids[-1]) + 1
    if from_teacher is None:
        from_teacher = torch.zeros_like(group_ids, dtype=torch.bool)
    values = logps / lengths if config.length_normalization else logps

    better, worse = ordered_pairs(scores, group_ids, config.pairs, from_teacher, config.rank_min_score)
    margins = values[better] - values[worse]
    hinge = -margins.clamp(max=0) * pair_weights(scores, better, worse, config).to(margins.dtype)
    rank_loss = _sum_by_group(hinge, group_ids[better], groups)
    if config.pair_reduction == "mean":
        pairs = _sum_by_group(torch.ones_like(hinge), group_ids[better], groups)
        rank_loss = rank_loss / pairs.clamp(min=1)

    sft_loss = imitation_loss(logps, lengths, scores, group_ids, config, from_teacher=from_teacher)
    return LossOutput(rank_loss=rank_loss, sft_loss=sft_loss, margins=margins.detach())


def imitation_loss(
    logps: Tensor,
    lengths: Tensor,
    scores: Tensor,
    group_ids: Tensor,
    config: LossOptions,
    *,
    from_teacher: Tensor | None = None,
) -> Tensor:
    """Return float `[G]`: L_ft, the negative log-likelihood of each group's imitated response, or their mean.

    The arguments are those of :func:`rrtf_loss`; of ``config``, ``sft_reduction``, ``sft_responses`` and
    ``sft_min_score`` are read.
    """
    imitated = imitated_responses(scores, group_ids, config, from_teacher).nonzero()[:, 0]
    nll, groups = -logps[imitated], int(group_ids[-1]) + 1
    if config.sft_reduction == "mean":
        nll = nll / lengths[imitated]
    counts = _sum_by_group(torch.ones_like(nll), group_ids[imitated], groups)
    return _sum_by_group(nll, group_ids[imitated], groups) / counts.clamp(min=1)


def imitated_responses(
    scores: Tensor, group_ids: Tensor, config: LossOptions, from_teacher: Tensor | None = None
) -> Tensor:
    """Return bool `[N]`: which responses are imitated.

    Args:
        scores: float `[N]`.
        group_ids: int `[N]`, in ascending order.
        config: Reads ``sft_responses`` and ``sft_min_score``.
        from_teacher: bool `[N]`, True is preferred among equal scores.
    """
    if config.sft_responses == "best":
        if from_teacher is None:
            from_teacher = torch.zeros_like(group_ids, dtype=torch.bool)
        imitated = torch.zeros_like(group_ids, dtype=torch.bool)
        imitated[best_responses(scores, group_ids, from_teacher)] = True
    else:
        imitated = torch.ones_like(group_ids, dtype=torch.bool)
    if config.sft_min_score is not None:
        imitated = imitated & (scores >= config.sft_min_score)
    return imitated


def ordered_pairs(
    scores: Tensor,
    group_ids: Tensor,
    pairs: str,
    from_teacher: Tensor | None = None,
    min_score: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the pairs of responses that the ranking term compares.

    Args:
        scores: float `[N]`.
        group_ids: int `[N]`.
        pairs: ``all``: every two responses of a group with different scores. ``best_vs_rest``: the
            best-scored responses of a group against every lower one. ``teacher_student``: a teacher's
            response against every lower-scored one of the student, as in the paper.
        from_teacher: bool `[N]`, needed by ``teacher_student``.
        min_score: The minimal score of a better response; ``None`` for any.

    Returns:
        Two int tensors `[P]`: the indices of the better and of the worse response of each pair.
    """
    chosen = (group_ids[:, None] == group_ids[None, :]) & (scores[:, None] > scores[None, :])
    if pairs == "best_vs_rest":
        top = torch.full_like(scores, -torch.inf).scatter_reduce(0, group_ids, scores, "amax")
        chosen &= (scores == top[group_ids])[:, None]
    elif pairs == "teacher_student":
        if from_teacher is None:
            raise ValueError('pairs="teacher_student" needs `from_teacher`, which marks the responses of the teacher.')
        chosen &= from_teacher[:, None] & ~from_teacher[None, :]
    if min_score is not None:
        chosen &= (scores >= min_score)[:, None]
    better, worse = chosen.nonzero(as_tuple=True)
    return better, worse


def pair_weights(scores: Tensor, better: Tensor, worse: Tensor, config: LossOptions) -> Tensor:
    """Return float `[P]`: the weight of each pair, its difference in scores, or 1 (RRHF, or ``score_weighting`` off).

    Args:
        scores: float `[N]`.
        better: int `[P]`, indices of the better responses.
        worse: int `[P]`, indices of the worse responses.
        config: Reads ``loss_type`` and ``score_weighting``.
    """
    difference = scores[better] - scores[worse]
    weighted = config.score_weighting and config.loss_type == "rrtf"
    return difference if weighted else torch.ones_like(difference)


def best_responses(scores: Tensor, group_ids: Tensor, from_teacher: Tensor) -> Tensor:
    """Return int `[G]`: each group's best-scored response; among equal scores a teacher's, then the first.

    Args:
        scores: float `[N]`.
        group_ids: int `[N]`, in ascending order, every group from 0 to G − 1 present.
        from_teacher: bool `[N]`.
    """
    position = torch.arange(len(scores), device=scores.device)
    # Stable sorts, least important key first: the first of each group is the result.
    order = position[torch.argsort((~from_teacher).int(), stable=True)]
    order = order[torch.argsort(-scores[order], stable=True)]
    order = order[torch.argsort(group_ids[order], stable=True)]
    starts = torch.cat([torch.ones(1, dtype=torch.bool, device=order.device), group_ids[order].diff() != 0])
    return order[starts]


def _sum_by_group(values: Tensor, group_ids: Tensor, groups: int) -> Tensor:
    return values.new_zeros(groups).index_add(0, group_ids, values)

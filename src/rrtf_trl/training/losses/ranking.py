"""RRTF and RRHF, and what other losses have of them: pairs and imitation.

With p_i the length-normalised log-probability of response i and r_i its score, RRTF (PanGu-Coder2,
arXiv 2307.14936) trains on::

    p_i    = (1/|y_i|) · Σ_t log P(y_i,t | x, y_i,<t)
    L_rank = − Σ_{r_i > r_j} (r_i − r_j) · min(0, p_i − p_j)
    L_ft   = − Σ_t log P(y_best,t | x, y_best,<t)
    L      = L_rank + L_ft

RRHF (arXiv 2304.05302) has weight 1 in place of (r_i − r_j). Which pairs enter the sum, and whether pairs and
tokens are summed as in the paper or averaged, are options of :class:`~rrtf_trl.training.config.RRTFConfig`: summed
over the 28 pairs of 8 responses, the ranking term dominates the other one and flattens the policy.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .contract import LossInputs, LossOptions, LossOutput, sum_by_group, token_loss


@token_loss()
def ranking_loss(inputs: LossInputs, config: LossOptions) -> LossOutput:
    """The RRTF loss (arXiv 2307.14936, section 3.3), and RRHF's with ``config.loss_type == "rrhf"``.

    Args:
        inputs: The batch.
        config: Reads ``loss_type``, ``pairs``, ``rank_min_score``, ``pair_reduction``, ``score_weighting``,
            ``length_normalization``, ``sft_reduction``, ``sft_responses`` and ``sft_min_score``.
    """
    values = inputs.logps / inputs.lengths if config.length_normalization else inputs.logps
    pairs = pairs_of(inputs, config)
    margins = values[pairs.better] - values[pairs.worse]
    weighted = config.score_weighting and config.loss_type == "rrtf"
    hinge = -margins.clamp(max=0) * (pairs.differences if weighted else 1)
    rank_loss = reduce_pairs(hinge, pairs.groups, inputs.groups, config)
    return LossOutput(rank_loss, _imitation(inputs, config), margins.detach())


def rrtf_loss(
    logps: Tensor,
    lengths: Tensor,
    scores: Tensor,
    group_ids: Tensor,
    config: LossOptions,
    *,
    from_teacher: Tensor | None = None,
) -> LossOutput:
    """Return :func:`ranking_loss` of sums of log-probabilities.

    Args:
        logps: float `[N]`, the sum of each response's token log-probabilities.
        lengths: int or float `[N]`, the number of tokens in each response, at least 1.
        scores: float `[N]`, larger is better; equal scores do not form a pair.
        group_ids: int `[N]`, the group of each response, ascending from 0 to G − 1.
        config: As for :func:`ranking_loss`.
        from_teacher: bool `[N]`, True for responses that are not the student's own; needed by
            ``pairs="teacher_student"``, and preferred among equal scores for imitation.
    """
    return ranking_loss(LossInputs.of_sums(logps, lengths, scores, group_ids, from_teacher), config)


def reduce_pairs(terms: Tensor, pair_groups: Tensor, groups: int, config: LossOptions) -> Tensor:
    """Return float `[G]`: the sum or mean over each group's pairs of float `[P]`, as ``config.pair_reduction`` says.

    ``pair_groups``, int `[P]`, are the groups of the pairs; the mean over none is 0.
    """
    total = sum_by_group(terms, pair_groups, groups)
    if config.pair_reduction == "mean":
        total = total / sum_by_group(torch.ones_like(terms), pair_groups, groups).clamp(min=1)
    return total


def with_imitation(
    rank_loss: Tensor, inputs: LossInputs, config: LossOptions, metrics: dict[str, Tensor] | None = None
) -> LossOutput:
    """Return a loss with the imitation of RRTF, and with its margins.

    Args:
        rank_loss: float `[G]`, the ranking term.
        inputs: The batch.
        config: As :func:`imitation_loss` reads it; ``pairs``, ``rank_min_score`` and ``length_normalization`` for the
            margins.
        metrics: What else to log.
    """
    logps = inputs.logps
    values = (logps / inputs.lengths if config.length_normalization else logps).detach()
    pairs = pairs_of(inputs, config)
    return LossOutput(rank_loss, _imitation(inputs, config), values[pairs.better] - values[pairs.worse], metrics or {})


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
    return _imitation(LossInputs.of_sums(logps, lengths, scores, group_ids, from_teacher), config)


def _imitation(inputs: LossInputs, config: LossOptions) -> Tensor:
    scores, group_ids, from_teacher = inputs.columns()
    chosen = imitated_responses(scores, group_ids, config, from_teacher).nonzero()[:, 0]
    device = inputs.token_logps.device
    imitated, groups = (indices.to(device, non_blocking=True) for indices in (chosen, group_ids[chosen]))
    nll = -inputs.logps[imitated]
    if config.sft_reduction == "mean":
        nll = nll / inputs.lengths[imitated]
    counts = sum_by_group(torch.ones_like(nll), groups, inputs.groups)
    return sum_by_group(nll, groups, inputs.groups) / counts.clamp(min=1)


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


class Pairs(NamedTuple):
    """The P ordered pairs of a batch, on the device.

    Args:
        better: int `[P]`, the better response of each pair.
        worse: int `[P]`, the worse one.
        groups: int `[P]`, their group.
        differences: float `[P]`, the difference of their scores, of the type of the log-probabilities.
    """

    better: Tensor
    worse: Tensor
    groups: Tensor
    differences: Tensor


def pairs_of(inputs: LossInputs, config: LossOptions) -> Pairs:
    """Return the :func:`ordered_pairs` of a batch, as ``config.pairs`` and ``config.rank_min_score`` choose them."""
    scores, group_ids, from_teacher = inputs.columns()
    better, worse = ordered_pairs(scores, group_ids, config.pairs, from_teacher, config.rank_min_score)
    differences = (scores[better] - scores[worse]).to(inputs.token_logps.dtype)
    device = inputs.token_logps.device
    return Pairs(*(one.to(device, non_blocking=True) for one in (better, worse, group_ids[better], differences)))


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

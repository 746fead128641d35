"""Losses of a whole ranking, or of its pairs, from preference learning.

In all of them r_i is the score of response i, and only responses of at least ``rank_min_score`` are ranked above
others. Each adds the imitation of RRTF. The reference is the policy as it was before training.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from .contract import LossInputs, LossOptions, LossOutput, token_loss
from .ranking import pairs_of, reduce_pairs, with_imitation


@token_loss()
def list_mle_loss(inputs: LossInputs, config: LossOptions) -> LossOutput:
    """ListMLE (Xia et al., ICML 2008; for language models in LiPO, arXiv 2402.01878).

    The negative log-likelihood of the ranking under Plackett and Luce's model of the values v_i::

        v_i = (1/|y_i|) · log π(y_i | x)
        L   = Σ_i log(exp v_i + Σ_{r_j < r_i} exp v_j) − v_i

    Equal scores, of which the model has no order, leave each other out: each is drawn against the lower ones alone.
    With ``length_normalization=False``, v_i = log π(y_i | x).
    """
    logps = inputs.logps
    values = logps / inputs.lengths if config.length_normalization else logps
    return with_imitation(_plackett_luce(values, inputs, config), inputs, config)


@token_loss(needs=("reference_logps",))
def dpo_pl_loss(inputs: LossInputs, config: LossOptions, *, beta: float = 0.1) -> LossOutput:
    """DPO of k responses under Plackett and Luce's model (arXiv 2305.18290, appendix A.3).

    The loss of :func:`list_mle_loss` with v_i = β · log(π(y_i | x) / π_ref(y_i | x)). With two responses it is the
    ``sigmoid`` loss of TRL's DPOTrainer. Log-probabilities are sums whatever ``length_normalization`` says. The model
    ranks k responses without ties: equal scores leave each other out, as in :func:`list_mle_loss`.

    Args:
        inputs: The batch.
        config: Reads ``rank_min_score`` and the options of imitation.
        beta: β, the pull towards the reference.
    """
    return with_imitation(_plackett_luce(_implicit_rewards(inputs, beta), inputs, config), inputs, config)


@token_loss(needs=("reference_logps",))
def lipo_loss(inputs: LossInputs, config: LossOptions, *, beta: float = 0.05) -> LossOutput:
    """LiPO-λ (arXiv 2402.01878): pairs weighted by what their exchange would do to the DCG of the policy's ranking.

    With s_i = β · log(π(y_i | x) / π_ref(y_i | x)) and τ(i) the rank of s_i in the group, 1 for the highest::

        L       = Σ_{r_i > r_j} Δ_ij · log(1 + exp(−(s_i − s_j)))
        Δ_ij    = |2^r_i − 2^r_j| · |1 / log(1 + τ(i)) − 1 / log(1 + τ(j))|

    The weights carry no gradient. Equal s_i, as all are before the first step, rank in the order of the responses. The
    paper's scores are win rates, from 0 to 1; scores of another scale change the weights. Its sum over pairs is
    ``pair_reduction="sum"``. Log-probabilities are sums whatever ``length_normalization`` says.

    Args:
        inputs: The batch.
        config: Reads ``pairs``, ``rank_min_score``, ``pair_reduction`` and the options of imitation.
        beta: β, the pull towards the reference.
    """
    values = _implicit_rewards(inputs, beta)
    better, worse, groups, _ = pairs_of(inputs, config)
    gains = torch.exp2(inputs.scores)
    discounts = 1 / torch.log1p(_ranks(values.detach(), inputs.group_ids).to(values.dtype))
    weights = (gains[better] - gains[worse]).abs().to(values.dtype) * (discounts[better] - discounts[worse]).abs()
    terms = weights * softplus(values[worse] - values[better])
    return with_imitation(reduce_pairs(terms, groups, inputs.groups, config), inputs, config)


@token_loss()
def simpo_loss(inputs: LossInputs, config: LossOptions, *, beta: float = 2.0, gamma: float = 1.0) -> LossOutput:
    """SimPO (arXiv 2405.14734) on the pairs of a group, without a reference.

    ::

        L = − Σ_{r_i > r_j} log σ(β · p_i − β · p_j − γ),   p_i = (1/|y_i|) · log π(y_i | x)

    Two responses give the ``simpo`` loss of TRL's CPOTrainer, whose γ is ``simpo_gamma``. Log-probabilities are means
    whatever ``length_normalization`` says.

    Args:
        inputs: The batch.
        config: Reads ``pairs``, ``rank_min_score``, ``pair_reduction`` and the options of imitation.
        beta: β, the scale of the rewards.
        gamma: γ, the margin between them.
    """
    values = inputs.logps / inputs.lengths
    better, worse, groups, _ = pairs_of(inputs, config)
    terms = -logsigmoid(beta * (values[better] - values[worse]) - gamma)
    return with_imitation(reduce_pairs(terms, groups, inputs.groups, config), inputs, config)


def _implicit_rewards(inputs: LossInputs, beta: float) -> Tensor:
    """Return float `[N]`: β · log(π / π_ref) of each response."""
    assert inputs.reference_logps is not None, "the loss needs it"
    return beta * inputs.response_sums(inputs.token_logps - inputs.reference_logps)


def _plackett_luce(values: Tensor, inputs: LossInputs, config: LossOptions) -> Tensor:
    """Return float `[G]`: the negative log-likelihood of each group's ranking, for float `[N]` values."""
    scores, group_ids = inputs.scores, inputs.group_ids
    drawn_from = (group_ids[:, None] == group_ids) & (scores[:, None] > scores)
    drawn_from.fill_diagonal_(True)
    nll = values.expand(len(values), -1).masked_fill(~drawn_from, -torch.inf).logsumexp(dim=1) - values
    if config.rank_min_score is not None:
        nll = torch.where(scores >= config.rank_min_score, nll, 0)
    return inputs.group_sums(nll)


def _ranks(values: Tensor, group_ids: Tensor) -> Tensor:
    """Return int `[N]`: the rank of each value in its group, from 1 for the highest; the first of equals is higher."""
    position = torch.arange(len(values), device=values.device)
    above = (values[:, None] < values) | ((values[:, None] == values) & (position[:, None] > position))
    return 1 + ((group_ids[:, None] == group_ids) & above).sum(dim=1)

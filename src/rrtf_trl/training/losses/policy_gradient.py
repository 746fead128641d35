"""Losses of reinforcement learning that need no new responses: off-policy, from which responses pass.

A response passes with a score of at least ``rank_min_score``, or ``sft_min_score`` where that is not set. The K
responses of a group are averaged over. The papers sum over the tokens of a response, which is
``length_normalization=False``; by default a response's sum is divided by its length |y|, which keeps the term on the
scale of the imitation that each loss adds, as RRTF does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .contract import LossInputs, LossOptions, LossOutput, rewards, token_loss
from .ranking import with_imitation

_MAX_LOG_RATIO = 10.0


@token_loss()
def asymre_loss(inputs: LossInputs, config: LossOptions, *, delta: float = -0.1) -> LossOutput:
    """AsymRE, asymmetric REINFORCE (arXiv 2506.20520).

    ::

        L = − (1/K) Σ_i (R_i − V) · log π(y_i | x),   V = mean of the group's R + δ

    R is 1 for a response that passes and 0 for another; where it is not known which do, its score. With δ < 0 what
    passes counts more than what fails; the paper shows that δ ≥ 0 can collapse on responses of another policy. A group
    of equal rewards is imitated with weight −δ, even if all of it fails. The form of V, and δ = −0.1, are those of
    Trinity-RFT's ``asymre`` advantage.

    Args:
        inputs: The batch.
        config: Reads ``rank_min_score``, ``sft_min_score``, ``length_normalization`` and the options of imitation.
        delta: δ, in units of the reward.
    """
    reward = rewards(inputs, config)
    baseline = inputs.group_means(reward) + delta
    terms = (baseline[inputs.group_ids] - reward) * _per_response(inputs.token_logps, inputs, config)
    return with_imitation(inputs.group_means(terms), inputs, config)


@token_loss(needs=("sampling_logps",), passing_score=True)
def topr_loss(inputs: LossInputs, config: LossOptions, *, baseline: float = 0.0) -> LossOutput:
    """TOPR, tapered off-policy REINFORCE (arXiv 2503.14286).

    ::

        L = − (1/K) Σ_i α_i · (R_i − c) · log π(y_i | x)
        α_i = 1 where R_i − c ≥ 0, else min(1, π(y_i | x) / μ(y_i | x)), without gradient

    R is 1 for a response that passes and −1 for another, and μ the policy that drew it. A failing response is pushed
    away less the unlikelier it has become. Where μ was not recorded, as for teachers, α of a failing response is not
    known, and it adds nothing. Metric ``taper``: the mean α of the failing responses with a recorded μ; near 0 nothing
    is learned from them.

    Args:
        inputs: The batch.
        config: Reads ``rank_min_score``, ``sft_min_score``, ``length_normalization`` and the options of imitation.
        baseline: c, between −1 and 1: above 0 failing responses count more, below 0 those that pass.
    """
    assert inputs.sampling_logps is not None, "the loss needs it"
    reward = 2 * rewards(inputs, config) - 1 - baseline
    log_ratio = inputs.response_sums((inputs.token_logps - inputs.sampling_logps).detach())
    taper = torch.where(log_ratio.isnan(), -torch.inf, log_ratio).clamp(max=0).exp()
    weights = torch.where(reward >= 0, 1, taper)
    terms = -weights * reward * _per_response(inputs.token_logps, inputs, config)
    tapered = {"taper": taper[(reward < 0) & ~log_ratio.isnan()]}
    return with_imitation(inputs.group_means(terms), inputs, config, tapered)


@token_loss(needs=("reference_logps",), passing_score=True)
def nft_loss(inputs: LossInputs, config: LossOptions, *, epsilon: float = 1.0) -> LossOutput:
    """NFT, negative-aware fine-tuning (arXiv 2505.18116): failing responses train the policy that would draw them.

    With R_t = π(y_t | ...) / π_ref(y_t | ...) of each token, and q the share of the group that passes::

        L = − (1/K) Σ_i (1 − q) · Σ_t log R_t                                    for a response that passes
        L = − (1/K) Σ_i (1 − q) · Σ_t log max_v((1 − q · R_t) / (1 − q), ε)      for another

    max_v has the value of the maximum and the gradient of its first argument. A group of which all or none pass adds
    nothing. π_ref, the paper's policy that drew the responses, is the policy before training. As in the released code
    (NVlabs/NFT, with its weight ``normalize=1``, which is 1 − q), a log R_t above 10 counts as 10. Metric ``clipped``:
    the share of failing tokens at ε.

    Args:
        inputs: The batch.
        config: Reads ``rank_min_score``, ``sft_min_score``, ``length_normalization`` and the options of imitation.
        epsilon: ε, from 0, exclusive, to 1: the smaller, the harder failing tokens are pushed away.

    Raises:
        ValueError: If ``epsilon`` is not positive.
    """
    assert inputs.reference_logps is not None, "the loss needs it"
    if epsilon <= 0:
        raise ValueError(f"`epsilon` of the loss 'nft' must be positive, got {epsilon}.")
    passes = rewards(inputs, config)
    share = inputs.group_means(passes)[inputs.group_ids]
    is_mixed = (share > 0) & (share < 1)
    rate = torch.where(is_mixed, share, 0.5)[inputs.responses]
    log_ratio = (inputs.token_logps - inputs.reference_logps).clamp(max=_MAX_LOG_RATIO)
    of_failing = (1 - rate * log_ratio.exp()) / (1 - rate)
    floored = of_failing + (of_failing.clamp(min=epsilon) - of_failing).detach()
    token_passes = passes[inputs.responses] > 0
    terms = -torch.where(token_passes, log_ratio, floored.log())
    weights = torch.where(is_mixed, 1 - share, 0)
    counted = is_mixed[inputs.responses] & ~token_passes
    clipped = {"clipped": (of_failing.detach() < epsilon)[counted].to(share.dtype)}
    rank_loss = inputs.group_means(weights * _per_response(terms, inputs, config))
    return with_imitation(rank_loss, inputs, config, clipped)


@token_loss(needs=("reference_logps",), passing_score=True)
def real_loss(inputs: LossInputs, config: LossOptions, *, tau: float = 0.5) -> LossOutput:
    """REAL, rewards as labels (arXiv 2602.05630): a classifier of responses, whose logits are s_i.

    ::

        s_i = (1/|y_i|) · log(π(y_i | x) / π_ref(y_i | x))
        L   = log(1 + Σ_{i fails} exp(s_i / τ)) + log(1 + Σ_{i passes} exp(−s_i / τ))

    The 1 is the anchor, of logit 0. A group of which all or none pass adds nothing. π_ref, the paper's policy that
    drew the responses, is the policy before training. s_i is a mean whatever ``length_normalization`` says. Source:
    the released code (Red-RL/REAL, loss ``real``).

    Args:
        inputs: The batch.
        config: Reads ``rank_min_score``, ``sft_min_score`` and the options of imitation.
        tau: τ, the temperature: 1/τ bounds the weight of a response in the gradient.
    """
    assert inputs.reference_logps is not None, "the loss needs it"
    passes = rewards(inputs, config) > 0
    logits = inputs.response_sums(inputs.token_logps - inputs.reference_logps) / inputs.lengths / tau
    groups = torch.arange(inputs.groups, device=logits.device)
    passing = (inputs.group_ids == groups[:, None]) & passes
    failing = (inputs.group_ids == groups[:, None]) & ~passes
    loss = _log_one_plus_sum(logits, failing) + _log_one_plus_sum(-logits, passing)
    rank_loss = torch.where(passing.any(dim=1) & failing.any(dim=1), loss, 0)
    return with_imitation(rank_loss, inputs, config)


def _log_one_plus_sum(logits: Tensor, members: Tensor) -> Tensor:
    """Return float `[G]`: log(1 + Σ exp) of float `[N]` over the members of each group, bool `[G, N]`."""
    of_group = logits.expand(len(members), -1).masked_fill(~members, -torch.inf)
    return torch.cat([of_group, torch.zeros_like(of_group[:, :1])], dim=1).logsumexp(dim=1)


def _per_response(values: Tensor, inputs: LossInputs, config: LossOptions) -> Tensor:
    """Return float `[N]`: the mean of float `[T]` over each response's tokens, or as ``config`` says their sum."""
    sums = inputs.response_sums(values)
    return sums / inputs.lengths if config.length_normalization else sums

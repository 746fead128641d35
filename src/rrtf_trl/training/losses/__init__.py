"""The losses that align a policy with ranked responses, by ``loss_type``. docs/papers.md lists them with their papers.

Another loss is a function that a plugin registers by the hook ``rrtf_losses``: one that :func:`token_loss` marks gets
:class:`LossInputs`, with the log-probability of each token; one with the parameters of :func:`rrtf_loss` gets their
sums.
"""

from .contract import (
    LossInputs,
    LossOptions,
    LossOutput,
    passing_score,
    rewards,
    token_loss,
)
from .listwise import dpo_pl_loss, lipo_loss, list_mle_loss, simpo_loss
from .policy_gradient import asymre_loss, nft_loss, real_loss, topr_loss
from .prefix_tree import PrefixTree, prefix_tree
from .ranking import (
    best_responses,
    imitated_responses,
    imitation_loss,
    ordered_pairs,
    pair_weights,
    pairs_of,
    ranking_loss,
    reduce_pairs,
    rrtf_loss,
    with_imitation,
)
from .resolve import Loss, ResolvedLoss, check_loss_kwargs, find_loss, least_score, resolve_loss
from .tree_credit import tree_credit_loss

__all__ = [
    "Loss",
    "LossInputs",
    "LossOptions",
    "LossOutput",
    "PrefixTree",
    "ResolvedLoss",
    "asymre_loss",
    "best_responses",
    "check_loss_kwargs",
    "dpo_pl_loss",
    "find_loss",
    "imitated_responses",
    "imitation_loss",
    "least_score",
    "lipo_loss",
    "list_mle_loss",
    "nft_loss",
    "ordered_pairs",
    "pair_weights",
    "pairs_of",
    "passing_score",
    "prefix_tree",
    "ranking_loss",
    "real_loss",
    "reduce_pairs",
    "resolve_loss",
    "rewards",
    "rrtf_loss",
    "simpo_loss",
    "token_loss",
    "topr_loss",
    "tree_credit_loss",
    "with_imitation",
]

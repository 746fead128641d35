"""Credit for each token, from what became of the responses that share it and those that left them there."""

from __future__ import annotations

from .contract import LossInputs, LossOptions, LossOutput, rewards, token_loss
from .ranking import with_imitation


@token_loss(needs=("tree",))
def tree_credit_loss(inputs: LossInputs, config: LossOptions) -> LossOutput:
    """Policy gradient with an advantage for each token, from the tree of the group's K responses.

    ::

        L = − (1/K) Σ_i (1/|y_i|) Σ_t A_i,t · log π(y_i,t | x, y_i,<t)
        A_i,t = mean R below y_i,t − mean R below the token before it

    R is 1 for a response that passes and 0 for another; where it is not known which do, its score. The mean before the
    first token is that of the whole group. Where the branches of a token lead to the same, the tokens are neither
    rewarded nor punished: not what all responses begin with, nor what follows once all of a branch pass or all fail. A
    group of which all or none pass adds nothing. ``length_normalization=False`` leaves ``1/|y_i|`` out.

    The mean of R below a token estimates its value from the responses at hand, as VinePPO (arXiv 2410.01679) does from
    responses that it draws for that, and Setlur et al. (arXiv 2406.14532) do for the steps of a proof. There is no
    weight for responses of another policy and no clipping.
    """
    assert inputs.tree is not None, "the loss needs it"
    reward = rewards(inputs, config)
    advantages = inputs.tree.gains(reward, inputs.group_means(reward))[inputs.tree.nodes]
    per_response = inputs.response_sums(advantages * inputs.token_logps)
    if config.length_normalization:
        per_response = per_response / inputs.lengths
    return with_imitation(-inputs.group_means(per_response), inputs, config)

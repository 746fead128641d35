"""A loss of one's own, which sees tokens: policy gradient where the policy hesitates.

Run it: `python examples/own_loss.py`. It trains the embedded policy for a few steps.
"""

import sys
import tempfile

from datasets import Dataset

from rrtf_trl import RRTFConfig, RRTFTrainer, hookimpl
from rrtf_trl.assets import model_path
from rrtf_trl.plugins import register
from rrtf_trl.plugins.hookspecs import Targets
from rrtf_trl.training import LossInputs, LossOutput, token_loss, with_imitation

RRTF_CONTRACT = 1  # this file is a plugin, too; a package needs an entry point in place of register()


@token_loss(needs=("entropy",))
def forking_tokens(inputs: LossInputs, config: RRTFConfig, *, least_entropy: float = 0.5) -> LossOutput:
    """REINFORCE with the group's mean score as baseline, on tokens of high entropy (as in arXiv 2506.01939)."""
    assert inputs.entropy is not None, "the loss needs it"
    advantages = inputs.scores - inputs.group_means(inputs.scores)[inputs.group_ids]
    hesitates = inputs.entropy >= least_entropy
    terms = -advantages[inputs.responses] * inputs.token_logps * hesitates
    rank_loss = inputs.group_means(inputs.response_sums(terms) / inputs.lengths)
    return with_imitation(rank_loss, inputs, config, metrics={"hesitates": hesitates.float()})


@hookimpl
def rrtf_losses() -> Targets:
    """Name the loss."""
    return {"forking_tokens": forking_tokens}


def main() -> None:
    """Train on one ranking."""
    register(sys.modules[__name__])
    responses = ["return x + x\n", "return 2 * x\n", "return x\n", "return y\n"]
    row = {"prompt": "def double(x):\n    ", "responses": responses, "scores": [3.0, 3.0, 2.0, 1.0]}
    with tempfile.TemporaryDirectory() as folder:
        args = RRTFConfig(
            folder, loss_type="forking_tokens", loss_kwargs={"least_entropy": 0.3}, max_steps=10, logging_steps=1,
            learning_rate=1e-4, report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
            save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        RRTFTrainer(model_path("embedded"), args=args, train_dataset=Dataset.from_list([row] * 4)).train()


if __name__ == "__main__":
    main()

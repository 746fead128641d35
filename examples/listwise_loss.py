"""A loss of one's own: ListMLE, which looks at a whole ranking where RRTF looks at its pairs.

Run it: `python examples/listwise_loss.py`. It trains the embedded policy for a few steps.
"""

import sys
import tempfile

import torch
from datasets import Dataset
from torch import Tensor

from rrtf_trl import RRTFConfig, RRTFTrainer, hookimpl
from rrtf_trl.assets import model_path
from rrtf_trl.plugins import register
from rrtf_trl.plugins.hookspecs import Targets
from rrtf_trl.training import LossOutput, imitation_loss, ordered_pairs

RRTF_CONTRACT = 1  # this file is a plugin, too; a package needs an entry point in place of register()


def list_mle(logps: Tensor, lengths: Tensor, scores: Tensor, group_ids: Tensor, config: RRTFConfig) -> LossOutput:
    """ListMLE (Xia et al., ICML 2008; for language models in LiPO, arXiv 2402.01878).

    With v_i the length-normalised log-probability of response i, the negative log-likelihood under Plackett and
    Luce's model: the sum over i of log(exp v_i + Σ_{r_j < r_i} exp v_j) − v_i. Equal scores leave each other out.
    """
    values = logps / lengths if config.length_normalization else logps
    rivals = (group_ids[:, None] == group_ids) & (scores[:, None] > scores)
    rivals.fill_diagonal_(True)
    nll = values.expand(len(values), -1).masked_fill(~rivals, -torch.inf).logsumexp(dim=1) - values
    sft_loss = imitation_loss(logps, lengths, scores, group_ids, config)
    rank_loss = nll.new_zeros(len(sft_loss)).index_add(0, group_ids, nll)
    better, worse = ordered_pairs(scores, group_ids, "all")
    return LossOutput(rank_loss, sft_loss, margins=(values[better] - values[worse]).detach())


@hookimpl
def rrtf_losses() -> Targets:
    """Give the loss its name."""
    return {"list_mle": list_mle}


def main() -> None:
    """Train on one ranking."""
    register(sys.modules[__name__])
    responses = ["return x + x\n", "return 2 * x\n", "return x\n", "return y\n"]
    row = {"prompt": "def double(x):\n    ", "responses": responses, "scores": [3.0, 3.0, 2.0, 1.0]}
    with tempfile.TemporaryDirectory() as folder:
        args = RRTFConfig(
            folder, loss_type="list_mle", max_steps=10, logging_steps=1, learning_rate=1e-4, report_to="none",
            use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        RRTFTrainer(model_path("embedded"), args=args, train_dataset=Dataset.from_list([row] * 4)).train()


if __name__ == "__main__":
    main()

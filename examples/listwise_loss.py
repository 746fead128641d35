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
from rrtf_trl.hookspecs import Targets
from rrtf_trl.plugins import register
from rrtf_trl.training import LossOutput, imitation_loss, ordered_pairs

RRTF_CONTRACT = 1  # this file is a plugin, too: with an entry point in a package it would need no register()


def list_mle(logps: Tensor, lengths: Tensor, scores: Tensor, group_ids: Tensor, config: RRTFConfig) -> LossOutput:
    """ListMLE (Xia et al., ICML 2008; for language models in LiPO, arXiv 2402.01878).

    With v_i the length-normalised log-probability of response i, the negative log-likelihood of the ranking under
    Plackett and Luce's model: the sum over i of log(exp v_i + Σ_{r_j < r_i} exp v_j) − v_i. Equal scores are left
    out of each other's sum: the ranking does not say which comes first.
    """
    values = logps / lengths if config.length_normalization else logps
    same_group = group_ids[:, None] == group_ids
    rivals = same_group & (scores[:, None] > scores) | torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    nll = values.expand(len(values), -1).masked_fill(~rivals, -torch.inf).logsumexp(dim=1) - values
    sft_loss = imitation_loss(logps, lengths, scores, group_ids, config)
    better, worse = ordered_pairs(scores, group_ids, "all")
    return LossOutput(
        rank_loss=nll.new_zeros(len(sft_loss)).index_add(0, group_ids, nll),
        sft_loss=sft_loss,
        margins=(values[better] - values[worse]).detach(),
    )


@hookimpl
def rrtf_losses() -> Targets:
    """Give the loss its name."""
    return {"list_mle": list_mle}


def main() -> None:
    """Train on one ranking."""
    register(sys.modules[__name__])
    row = {
        "prompt": "def double(x):\n    ",
        "responses": ["return x + x\n", "return 2 * x\n", "return x\n", "return y\n"],
        "scores": [3.0, 3.0, 2.0, 1.0],
    }
    with tempfile.TemporaryDirectory() as folder:
        args = RRTFConfig(
            folder, loss_type="list_mle", max_steps=10, logging_steps=1, learning_rate=1e-4, report_to="none",
            use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = RRTFTrainer(str(model_path("embedded")), args=args, train_dataset=Dataset.from_list([row] * 4))
        trainer.train()


if __name__ == "__main__":
    main()

"""Where RRTF's loss coincides with losses of TRL's own trainers, it gives their values and gradients.

TRL compares a policy with a reference. A reference that finds every token equally likely drops out of what is
compared: of means over tokens always, of sums where the responses are of one length. What is left of

- ``DPOConfig(loss_type="hinge")``, relu(1 − β·Δ) with Δ the difference of sums, is 1 + β·relu(−Δ) for a pair in the
  wrong order, and 0 for one whose Δ is over 1/β: RRTF without length normalisation, times β;
- ``DPOConfig(loss_type="sigmoid_norm")``, −log σ(β·Δ) with Δ the difference of means, tends to β·relu(−Δ) for
  large β: RRTF with length normalisation, times β;
- ``SFTConfig(completion_only_loss=True)`` is RRTF's imitation of the best response.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast, Trainer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from rrtf_trl import RRTFTrainer

Build = Callable[..., RRTFTrainer]
BETA = 1e4
OPTIONS = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "per_device_train_batch_size": 8,
}

# Token ids never reach over the end of a prompt, so TRL's trainers and ours split the rows alike.
PAIRS = Dataset.from_list(
    [
        {"prompt": f"def f{i}(x):", "chosen": "\n    " + "x + " * long + f"{i}\n", "rejected": "\n    " + other}
        for i, (long, other) in enumerate(
            [(1, "pass; y + 1\n"), (4, "return x\n"), (2, "print(x)\n    y\n"), (3, "x - 5 + y\n")] * 2
        )
    ]
)


@pytest.fixture
def indifferent(llama: PreTrainedModel) -> PreTrainedModel:
    """A reference for which every token is equally likely."""
    torch.nn.init.zeros_(llama.lm_head.weight)
    return llama


def loss_and_gradients(trainer: Trainer) -> tuple[float, dict[str, torch.Tensor]]:
    """Of the first batch, which holds all rows; without dropout, as evaluation has it."""
    trainer.model.eval()
    [batch] = trainer.get_train_dataloader()
    loss = trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))
    trainer.model.zero_grad()
    loss.backward()
    return loss.item(), {name: weight.grad for name, weight in trainer.model.named_parameters()}


@pytest.mark.parametrize("share_prefix", ["true", "false"], ids=["shared", "padded"])
@pytest.mark.parametrize(
    ("loss_type", "length_normalization"), [("hinge", False), ("sigmoid_norm", True)], ids=["hinge", "means"]
)
def test_two_responses_without_weights_or_imitation_are_ranked_as_by_dpo(
    trainer: Build,
    llama_path: str,
    tokenizer: PreTrainedTokenizerFast,
    indifferent: PreTrainedModel,
    tmp_path: Any,
    loss_type: str,
    length_normalization: bool,
    share_prefix: str,
) -> None:
    prompt_lengths = {len(tokenizer(row["prompt"])["input_ids"]) for row in PAIRS}
    assert len(prompt_lengths) == 1
    # Sums are of responses of one length: all are cut after four tokens.
    max_length = None if length_normalization else prompt_lengths.pop() + 4
    args = DPOConfig(str(tmp_path / "dpo"), loss_type=loss_type, beta=BETA, max_length=max_length, **OPTIONS)
    theirs = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.float64),
        indifferent.double(),
        args,
        train_dataset=PAIRS,
        processing_class=tokenizer,
    )
    ours = trainer(
        AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.float64),
        PAIRS,
        processing_class=tokenizer,
        length_normalization=length_normalization,
        score_weighting=False,
        sft_weight=0.0,
        share_prefix=share_prefix,
        max_length=max_length,
        truncation_mode="keep_start",
        per_device_train_batch_size=8,
    )
    their_loss, their_gradients = loss_and_gradients(theirs)
    our_loss, our_gradients = loss_and_gradients(ours)
    active = ours._metrics["train" if ours.model.training else "eval"].read(ours.accelerator)["active_pairs"]
    assert 0 < active < 1
    constant = active if loss_type == "hinge" else 0.0
    assert their_loss == pytest.approx(constant + BETA * our_loss, rel=1e-5)
    for name, gradient in our_gradients.items():
        theirs_scaled = their_gradients[name] / BETA
        torch.testing.assert_close(gradient, theirs_scaled, atol=1e-5, rtol=1e-4, msg=name)
        assert gradient.abs().max() > 1e-4, name


@pytest.mark.parametrize("share_prefix", ["true", "false"], ids=["shared", "padded"])
def test_imitation_alone_is_supervised_fine_tuning(
    trainer: Build, llama_path: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Any, share_prefix: str
) -> None:
    row = PAIRS.select([1])
    best = row.rename_column("chosen", "completion").remove_columns("rejected")
    args = SFTConfig(str(tmp_path / "sft"), completion_only_loss=True, max_length=None, **OPTIONS)
    model = AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.float32)
    theirs = SFTTrainer(model, args, train_dataset=best, processing_class=tokenizer)
    ours = trainer(llama_path, row, rank_weight=0.0, share_prefix=share_prefix)
    their_loss, their_gradients = loss_and_gradients(theirs)
    our_loss, our_gradients = loss_and_gradients(ours)
    assert our_loss == pytest.approx(their_loss, rel=1e-5)
    for name, gradient in our_gradients.items():
        torch.testing.assert_close(gradient, their_gradients[name], atol=1e-5, rtol=1e-4, msg=name)

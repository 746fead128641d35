"""Where RRTF's loss coincides with losses of TRL's own trainers, it gives their values and gradients.

TRL compares a policy with a reference. A reference that finds every token equally likely drops out of what is
compared: of means over tokens always, of sums where the responses are of one length. What is left of

- ``DPOConfig(loss_type="hinge")``, relu(1 − β·Δ) with Δ the difference of sums, is 1 + β·relu(−Δ) for a pair in the
  wrong order, and 0 for one whose Δ is over 1/β: RRTF without length normalisation, times β;
- ``DPOConfig(loss_type="sigmoid_norm")``, −log σ(β·Δ) with Δ the difference of means, tends to β·relu(−Δ) for
  large β: RRTF with length normalisation, times β;
- ``SFTConfig(completion_only_loss=True)`` is RRTF's imitation of the best response.

With a reference, ``DPOConfig(loss_type="sigmoid")`` is ``dpo_pl`` of two responses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast, Trainer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.training.losses import LossInputs, resolve_loss

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


def token_logps(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """The log-probability of each response's tokens, from whole sequences of TRL's batch."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    logps = logits.log_softmax(dim=-1).gather(2, batch["input_ids"][:, 1:, None])[:, :, 0]
    return [row[mask.bool()] for row, mask in zip(logps, batch["completion_mask"][:, 1:], strict=True)]


def test_dpo_of_two_responses_is_that_of_trl(
    llama_path: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Any, config: Callable[..., RRTFConfig]
) -> None:
    policy = AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.float64)
    reference = AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.float64)
    torch.manual_seed(0)
    with torch.no_grad():
        reference.lm_head.weight += 0.1 * torch.randn_like(reference.lm_head.weight)
    args = DPOConfig(str(tmp_path / "dpo"), loss_type="sigmoid", beta=0.3, max_length=None, **OPTIONS)
    theirs = DPOTrainer(policy, reference, args, train_dataset=PAIRS, processing_class=tokenizer)
    their_loss, their_gradients = loss_and_gradients(theirs)

    [batch] = theirs.get_train_dataloader()
    order = [
        row for pair in range(8) for row in (pair, pair + 8)
    ]  # theirs are all chosen ones, then all rejected ones
    drawn = token_logps(policy, batch)
    lengths = torch.tensor([len(drawn[row]) for row in order])
    with torch.no_grad():
        reference_logps = token_logps(reference, batch)
    inputs = LossInputs(
        token_logps=torch.cat([drawn[row] for row in order]),
        responses=torch.arange(16).repeat_interleave(lengths),
        lengths=lengths,
        scores=torch.tensor([1.0, 0.0] * 8),
        group_ids=torch.arange(8).repeat_interleave(2),
        groups=8,
        from_teacher=torch.zeros(16, dtype=torch.bool),
        reference_logps=torch.cat([reference_logps[row] for row in order]),
    )
    loss = resolve_loss(config(loss_type="dpo_pl", loss_kwargs={"beta": 0.3}))(inputs).rank_loss.mean()
    assert loss.item() == pytest.approx(their_loss, rel=1e-5)
    policy.zero_grad()
    loss.backward()
    assert abs(their_loss - math.log(2)) > 0.01
    for name, weight in policy.named_parameters():
        torch.testing.assert_close(weight.grad, their_gradients[name], atol=1e-5, rtol=1e-4, msg=name)

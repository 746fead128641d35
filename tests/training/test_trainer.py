"""The trainer against plain per-sequence arithmetic, and on every form of rows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    TrainerCallback,
)

from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.training import RankedCollator
from support.trainer_checks import (
    LORA,
    SGD,
    Build,
    assert_same_weights,
    both_paths,
    by_hand,
    changed,
    training_logs,
    weights,
)

# -- The loss --------------------------------------------------------------------------------------------


@both_paths
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_loss_and_gradients_equal_one_sequence_at_a_time(
    trainer: Build, llama_path: str, gpt2_path: str, architecture: str, share_prefix: bool
) -> None:
    path = {"llama": llama_path, "gpt2": gpt2_path}[architecture]
    ours = trainer(path, share_prefix=share_prefix)
    examples = list(ours.train_dataset)
    loss = ours.compute_loss(ours.model, ours.data_collator(examples))
    loss.backward()

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()
    expected, _ = by_hand(model, examples)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    gradients = {name: parameter.grad.double() for name, parameter in ours.model.named_parameters()}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_the_weights_of_the_two_terms(trainer: Build, llama_path: str) -> None:
    ours = trainer(llama_path, rank_weight=3.0, sft_weight=0.25)
    examples = list(ours.train_dataset)
    _, metrics = by_hand(ours.model, examples)
    loss = ours.compute_loss(ours.model, ours.data_collator(examples))
    expected = 3.0 * metrics["rank_loss"] + 0.25 * metrics["sft_loss"]
    assert loss.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("multiple", [1, 64])
def test_a_row_alone_has_the_loss_that_it_has_in_a_padded_batch(
    trainer: Build, llama_path: str, gpt2_path: str, architecture: str, multiple: int
) -> None:
    ours = trainer(
        {"llama": llama_path, "gpt2": gpt2_path}[architecture], pad_to_multiple_of=multiple, share_prefix=False
    )
    examples = list(ours.train_dataset)
    lone = RankedCollator(pad_token_id=0)
    with torch.no_grad():
        _, together = ours.compute_loss(ours.model, ours.data_collator(examples), return_outputs=True)
        for group, example in enumerate(examples):
            _, alone = ours.compute_loss(ours.model, lone([example]), return_outputs=True)
            torch.testing.assert_close(alone.rank_loss[0], together.rank_loss[group], atol=1e-6, rtol=1e-6)
            torch.testing.assert_close(alone.sft_loss[0], together.sft_loss[group], atol=1e-6, rtol=1e-6)


def test_a_batch_padded_on_the_left_has_the_same_loss_and_gradients(trainer: Build, llama_path: str) -> None:
    right, left = (trainer(llama_path, share_prefix=False) for _ in range(2))
    batch = right.data_collator(list(right.train_dataset))
    moved = dict(batch)
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    for name in ("input_ids", "attention_mask", "completion_mask"):
        width = batch[name].size(1)
        rows = [row.roll(width - length) for row, length in zip(batch[name], lengths, strict=True)]
        moved[name] = torch.stack(rows)
    assert not torch.equal(moved["input_ids"], batch["input_ids"])
    losses = [right.compute_loss(right.model, batch), left.compute_loss(left.model, moved)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=0)
    gradients = {name: parameter.grad for name, parameter in right.model.named_parameters()}
    assert_same_weights({n: p.grad for n, p in left.model.named_parameters()}, gradients, atol=1e-5)


@both_paths
def test_tokens_without_context_are_not_counted_as_tokens_of_the_response(
    trainer: Build, llama_path: str, share_prefix: bool
) -> None:
    # With no prompt nothing predicts the first token, so the mean runs over the others.
    ours = trainer(llama_path, share_prefix=share_prefix)
    example = {
        "prompt_ids": [],
        "response_ids": [[5, 6, 7], [8, 9]],
        "scores": [1.0, 0.0],
        "from_teacher": [False] * 2,
    }
    _, loss = ours.compute_loss(ours.model, ours.data_collator([example]), return_outputs=True)
    logprobs = ours.model(input_ids=torch.tensor([[5, 6, 7]])).logits[0].log_softmax(dim=-1)
    expected = -(logprobs[0, 6] + logprobs[1, 7]) / 2
    torch.testing.assert_close(loss.sft_loss[0], expected, atol=1e-5, rtol=0)


@both_paths
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_dropout_is_off_unless_asked_for(
    trainer: Build, request: pytest.FixtureRequest, architecture: str, share_prefix: bool
) -> None:
    def two_losses(**options: Any) -> list[float]:
        # Llama has no layer for it: its attention functions are handed the rate.
        rates = {"attention_dropout": 0.5} if architecture == "llama" else {}
        path = request.getfixturevalue(f"{architecture}_path")
        model = AutoModelForCausalLM.from_pretrained(path, **rates)
        ours = trainer(model, share_prefix=share_prefix, **options)
        ours.model.train()
        batch = ours.data_collator(list(ours.train_dataset))
        return [ours.compute_loss(ours.model, batch).item() for _ in range(2)]

    first, second = two_losses()
    assert first == second
    first, second = two_losses(disable_dropout=False)
    assert first != second


# -- One optimizer step, split in several ways -----------------------------------------------------------


@pytest.mark.slow
@both_paths
@pytest.mark.parametrize(
    ("rows", "split", "whole"),
    [(5, (2, 3), (5, 1)), (7, (1, 7), (7, 1)), (7, (2, 2), (4, 1)), (7, (3, 2), (6, 1))],
    ids=["2+2+1", "1+1+1+1+1+1+1", "2+2, 2+1", "3+3, 1"],
)
def test_accumulated_batches_update_as_one_large_batch(
    trainer: Build,
    ranked: Dataset,
    llama_path: str,
    rows: int,
    split: tuple[int, int],
    whole: tuple[int, int],
    share_prefix: bool,
) -> None:
    updated, losses, initial = [], [], None
    for batch_size, accumulation in (whole, split):
        ours = trainer(
            llama_path,
            ranked.select(range(rows)),
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            max_steps=-1,
            num_train_epochs=1,
            share_prefix=share_prefix,
            **SGD,
        )
        initial = weights(ours.model)
        ours.train()
        updated.append(weights(ours.model))
        losses.append([entry["loss"] for entry in training_logs(ours)])
    assert initial is not None
    assert_same_weights(updated[1], updated[0], atol=1e-5)
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert max(float((updated[1][name] - initial[name]).abs().max()) for name in initial) > 1e-2


@pytest.mark.slow
@both_paths
def test_an_update_is_the_gradient_of_the_loss(trainer: Build, llama_path: str, share_prefix: bool) -> None:
    ours = trainer(
        llama_path, per_device_train_batch_size=2, gradient_accumulation_steps=4, share_prefix=share_prefix, **SGD
    )
    before = weights(ours.model)
    expected = AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.float64)
    by_hand(expected, list(ours.train_dataset))[0].backward()
    ours.train()
    after = weights(ours.model)
    for name, parameter in expected.named_parameters():
        torch.testing.assert_close(
            after[name], before[name] - 0.1 * parameter.grad.float(), atol=1e-5, rtol=0, msg=name
        )


@pytest.mark.slow
@both_paths
@pytest.mark.parametrize("peft_config", [None, LORA], ids=["whole model", "adapter"])
def test_gradient_checkpointing_changes_no_update(
    trainer: Build, llama_path: str, peft_config: LoraConfig | None, share_prefix: bool
) -> None:
    plain = trainer(llama_path, peft_config=peft_config, share_prefix=share_prefix, **SGD)
    checkpointed = trainer(
        llama_path, peft_config=peft_config, gradient_checkpointing=True, share_prefix=share_prefix, **SGD
    )
    before = weights(plain.model)
    assert_same_weights(weights(checkpointed.model), before, atol=0)
    plain.train()
    checkpointed.train()
    assert checkpointed.model.is_gradient_checkpointing
    assert_same_weights(weights(checkpointed.model), weights(plain.model), atol=1e-6)
    assert changed(before, weights(plain.model))


# -- Training --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_training_lowers_the_loss_and_ranks_better(trainer: Build, llama_path: str) -> None:
    ours = trainer(llama_path, max_steps=20, per_device_train_batch_size=7, learning_rate=3e-3)
    ours.train()
    first, last = training_logs(ours)[0], training_logs(ours)[-1]
    assert last["loss"] < 0.5 * first["loss"]
    assert last["rank_loss"] < 0.5 * first["rank_loss"]
    assert first["ranking_accuracy"] < 0.7
    assert last["ranking_accuracy"] > 0.9


@pytest.mark.slow
def test_the_ranking_term_alone_ranks_better(trainer: Build, llama_path: str) -> None:
    ours = trainer(llama_path, max_steps=10, per_device_train_batch_size=7, learning_rate=3e-3, sft_weight=0.0)
    ours.train()
    first, last = training_logs(ours)[0], training_logs(ours)[-1]
    assert last["rank_loss"] < 0.5 * first["rank_loss"]
    assert last["margins"] > first["margins"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["whole model", "adapter", "stream"])
def test_a_resumed_run_equals_an_unbroken_one(
    trainer: Build, ranked: Dataset, llama_path: str, tmp_path: Path, what: str
) -> None:
    # Four batches an epoch: the third step, which the resumed run begins with, is on rows that the first two are not.
    rows = ranked.to_iterable_dataset() if what == "stream" else ranked
    options = {"max_steps": 4, "per_device_train_batch_size": 2, "save_strategy": "steps", "save_steps": 2}
    options["peft_config"] = LORA if what == "adapter" else None
    unbroken = trainer(llama_path, rows, output_dir=str(tmp_path / "run"), **options)
    before = weights(unbroken.model)
    unbroken.train()
    resumed = trainer(llama_path, rows, output_dir=str(tmp_path / "resumed"), **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert_same_weights(weights(resumed.model), weights(unbroken.model), atol=0)
    names = ["step", "loss", "rank_loss", "sft_loss", "num_tokens"]
    logs = [[{name: entry[name] for name in names} for entry in training_logs(run)] for run in (resumed, unbroken)]
    assert [entry["step"] for entry in logs[0]] == [1, 2, 3, 4]
    assert logs[0] == logs[1]
    trained = {name for name in before if what != "adapter" or "lora_" in name}
    assert changed(before, weights(resumed.model)) == trained


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
def test_precision(trainer: Build, llama_path: str, bf16: bool) -> None:
    ours = trainer(llama_path, bf16=bf16, max_steps=2)
    before = weights(ours.model)
    expected = by_hand(ours.model, list(ours.train_dataset))[1]["loss"]
    ours.train()
    assert training_logs(ours)[0]["loss"] == pytest.approx(expected, rel=0.05 if bf16 else 1e-5)
    assert changed(before, weights(ours.model)) == set(before)
    assert all(weight.isfinite().all() for weight in weights(ours.model).values())


# -- Data sets -------------------------------------------------------------------------------------------

USER = [{"role": "user", "content": "Double x."}]


def turn(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


DPO_ROWS = {
    "standard": {"prompt": "Double x.", "chosen": " return x + x", "rejected": " pass"},
    "standard, implicit prompt": {"chosen": "Double x. return x + x", "rejected": "Double x. pass"},
    "conversational": {"prompt": USER, "chosen": turn("return x + x"), "rejected": turn("pass")},
    "conversational, implicit prompt": {
        "chosen": USER + turn("return x + x"),
        "rejected": USER + turn("pass"),
    },
}
RANKED_ROWS = {
    "conversational ranked": {
        "prompt": USER,
        "responses": [turn("return x + x"), turn("pass")],
        "scores": [1.0, 0.0],
    },
    "conversational ranked, plain responses": {
        "prompt": USER,
        "responses": ["return x + x", "pass"],
        "scores": [1.0, 0.0],
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("form", [*DPO_ROWS, *RANKED_ROWS])
def test_every_form_of_row_trains(trainer: Build, llama_path: str, form: str) -> None:
    row = {**DPO_ROWS, **RANKED_ROWS}[form]
    ours = trainer(llama_path, Dataset.from_list([row] * 2), max_steps=3)
    ours.train()
    logs = training_logs(ours)
    assert logs[2]["loss"] < logs[0]["loss"]
    assert logs[2]["logps/best"] > logs[0]["logps/best"]


@pytest.mark.slow
def test_a_stream_trains_as_the_data_set_that_it_reads(trainer: Build, ranked: Dataset, llama_path: str) -> None:
    losses = []
    for rows in (ranked, ranked.to_iterable_dataset()):
        ours = trainer(llama_path, rows, max_steps=1, per_device_train_batch_size=7)
        ours.train()
        losses.append(training_logs(ours)[0]["loss"])
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


@pytest.mark.slow
def test_teacher_student_pairs_train_from_sources(trainer: Build, ranked: Dataset, llama_path: str) -> None:
    ours = trainer(llama_path, pairs="teacher_student")
    ours.train()
    assert training_logs(ours)[0]["rank_loss"] > 0
    with pytest.raises(ValueError, match="Row 0 has no 'sources'"):
        trainer(llama_path, ranked.remove_columns("sources"), pairs="teacher_student")


# -- Arguments -------------------------------------------------------------------------------------------


def test_a_reference_model_is_accepted_with_a_warning(trainer: Build, llama: PreTrainedModel) -> None:
    with pytest.warns(UserWarning, match="`ref_model` is not used"):
        trainer(llama, ref_model=copy.deepcopy(llama))


def test_the_arguments_are_those_of_the_dpo_trainer() -> None:
    import inspect

    from trl import DPOTrainer

    assert list(inspect.signature(RRTFTrainer.__init__).parameters) == list(
        inspect.signature(DPOTrainer.__init__).parameters
    )


def test_the_train_dataset_is_required(config: Callable[..., RRTFConfig], llama: PreTrainedModel) -> None:
    with pytest.raises(ValueError, match="`train_dataset` is required"):
        RRTFTrainer(model=llama, args=config())


def test_a_list_is_no_data_set(config: Callable[..., RRTFConfig], ranked: Dataset, llama: PreTrainedModel) -> None:
    with pytest.raises(TypeError, match=r"`train_dataset` must be .* got `list`"):
        RRTFTrainer(model=llama, args=config(), train_dataset=ranked.to_list())


def test_init_options_of_a_loaded_model_are_warned_about(trainer: Build, llama: PreTrainedModel) -> None:
    with pytest.warns(UserWarning, match="`model_init_kwargs` is not used"):
        trainer(llama, model_init_kwargs={"dtype": "float32"})


@pytest.mark.slow
def test_callbacks_are_called(trainer: Build, llama_path: str) -> None:
    steps = []

    class Steps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            steps.append(state.global_step)

    trainer(llama_path, callbacks=[Steps()], max_steps=2).train()
    assert steps == [1, 2]


def test_offloading_without_a_gpu_is_refused(trainer: Build, llama_path: str) -> None:
    with pytest.raises(ValueError, match="there is no GPU here"):
        trainer(llama_path, activation_offloading=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="offloading activations needs a GPU")
def test_offloading_changes_no_update_on_the_gpu(trainer: Build, llama_path: str) -> None:
    updated = []
    for offloading in (False, True):
        ours = trainer(llama_path, use_cpu=False, activation_offloading=offloading)
        ours.train()
        updated.append(weights(ours.model))
    assert_same_weights(updated[1], updated[0], atol=1e-6)

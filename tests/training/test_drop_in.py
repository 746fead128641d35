"""A script for TRL's DPOTrainer trains after two names are changed: DPOTrainer and DPOConfig."""

from __future__ import annotations

import dataclasses
import inspect
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDatasetDict
from transformers import (
    AutoModelForCausalLM,
    EvalPrediction,
    PreTrainedTokenizerFast,
)
from trl import DPOConfig, DPOTrainer

from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.training.dpo_options import DPO_LOSSES, DPOOptions
from rrtf_trl.training.prepare import fit_row, prepare_dataset
from support.trainer_checks import PREFERENCES, Build

Configure = Callable[..., RRTFConfig]
Tok = PreTrainedTokenizerFast


# -- The options of DPOConfig ------------------------------------------------------------------------------


def test_every_option_of_the_dpo_config_is_taken() -> None:
    ours = {field.name for field in dataclasses.fields(RRTFConfig)}
    assert {field.name for field in dataclasses.fields(DPOConfig)} <= ours


@pytest.mark.slow
def test_a_dpo_script_says_its_defaults_and_trains(config: Configure, llama_path: str) -> None:
    # What each of DPO's own options is by default, said aloud; as those of a script often are.
    base = {field.name for field in dataclasses.fields(DPOConfig.__base__)}
    own = [field for field in dataclasses.fields(DPOConfig) if field.name not in base | {"learning_rate"}]
    said = {
        field.name: field.default if field.default is not dataclasses.MISSING else field.default_factory()
        for field in own
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        args = config(**said)
    messages = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert any('training with `loss_type="rrtf"`' in message for message in messages)
    [unused] = [message for message in messages if "no effect on RRTF" in message]
    assert "`beta`" in unused
    assert "`sync_ref_model`" not in unused  # was not asked for
    trainer = RRTFTrainer(model=llama_path, args=args, train_dataset=PREFERENCES)
    trainer.train()
    assert trainer.state.log_history[0]["rank_loss"] >= 0


@pytest.mark.parametrize("name", sorted(DPOOptions.__annotations__))
def test_an_option_without_effect_says_so(config: Configure, name: str) -> None:
    values = {"f_divergence_type": "js_divergence", "loss_weights": [1.0]}
    with pytest.warns(UserWarning, match=f"`{name}`: no effect on RRTF"):
        config(**{name: values.get(name, 1)})


def test_options_that_were_not_set_say_nothing(config: Configure) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        config()


def test_the_names_of_dpos_losses_are_those_that_it_knows() -> None:
    documented = str(DPOConfig.__dataclass_fields__["loss_type"].metadata["help"])
    assert all(f"'{name}'" in documented for name in DPO_LOSSES)
    assert documented.count("`'") == len(DPO_LOSSES)


@pytest.mark.parametrize("given", ["sigmoid", ["sigmoid"]])
def test_the_usual_loss_of_dpo_becomes_rrtf_with_a_warning(config: Configure, given: Any) -> None:
    with pytest.warns(UserWarning, match='`loss_type="sigmoid"` is the loss of DPO'):
        assert config(loss_type=given).loss_type == "rrtf"


@pytest.mark.parametrize("given", ["ipo", ["sft"]])
def test_a_chosen_loss_of_dpo_is_refused(config: Configure, given: Any) -> None:
    with pytest.raises(ValueError, match=r"is a loss of TRL's DPOTrainer.*Leave `loss_type` out"):
        config(loss_type=given)


def test_several_losses_are_refused(config: Configure) -> None:
    with pytest.raises(ValueError, match=r"must be one loss.*`rank_weight` and `sft_weight`"):
        config(loss_type=["sigmoid", "bco_pair", "sft"])


def test_a_list_of_one_of_our_losses_is_that_loss(config: Configure) -> None:
    assert config(loss_type=["rrhf"]).loss_type == "rrhf"


@pytest.mark.parametrize(("given", "found"), [("auto", None), (None, None), ("none", None), ("8", 8), (8, 8)])
def test_pad_to_multiple_of(config: Configure, given: Any, found: int | None) -> None:
    assert config(pad_to_multiple_of=given).pad_to_multiple_of == found


def test_a_saved_config_is_read_again_without_warnings(config: Configure) -> None:
    saved = json.loads(json.dumps(config(pad_to_multiple_of="auto").to_dict()))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        again = config(
            **{name: saved[name] for name in ("loss_type", "pad_to_multiple_of", *DPOOptions.__annotations__)}
        )
    assert again.loss_type == "rrtf"


# -- Truncation ---------------------------------------------------------------------------------------------

LONG = {
    "prompt_ids": [1, 2, 3],
    "response_ids": [[4, 5, 6, 7], [8], [9, 10]],
    "scores": [2.0, 1.0, 0.0],
    "from_teacher": [False, True, False],
}


@pytest.mark.parametrize(
    ("mode", "max_length", "prompt", "responses"),
    [
        ("drop", 5, [1, 2, 3], [[8], [9, 10]]),
        ("keep_start", 5, [1, 2, 3], [[4, 5], [8], [9, 10]]),
        ("keep_start", 3, [1, 2, 3], []),  # the prompt alone fills it
        ("keep_start", 2, [1, 2, 3], []),
        ("keep_end", 5, [3], [[4, 5, 6, 7], [8], [9, 10]]),
        ("keep_end", 3, [], [[5, 6, 7], [8], [9, 10]]),
        ("keep_end", 7, [1, 2, 3], [[4, 5, 6, 7], [8], [9, 10]]),
    ],
)
def test_what_becomes_of_a_response_that_is_too_long(
    mode: str, max_length: int, prompt: list[int], responses: list[list[int]]
) -> None:
    fitted = fit_row(LONG, max_length, None, mode)
    assert (fitted["prompt_ids"], fitted["response_ids"]) == (prompt, responses)
    assert [LONG["scores"][i] for i in fitted["kept"]] == fitted["scores"]


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True], ids=["data set", "stream"])
def test_rows_that_are_cut_to_nothing_are_dropped_and_counted(
    trainer: Build, llama_path: str, caplog: pytest.LogCaptureFixture, tokenizer: Tok, stream: bool
) -> None:
    rows = Dataset.from_dict(
        {"prompt": ["f", "for i in range(10): print(i)"], "chosen": [" a b", " yes"], "rejected": [" c d", " no"]}
    )
    trained = trainer(
        llama_path, rows.to_iterable_dataset() if stream else rows, max_length=6, truncation_mode="keep_start"
    )
    kept = list(trained.train_dataset)
    assert [row["prompt_ids"] for row in kept] == [tokenizer("f")["input_ids"]]
    assert all(len(kept[0]["prompt_ids"]) + len(ids) <= 6 for ids in kept[0]["response_ids"])
    counted = "1 rows of the stream so far had fewer than two responses within max_length=6 tokens and were dropped, "
    assert (counted if stream else "were cut, and 1 of 2 rows had fewer than two left") in caplog.text
    trained.train()


def test_keep_start_trains_on_what_the_dpo_trainer_trains_on(
    config: Configure, llama_path: str, tmp_path: Path
) -> None:
    # No token reaches over the border of the prompt: there, ours keeps the tokens that generation starts from.
    rows = Dataset.from_list([{name: text.strip("\n") for name, text in row.items()} for row in PREFERENCES]).map(
        lambda row: {"chosen": "\n" + row["chosen"], "rejected": "\n" + row["rejected"]}
    )
    args = config(max_length=12, truncation_mode="keep_start", share_prefix="false")
    ours = RRTFTrainer(model=llama_path, args=args, train_dataset=rows)
    theirs = DPOTrainer(
        model=llama_path,
        args=DPOConfig(str(tmp_path / "dpo"), max_length=12, use_cpu=True, bf16=False, report_to="none"),
        train_dataset=rows,
    )
    batch = ours.data_collator(list(ours.train_dataset))
    expected = theirs.data_collator(list(theirs.train_dataset))
    for name in ("input_ids", "attention_mask", "completion_mask"):
        chosen, rejected = expected[name].chunk(2)
        assert torch.equal(batch[name][::2], chosen), name
        assert torch.equal(batch[name][1::2], rejected), name


# -- Rows ---------------------------------------------------------------------------------------------------


def test_a_data_set_tokenized_for_dpo_trains(trainer: Build, llama_path: str, tokenizer: Tok) -> None:
    ids = [
        {
            "prompt_ids": tokenizer(row["prompt"])["input_ids"],
            "chosen_ids": tokenizer(row["chosen"])["input_ids"],
            "rejected_ids": tokenizer(row["rejected"])["input_ids"],
        }
        for row in PREFERENCES
    ]
    prepared = trainer(llama_path, Dataset.from_list(ids)).train_dataset
    assert prepared[1]["response_ids"] == [ids[1]["chosen_ids"], ids[1]["rejected_ids"]]
    assert prepared[1]["prompt_ids"] == ids[1]["prompt_ids"]
    assert prepared[1]["scores"] == [1.0, 0.0]


def test_what_is_prepared_already_is_left_alone(tokenizer: Tok) -> None:
    options = {"max_length": None, "max_responses": None, "require_sources": False, "num_proc": None}
    once = prepare_dataset(PREFERENCES, tokenizer, name="train", **options)
    assert prepare_dataset(once, tokenizer, name="train", **options) is once


def test_tools_and_tool_calls_reach_the_template(trainer: Build, llama_path: str, tokenizer: Tok) -> None:
    tokenizer.chat_template = (
        "{% for tool in tools or [] %}<{{ tool['function']['name'] }}>{% endfor %}"
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] or '' }}"
        "{% for call in m['tool_calls'] or [] %}{{ call['function']['name'] }}(){% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    tools = [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}]
    call = {"type": "function", "function": {"name": "clock"}}
    row = {
        "prompt": [{"role": "user", "content": "time"}],
        "chosen": [{"role": "assistant", "content": None, "tool_calls": [call]}],
        "rejected": [{"role": "assistant", "content": "noon", "tool_calls": None}],
    }
    for given in (tools, json.dumps(tools)):  # a column of JSON text is TRL's way around Arrow's types
        rows = Dataset.from_list([{**row, "tools": given}])
        [prepared] = trainer(llama_path, rows, processing_class=tokenizer).train_dataset
        assert tokenizer.decode(prepared["prompt_ids"]) == "<clock>[user]time[assistant]"
        assert [tokenizer.decode(ids) for ids in prepared["response_ids"]] == ["clock()", "noon"]


@pytest.mark.parametrize("column", [{"image": "a.png"}, {"images": ["a.png"]}])
def test_rows_with_images_are_refused(trainer: Build, llama_path: str, column: dict[str, Any]) -> None:
    rows = Dataset.from_list([{**PREFERENCES[0], **column}])
    with pytest.raises(ValueError, match=r"Row 0 is vision-related.*takes a vision-language model"):
        trainer(llama_path, rows)


def test_a_dict_of_splits_is_no_train_dataset(trainer: Build, llama_path: str) -> None:
    with pytest.raises(TypeError, match=r"`train_dataset` must be .* got `DatasetDict`"):
        trainer(llama_path, DatasetDict({"train": PREFERENCES}))


@pytest.mark.parametrize("form", [dict, DatasetDict, IterableDatasetDict])
@pytest.mark.parametrize("when", ["given", "later"])
def test_several_evaluation_sets(trainer: Build, llama_path: str, form: type[Any], when: str) -> None:
    rows = PREFERENCES.to_iterable_dataset() if form is IterableDatasetDict else PREFERENCES
    splits = form({"one": rows, "two": rows})
    if when == "given":
        metrics = trainer(llama_path, PREFERENCES, eval_dataset=splits).evaluate()
    else:
        metrics = trainer(llama_path, PREFERENCES).evaluate(splits)
    assert metrics["eval_one_loss"] == pytest.approx(metrics["eval_two_loss"])


# -- Metrics ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [2, 7])
def test_compute_metrics_gets_every_response(
    config: Configure, ranked: Dataset, llama_path: str, batch_size: int
) -> None:
    seen: list[EvalPrediction] = []

    def measure(prediction: EvalPrediction) -> dict[str, float]:
        seen.append(prediction)
        return {"mine": 0.25}

    trainer = RRTFTrainer(
        model=llama_path,
        args=config(per_device_eval_batch_size=batch_size),
        train_dataset=ranked,
        eval_dataset=ranked,
        compute_metrics=measure,
    )
    metrics = trainer.evaluate()
    assert metrics["eval_mine"] == 0.25
    responses = sum(len(row["response_ids"]) for row in trainer.eval_dataset)
    batch = trainer.data_collator(list(trainer.eval_dataset))
    assert seen[0].predictions.shape[:2] == seen[0].label_ids.shape == batch["input_ids"].shape
    assert len(seen[0].label_ids) == responses
    with torch.no_grad():
        logits = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.numpy()
    mask = batch["attention_mask"].bool().numpy()
    np.testing.assert_allclose(seen[0].predictions[mask], logits[mask], atol=1e-4)


def test_token_accuracy_is_that_of_the_best_responses(trainer: Build, ranked: Dataset, llama_path: str) -> None:
    trained = trainer(llama_path, per_device_train_batch_size=7, eval_dataset=ranked)
    hits, tokens = 0, 0
    for row in trained.train_dataset:
        for ids, score in zip(row["response_ids"], row["scores"], strict=True):
            if score == max(row["scores"]):
                sequence = torch.tensor([row["prompt_ids"] + ids])
                with torch.no_grad():
                    guess = trained.model(input_ids=sequence).logits[0, :-1].argmax(-1)
                hits += int((guess == sequence[0, 1:])[-len(ids) :].sum())
                tokens += len(ids)
    assert trained.evaluate()["eval_mean_token_accuracy"] == pytest.approx(hits / tokens)


# -- The rest of the constructor and what is saved ------------------------------------------------------------


def test_the_type_of_every_argument_is_at_least_the_dpo_trainers() -> None:
    ours, theirs = (inspect.signature(cls.__init__).parameters for cls in (RRTFTrainer, DPOTrainer))
    assert {name: p.default for name, p in ours.items()} == {name: p.default for name, p in theirs.items()}


@pytest.mark.slow
def test_the_model_is_tagged_and_its_card_cites_the_paper(trainer: Build, llama_path: str, tmp_path: Path) -> None:
    trained = trainer(llama_path, PREFERENCES, save_strategy="steps", save_steps=1)
    assert {"trl", "rrtf"} <= set(trained.model.model_tags)
    trained.train()
    card = next(tmp_path.rglob("README.md")).read_text()
    assert "https://huggingface.co/papers/2307.14936" in card
    assert "title   = {{PanGu-Coder2: Boosting Large Language Models for Code with Ranking Feedback}}" in card
    assert "- rrtf" in card
    saved = AutoModelForCausalLM.from_pretrained(next(tmp_path.rglob("checkpoint-1")))
    for name, weight in saved.state_dict().items():
        assert torch.equal(weight, trained.model.state_dict()[name]), name

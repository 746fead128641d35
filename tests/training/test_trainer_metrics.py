"""What the trainer logs, and what it measures on other rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from datasets import Dataset

from support.trainer_checks import (
    Build,
    assert_same_weights,
    both_paths,
    by_hand,
    training_logs,
    weights,
)

# -- Metrics ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@both_paths
def test_metrics_are_those_of_the_whole_step_whatever_it_is_split_into(
    trainer: Build, llama_path: str, share_prefix: bool
) -> None:
    ours = trainer(llama_path, per_device_train_batch_size=2, gradient_accumulation_steps=4, share_prefix=share_prefix)
    _, expected = by_hand(ours.model, list(ours.train_dataset), share_prefix)
    ours.train()
    (log,) = training_logs(ours)
    assert {name: log[name] for name in expected} == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_metrics_are_averaged_over_the_steps_between_logs(trainer: Build, llama_path: str) -> None:
    # Steps of 4 and 3 groups; nothing is learned, so that both see the same model.
    ours = trainer(llama_path, per_device_train_batch_size=4, max_steps=2, logging_steps=2, learning_rate=0.0)
    _, expected = by_hand(ours.model, list(ours.train_dataset))
    del expected["loss"]  # the mean of the two steps', as in every trainer
    ours.train()
    (log,) = training_logs(ours)
    assert {name: log[name] for name in expected} == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_batch_without_pairs_logs_no_metric_of_pairs(trainer: Build, llama_path: str) -> None:
    rows = Dataset.from_list([{"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 1.0]}])
    ours = trainer(llama_path, rows)
    ours.train()
    (log,) = training_logs(ours)
    assert log["rank_loss"] == 0
    assert log["sft_loss"] > 0
    assert {"margins", "ranking_accuracy", "active_pairs", "logps/rest"}.isdisjoint(log)


@pytest.mark.slow
@both_paths
@pytest.mark.parametrize("counting", ["no", "non_padding", "all"])
def test_num_tokens_counts_every_token_once(
    trainer: Build, llama_path: str, counting: str, share_prefix: bool
) -> None:
    ours = trainer(
        llama_path,
        per_device_train_batch_size=7,
        max_steps=2,
        include_num_input_tokens_seen=counting,
        share_prefix=share_prefix,
    )
    batch = ours.data_collator(list(ours.train_dataset))
    expected = batch["input_ids"].numel() if counting == "all" else int(batch["attention_mask"].sum())
    ours.train()
    assert [log["num_tokens"] for log in training_logs(ours)] == [expected, 2 * expected]


# -- Evaluation ------------------------------------------------------------------------------------------


@pytest.mark.slow
@both_paths
@pytest.mark.parametrize("batch_size", [1, 3, 7])
@pytest.mark.parametrize("stream", [False, True], ids=["data set", "stream"])
def test_evaluation_is_the_same_for_every_batch_size(
    trainer: Build, ranked: Dataset, llama_path: str, batch_size: int, stream: bool, share_prefix: bool
) -> None:
    rows = ranked.to_iterable_dataset() if stream else ranked
    ours = trainer(llama_path, eval_dataset=rows, per_device_eval_batch_size=batch_size, share_prefix=share_prefix)
    with torch.no_grad():
        _, expected = by_hand(ours.model, list(ours.train_dataset))
    del expected["num_tokens"]
    metrics = ours.evaluate()
    assert {name: metrics[f"eval_{name}"] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_each_of_several_eval_sets_has_metrics_of_its_own(trainer: Build, ranked: Dataset, llama_path: str) -> None:
    parts = {"first": ranked.select(range(3)), "second": ranked.select(range(3, 7))}
    ours = trainer(llama_path, eval_dataset=parts)
    examples = list(ours.train_dataset)
    metrics = ours.evaluate()
    for name, part in {"first": examples[:3], "second": examples[3:]}.items():
        _, expected = by_hand(ours.model, part)
        del expected["num_tokens"]
        actual = {key: metrics[f"eval_{name}_{key}"] for key in expected}
        assert actual == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_evaluation_during_training(trainer: Build, ranked: Dataset, llama_path: str) -> None:
    ours = trainer(llama_path, eval_dataset=ranked, eval_strategy="steps", eval_steps=1, max_steps=2)
    ours.train()
    evaluations = [entry for entry in ours.state.log_history if "eval_loss" in entry]
    assert [entry["step"] for entry in evaluations] == [1, 2]
    assert evaluations[1]["eval_loss"] < evaluations[0]["eval_loss"]
    assert all("eval_rank_loss" not in entry for entry in training_logs(ours))
    assert [entry["step"] for entry in training_logs(ours)] == [1, 2]


def test_rows_given_to_evaluate_are_prepared(trainer: Build, ranked: Dataset, llama_path: str) -> None:
    ours = trainer(llama_path)
    rows = ranked.select(range(2))
    _, expected = by_hand(ours.model, list(ours.train_dataset)[:2])
    assert ours.evaluate(rows)["eval_loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert ours.evaluate({"a": rows})["eval_a_loss"] == pytest.approx(expected["loss"], abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"max_tokens_per_forward": 40}, {"share_prefix": False}], ids=str)
def test_predict_measures_as_evaluate_does(
    trainer: Build, ranked: Dataset, llama_path: str, options: dict[str, Any]
) -> None:
    ours = trainer(llama_path, **options)
    expected = ours.evaluate(ranked)
    found = ours.predict(ranked)
    assert found.metrics["test_loss"] == pytest.approx(expected["eval_loss"], abs=1e-6)
    assert found.metrics["test_margins"] == pytest.approx(expected["eval_margins"], abs=1e-6)
    assert (found.predictions is None) == ("share_prefix" not in options)


@pytest.mark.slow
def test_evaluation_leaves_the_model_and_the_training_metrics_alone(
    trainer: Build, ranked: Dataset, llama_path: str
) -> None:
    options = {"max_steps": 2, "logging_steps": 2, "per_device_train_batch_size": 4}
    plain = trainer(llama_path, **options)
    evaluated = trainer(llama_path, eval_dataset=ranked, eval_strategy="steps", eval_steps=1, **options)
    plain.train()
    evaluated.train()
    assert_same_weights(weights(evaluated.model), weights(plain.model), atol=0)
    names = ["loss", "rank_loss", "sft_loss", "entropy", "num_tokens"]
    logs = [training_logs(run)[0] for run in (evaluated, plain)]
    assert {name: logs[0][name] for name in names} == {name: logs[1][name] for name in names}

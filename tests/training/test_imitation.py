"""Where ranking has no weight only what is imitated is read, and the policy becomes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset

from rrtf_trl import RRTFTrainer
from rrtf_trl.training.imitation import keep_imitated
from rrtf_trl.training.run import trained_pairs

Build = Callable[..., RRTFTrainer]
ALMOST_NO_RANKING = 1e-20
BEST: dict[str, Any] = {}
GOOD: dict[str, Any] = {"sft_responses": "all", "sft_min_score": 0.5}


def trained(trainer: RRTFTrainer) -> dict[str, torch.Tensor]:
    trainer.train()
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True], ids=["data set", "stream"])
@pytest.mark.parametrize("share_prefix", ["true", "false"], ids=["shared", "padded"])
@pytest.mark.parametrize("options", [BEST, GOOD], ids=["best", "all that are good"])
def test_the_policy_is_that_of_reading_all(
    trainer: Build, llama_path: str, ranked: Dataset, options: dict[str, Any], share_prefix: str, stream: bool
) -> None:
    rows = ranked.filter(lambda row: max(row["scores"]) >= 0.5)  # the others are dropped, with a warning
    same = {"optim": "sgd", "per_device_train_batch_size": len(rows), "share_prefix": share_prefix, **options}
    everything = trainer(llama_path, rows, rank_weight=ALMOST_NO_RANKING, **same)
    alone = trainer(llama_path, rows.to_iterable_dataset() if stream else rows, rank_weight=0.0, **same)
    read = [row["response_ids"] for row in alone.train_dataset]
    imitated = [line["imitated"] for line in trained_pairs(everything.train_dataset, everything.args)]
    assert read == [
        [ids for place, ids in enumerate(row["response_ids"]) if place in chosen]
        for row, chosen in zip(everything.train_dataset, imitated, strict=True)
    ]
    assert sum(map(len, read)) < sum(len(row["response_ids"]) for row in everything.train_dataset)
    if not stream:
        found = list(trained_pairs(alone.train_dataset, alone.args))
        assert [(line["imitated"], line["pairs"]) for line in found] == [(chosen, []) for chosen in imitated]
    before, after, expected = dict(alone.model.named_parameters()), trained(alone), trained(everything)
    assert before.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(after[name], weight, atol=1e-6, rtol=1e-5, msg=name)
    step, whole = alone.state.log_history[0], everything.state.log_history[0]
    assert step["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert step["num_tokens"] < whole["num_tokens"]


def test_a_registered_loss_gets_all_responses(trainer: Build, llama_path: str, ranked: Dataset) -> None:
    alone = trainer(llama_path, ranked, rank_weight=0.0)
    args = alone.args
    args.loss_type = "listwise"
    assert keep_imitated(ranked, args, "train") is ranked


def test_an_evaluation_may_have_rows_of_which_nothing_is_imitated(
    trainer: Build, llama_path: str, ranked: Dataset
) -> None:
    failing = ranked.map(lambda row: {"scores": [-float(place) for place in range(len(row["scores"]))]})
    options = {"sft_min_score": 0.5, "rank_min_score": 0.5, "per_device_eval_batch_size": len(failing)}
    for rank_weight in (0.0, 1.0):
        one = trainer(llama_path, eval_dataset=failing, rank_weight=rank_weight, **options)
        assert len(one.eval_dataset) == len(failing)
        assert one.evaluate()["eval_loss"] == 0.0


# Every letter is one token: the prompt is 2 tokens, a response its letters and the end of sequence.
LONG_WORST = {"prompt": "pq", "responses": ["zqz", "zqzqzqz"], "scores": [1.0, 0.0]}
LONG_BEST = {"prompt": "pq", "responses": ["z", "q", "zqzqzqz"], "scores": [0.0, 1.0, 2.0]}


@pytest.mark.parametrize("stream", [False, True], ids=["data set", "stream"])
def test_the_best_response_that_fits_is_enough(trainer: Build, llama_path: str, stream: bool) -> None:
    rows = Dataset.from_list([LONG_WORST, LONG_BEST])
    alone = trainer(llama_path, rows.to_iterable_dataset() if stream else rows, rank_weight=0.0, max_length=6)
    assert [(row["row"], row["kept"]) for row in alone.train_dataset] == [(0, [0]), (1, [1])]
    ranking = trainer(llama_path, rows.to_iterable_dataset() if stream else rows, max_length=6)
    assert [(row["row"], row["kept"]) for row in ranking.train_dataset] == [(1, [0, 1])]


def test_max_responses_limits_those_that_are_imitated(trainer: Build, llama_path: str) -> None:
    row = {"prompt": "pq", "responses": list("abcdef"), "scores": [1.0, 0.0, 2.0, 1.0, 3.0, 0.0]}
    alone = trainer(llama_path, Dataset.from_list([row]), rank_weight=0.0, max_responses=3, **GOOD)
    assert alone.train_dataset[0]["kept"] == [0, 3, 4]  # of 4, 2, 0 and 3, from the best to the worst


def test_a_row_of_one_response_can_be_imitated(trainer: Build, llama_path: str) -> None:
    rows = Dataset.from_list([{"prompt": "pq", "responses": ["zq"], "scores": [1.0]}])
    alone = trainer(llama_path, rows, rank_weight=0.0)
    alone.train()
    assert alone.state.log_history[0]["sft_loss"] > 0
    with pytest.raises(ValueError, match="Row 0 has 1 response: ranking needs at least two"):
        trainer(llama_path, rows)

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

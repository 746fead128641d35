"""Scores keep their order, however large: they are compared in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset

from rrtf_trl import RRTFTrainer, registry
from rrtf_trl.training import RankedCollator
from rrtf_trl.training.losses import LossOutput
from rrtf_trl.training.packing import PackedCollator
from rrtf_trl.training.prepare import check_float32_scores
from rrtf_trl.training.rows import ranked_row

Build = Callable[..., RRTFTrainer]
LARGE = 2.0**24  # in float32, the next number is 2 larger
ROW = {"prompt": "pq", "responses": ["zq", "qz", "zz"], "scores": [LARGE, LARGE + 1, LARGE - 1]}


@pytest.mark.parametrize("share_prefix", ["true", "false"], ids=["shared", "padded"])
def test_large_scores_are_ranked_and_imitated_in_their_order(
    trainer: Build, llama_path: str, share_prefix: str
) -> None:
    ours = trainer(
        llama_path,
        Dataset.from_list([ROW]),
        share_prefix=share_prefix,
        sft_min_score=LARGE + 1,
        rank_min_score=LARGE + 0.5,
        pair_reduction="sum",
        sft_reduction="sum",
        length_normalization=False,
    )
    batch = ours.data_collator(list(ours.train_dataset))
    scored: list[torch.Tensor] = []
    for response in ours.train_dataset[0]["response_ids"]:
        prompt = ours.train_dataset[0]["prompt_ids"]
        logits = ours.model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        scored.append(logits.log_softmax(dim=-1)[range(len(response)), response].sum())
    # The best is above the other two by 1 and by 2; float32 has equal scores for the first two.
    ranking = (scored[0] - scored[1]).clamp(min=0) + 2 * (scored[2] - scored[1]).clamp(min=0)
    loss = ours.compute_loss(ours.model, batch, return_outputs=True)[1]
    assert loss.rank_loss.item() == pytest.approx(ranking.item(), rel=1e-4)
    assert loss.sft_loss.item() == pytest.approx(-scored[1].item(), rel=1e-4)
    assert len(loss.margins) == 2
    assert {term.dtype for term in (loss.rank_loss, loss.sft_loss, loss.margins)} == {torch.float32}


@pytest.mark.parametrize("scores", [[2.0**53, 2**53 + 1], [2**53, 2**53 - 1, 2**53 + 1]])
def test_scores_that_float64_does_not_tell_apart_are_refused(scores: list[Any]) -> None:
    row = {"prompt": "p", "responses": list("abc")[: len(scores)], "scores": scores}
    with pytest.raises(ValueError, match=r"Row 7: the scores .* are different, but both are 9007199254740992\.0 in f"):
        ranked_row(row, 7)


@pytest.mark.parametrize("collator", [RankedCollator(pad_token_id=0), PackedCollator()])
def test_batches_have_scores_in_float64(collator: Any) -> None:
    row = {"prompt_ids": [1], "response_ids": [[2], [3]], "scores": [LARGE, LARGE + 1], "from_teacher": [False, False]}
    assert collator([row])["groups"].scores.tolist() == [LARGE, LARGE + 1]


@pytest.mark.parametrize("as_stream", [False, True])
def test_scores_that_float32_makes_equal_are_refused_where_a_loss_reads_it(as_stream: bool) -> None:
    rows = Dataset.from_list([{"scores": [0.0, 0.1], "row": 4}, {"scores": [LARGE, LARGE + 1], "row": 7}])
    dataset = rows.to_iterable_dataset() if as_stream else rows
    with pytest.raises(
        ValueError, match=r"Row 7: the scores 16777216\.0 and 16777217\.0 are .* 16777216\.0 in float32"
    ):
        list(check_float32_scores(dataset))


def test_a_registered_loss_gets_scores_of_the_dtype_of_log_probabilities(
    trainer: Build, llama_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def weighted(
        logps: torch.Tensor, lengths: torch.Tensor, scores: torch.Tensor, group_ids: torch.Tensor, config: Any
    ) -> LossOutput:
        seen.append(scores.dtype)
        by_group = logps.new_zeros(int(group_ids[-1]) + 1).index_add(0, group_ids, scores * logps)
        return LossOutput(by_group, by_group, logps[:0].detach())

    monkeypatch.setattr(registry, "find", lambda kind, name: weighted)
    monkeypatch.setattr(registry, "names", lambda kind: ["weighted"])
    rows = Dataset.from_list([{**ROW, "scores": [0.0, 1.0, 2.0]}])
    trainer(llama_path, rows, loss_type="weighted").train()
    assert seen == [torch.float32]
    with pytest.raises(ValueError, match=r"Row 0: the scores 16777216\.0 and 16777217\.0 are different"):
        trainer(llama_path, Dataset.from_list([ROW]), loss_type="weighted")

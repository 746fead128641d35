"""The completions table: which responses it has, and how likely the policy finds them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from support.trainer_checks import Build, both_paths


@both_paths
@pytest.mark.parametrize("limit", [None, 30])
def test_the_best_and_worst_responses_are_shown_with_their_likelihood(
    trainer: Build,
    llama_path: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    share_prefix: bool,
    limit: int | None,
) -> None:
    ours = trainer(
        llama_path,
        share_prefix=share_prefix,
        max_tokens_per_forward=limit,
        log_completions=True,
        num_completions_to_print=5,
        max_steps=2,
    )
    ours.train()
    assert capsys.readouterr().out.count("Step ") == 2
    first, second = (
        pd.read_parquet(Path(ours.args.output_dir) / "completions" / f"completions_0000{step}.parquet")
        for step in (1, 2)
    )
    examples = list(ours.train_dataset)[:2]
    places = [(row, pick(row["scores"])) for row in examples for pick in (_best, _worst)]
    texts = [ours.processing_class.decode(row["response_ids"][place]) for row, place in places]
    assert first["completion"].tolist() == second["completion"].tolist() == texts
    assert first["score"].tolist() == [row["scores"][place] for row, place in places]
    assert first["prompt"].tolist() == [ours.processing_class.decode(row["prompt_ids"]) for row, _ in places]
    after = ours.model
    for (row, place), shown in zip(places, second["log-probability"], strict=True):
        start, ids = len(row["prompt_ids"]), row["response_ids"][place]
        with torch.no_grad():
            logits = after(input_ids=torch.tensor([row["prompt_ids"] + ids])).logits[0, start - 1 : -1]
        assert shown == pytest.approx(logits.log_softmax(dim=-1)[range(len(ids)), ids].mean().item(), abs=1e-5)
    assert first["log-probability"].tolist() != second["log-probability"].tolist()


def _best(scores: list[float]) -> int:
    return scores.index(max(scores))


def _worst(scores: list[float]) -> int:
    return scores.index(min(scores))


def test_showing_changes_no_training(trainer: Build, llama_path: str) -> None:
    with_table, without = (trainer(llama_path, log_completions=shown, max_steps=2) for shown in (True, False))
    for ours in (with_table, without):
        ours.train()
    for name, weight in without.model.named_parameters():
        assert torch.equal(dict(with_table.model.named_parameters())[name], weight), name


def test_a_row_alone_needs_two(trainer: Build, llama_path: str) -> None:
    with pytest.raises(ValueError, match="`num_completions_to_print` must be at least 2, got 1"):
        trainer(llama_path, num_completions_to_print=1)

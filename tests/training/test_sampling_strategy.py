"""Batches of rows of similar sizes, and what cannot be split over processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from accelerate.parallelism_config import ParallelismConfig
from datasets import Dataset

from rrtf_trl import RRTFConfig, RRTFTrainer

Build = Callable[..., RRTFTrainer]


def test_rows_are_grouped_by_the_tokens_of_prompt_and_responses(trainer: Build, llama_path: str) -> None:
    # Every letter is one token, and a response has its end. The longest prompts have the shortest responses.
    counts = [number * 7 % 16 for number in range(64)]
    rows = [
        {
            "prompt": "z" * (16 - count),
            "responses": ["q" * (1 + count)] * (2 + count % 3),
            "scores": [1.0] * (2 + count % 3),
        }
        for count in counts
    ]
    ours = trainer(
        llama_path,
        Dataset.from_list(rows),
        train_sampling_strategy="group_by_length",
        per_device_train_batch_size=2,
        max_steps=4,
    )
    order = [int(number) for number in ours.get_train_dataloader().batch_sampler.sampler]
    assert sorted(order) == list(range(64))
    assert order != list(range(64))
    sizes = [16 - counts[number] + (2 + counts[number] % 3) * (2 + counts[number]) for number in order]
    # transformers sorts so many rows at a time, and puts the largest first of all, so that memory runs out at once.
    for start in range(0, 64, 16):
        assert sizes[start + 1 : start + 16] == sorted(sizes[start + 1 : start + 16], reverse=True)
    assert sizes[0] == max(sizes)
    ours.train()
    assert ours.state.global_step == 4


@pytest.mark.parametrize("name", ["cp_size", "sp_size"])
@pytest.mark.parametrize("by", ["option", "launcher"])
def test_sequences_split_over_processes_are_refused(
    trainer: Build,
    llama_path: str,
    config: Callable[..., RRTFConfig],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    by: str,
) -> None:
    if by == "launcher":
        monkeypatch.setenv("ACCELERATE_USE_PARALLELISM_CONFIG", "true")
        monkeypatch.setenv(f"PARALLELISM_CONFIG_{name.upper()}", "2")
        chosen = None
    else:
        chosen = ParallelismConfig(**{name: 2})
    with pytest.raises(ValueError, match=rf"does not support context or sequence parallelism .*{name}=2.*Set both"):
        trainer(llama_path, parallelism_config=chosen)

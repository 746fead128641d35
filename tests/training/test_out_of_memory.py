"""Lack of memory names the rows that were trained on, and what to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate.utils.memory import should_reduce_batch_size
from datasets import Dataset

from rrtf_trl import RRTFTrainer

Build = Callable[..., RRTFTrainer]
ROWS = [{"prompt": "zz", "responses": ["zqz", "q"], "scores": [1.0, 0.0]}] * 4


def on_a_processor(*_: Any) -> None:
    torch.empty(2**55)  # this fails for want of memory anywhere


def on_a_gpu(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("fail", [on_a_processor, on_a_gpu])
@pytest.mark.parametrize(
    ("share_prefix", "size"),
    [
        ("true", "4 responses in 16 tokens, of which the longest response with its prompt has 6"),
        ("false", "4 responses in 24 tokens with padding, 6 for each"),
    ],
    ids=["shared", "padded"],
)
def test_the_rows_their_tokens_and_the_options_are_named(
    trainer: Build, llama_path: str, fail: Any, share_prefix: str, size: str
) -> None:
    dropped = {**ROWS[0], "prompt": "z" * 50}  # rows keep the numbers that they were passed with
    ours = trainer(
        llama_path,
        Dataset.from_list([dropped, *ROWS]),
        share_prefix=share_prefix,
        per_device_train_batch_size=2,
        max_length=20,
        train_sampling_strategy="sequential",
        max_steps=2,
    )
    steps = []

    def fail_at_second(*args: Any) -> None:
        steps.append(args)
        if len(steps) == 2:
            fail()

    ours.model.model.register_forward_hook(fail_at_second)
    with pytest.raises(RuntimeError) as caught:
        ours.train()
    message = str(caught.value)
    assert f"too little memory to train on rows 3, 4: {size}. Lower `per_device_train_batch_size` (now 2)" in message
    assert "`max_length` (now 20), `max_responses` (now None), or set `gradient_checkpointing=True`." in message
    assert type(caught.value) is type(caught.value.__cause__)
    assert str(caught.value.__cause__) in message
    assert should_reduce_batch_size(caught.value)  # so that `auto_find_batch_size` goes on


def test_other_errors_are_left_as_they_are(trainer: Build, llama_path: str) -> None:
    ours = trainer(llama_path)

    def fail(*_: Any) -> None:
        raise RuntimeError("another")

    ours.model.model.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match=r"^another$"):
        ours.train()

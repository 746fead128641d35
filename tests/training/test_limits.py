"""Rows that a model cannot read are refused before training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rrtf_trl import RRTFTrainer

Build = Callable[..., RRTFTrainer]


def rows(repeated: int, prompt: str = "def f(x):\n") -> Dataset:
    responses = ["    return x + x\n" * repeated, "    pass\n"]
    return Dataset.from_list([{"prompt": prompt, "responses": responses, "scores": [1.0, 0.0]}] * 3)


def test_rows_longer_than_learned_positions_are_refused(gpt2_path: str, trainer: Build) -> None:
    message = (
        r"train data set: max_length=1024 is more than the model's 256 positions, and 3 responses are longer with "
        r"their prompt \(longest: \d+ tokens\)\. Set `max_length=256`"
    )
    with pytest.raises(ValueError, match=message):
        trainer(gpt2_path, rows(80))
    with pytest.raises(ValueError, match=r"eval data set: max_length=None is more than"):
        trainer(gpt2_path, rows(1), eval_dataset=rows(80), max_length=None)
    with pytest.raises(ValueError, match=r"train data set: max_length=1024 is more than .* Set `max_length=256`"):
        trainer(gpt2_path, rows(1).to_iterable_dataset())


def test_a_large_max_length_is_fine_where_no_row_is_longer_than_the_positions(
    gpt2_path: str, trainer: Build, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        trainer(gpt2_path, rows(1))
        trainer(gpt2_path, rows(1).to_iterable_dataset(), max_length=256)
    assert "positions" not in caplog.text


def test_rotary_positions_go_on_with_a_warning(
    llama_path: str, trainer: Build, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        trainer(llama_path, rows(80)).train()
    assert "more than the model's 256 positions, and 3 responses are longer" in caplog.text


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_tokens_without_an_embedding_are_refused(
    name: str, tokenizer: PreTrainedTokenizerFast, trainer: Build, request: pytest.FixtureRequest
) -> None:
    model: PreTrainedModel = request.getfixturevalue(name)
    tokenizer.add_tokens(["<|code|>"])
    message = (
        r"data set: there is token 311 \('<\|code\|>'\), and the model has embeddings for the numbers below 311 only: "
        r"the tokenizer has 1 token that the model has no embedding for\. .*`model.resize_token_embeddings\(312\)`"
    )
    with pytest.raises(ValueError, match=message):
        trainer(model, rows(1, "<|code|>"), processing_class=tokenizer)
    # It does no harm where no row has it.
    trainer(model, rows(1), processing_class=tokenizer)
    stream = trainer(model, rows(1, "<|code|>").to_iterable_dataset(), processing_class=tokenizer, max_length=256)
    with pytest.raises(ValueError, match=message):
        next(iter(stream.train_dataset))


def test_more_embeddings_than_tokens_are_fine(
    llama: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, trainer: Build
) -> None:
    llama.resize_token_embeddings(384)
    trainer(llama, rows(1), processing_class=tokenizer)


@pytest.mark.parametrize("options", [{}, {"pad_token": "[PAD]"}])
def test_a_padding_token_without_an_embedding_is_refused(
    llama: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, trainer: Build, options: dict[str, Any]
) -> None:
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    message = r"padding token '\[PAD\]' is number 311, .* below 311 only\. Set `pad_token` .* '<eos>'"
    with pytest.raises(ValueError, match=message):
        trainer(llama, rows(1), processing_class=tokenizer, **options)
    trainer(llama, rows(1), processing_class=tokenizer, pad_token="<eos>")

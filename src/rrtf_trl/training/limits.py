"""What a model can read, its positions and its tokens, compared with prepared rows before they are trained on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow.compute as pc
from accelerate.utils import is_peft_model
from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from .loading import base_model

logger = logging.getLogger(__name__)

_POSITION_TABLES = ("wpe", "embed_positions")
"""Attributes with a vector for each position: of GPT-2, GPT-Neo and StarCoder, and of OPT, GPT-J and CodeGen."""


@dataclass(frozen=True)
class Limits:
    """What a model can read.

    Args:
        positions: The longest sequence that it was made for, or ``None`` where its configuration does not say.
        has_table: Whether there is nothing behind that: it looks positions up in a table, as GPT-2 does. Models with
            rotary positions compute others too, which they have not seen in training.
        tokens: How many embeddings it has.
    """

    positions: int | None
    has_table: bool
    tokens: int


def limits_of(model: Any) -> Limits:
    """Return the limits of a causal language model, or a PEFT model of one."""
    base = base_model(model)
    config = base.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and is_peft_model(model):
        positions -= getattr(model.active_peft_config, "num_virtual_tokens", None) or 0
    # Of a vision-language model, only the tower that reads images has a table.
    has_table = config is base.config and any(hasattr(m, name) for m in base.modules() for name in _POSITION_TABLES)
    weight = base.get_input_embeddings().weight
    return Limits(positions, has_table, int(getattr(weight, "ds_shape", weight.shape)[0]))  # ZeRO-3 keeps ds_shape


def check_padding(tokenizer: PreTrainedTokenizerBase, limits: Limits) -> None:
    """Refuse a padding token that the model has no embedding for.

    Raises:
        ValueError: If it has none.
    """
    if tokenizer.pad_token_id >= limits.tokens:
        raise ValueError(
            f"The padding token {tokenizer.pad_token!r} is number {tokenizer.pad_token_id}, and the model has "
            f"embeddings for the numbers below {limits.tokens} only. Set `pad_token` to a token that it has, for "
            f"instance {tokenizer.eos_token!r}, or add an embedding with "
            f"`model.resize_token_embeddings({len(tokenizer)})`."
        )


def check_rows(
    dataset: Dataset | IterableDataset,
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    limits: Limits,
    max_length: int | None,
) -> Dataset | IterableDataset:
    """Return a prepared data set whose rows the model can read; those of a stream are checked as they are read.

    Raises:
        ValueError: If a row is longer than the model's table of positions, or has a token without an embedding.
    """
    check = partial(_check, name=name, tokenizer=tokenizer, limits=limits, max_length=max_length)
    if isinstance(dataset, IterableDataset):
        if (
            limits.has_table
            and limits.positions is not None
            and (max_length or limits.positions + 1) > limits.positions
        ):
            raise ValueError(_too_long(name, limits, max_length) + f" Set `max_length={limits.positions}`.")

        def checked(row: dict[str, Any]) -> dict[str, Any]:
            ids = [row["prompt_ids"], *row["response_ids"]]
            check(max(map(max, filter(None, ids))), len(ids[0]) + max(map(len, ids[1:])), 0)
            return row

        return dataset.map(checked)
    largest, longest, longer = 0, 0, 0
    for table in dataset.select_columns(["prompt_ids", "response_ids"]).with_format("arrow").iter(batch_size=1000):
        prompts, responses = (table[column].combine_chunks() for column in ("prompt_ids", "response_ids"))
        lengths = pc.add(
            pc.list_value_length(prompts).take(pc.list_parent_indices(responses)),
            pc.list_value_length(pc.list_flatten(responses)),
        )
        tokens = (pc.list_flatten(prompts), pc.list_flatten(pc.list_flatten(responses)))
        largest = max(largest, *(pc.max(ids).as_py() or 0 for ids in tokens))
        longest = max(longest, pc.max(lengths).as_py() or 0)
        longer += pc.sum(pc.greater(lengths, limits.positions or longest)).as_py() or 0
    check(largest, longest, longer)
    return dataset


def _check(
    largest: int,
    longest: int,
    longer: int,
    *,
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    limits: Limits,
    max_length: int | None,
) -> None:
    """Check the largest token id and the longest sequence of some rows; ``longer`` sequences have too many tokens."""
    if largest >= limits.tokens:
        missing = max(len(tokenizer) - limits.tokens, 0)
        raise ValueError(
            f"{name} data set: there is token {largest} ({tokenizer.convert_ids_to_tokens(largest)!r}), and the model "
            f"has embeddings for the numbers below {limits.tokens} only: the tokenizer has {missing} "
            f"token{'' if missing == 1 else 's'} that the model has no embedding for. Use the model's own tokenizer, "
            f"or call `model.resize_token_embeddings({max(len(tokenizer), largest + 1)})`, save the model, and train "
            "that."
        )
    if limits.positions is None or longest <= limits.positions:
        return
    found = f"{longer} responses are longer with their prompt (longest: {longest} tokens)"
    if limits.has_table:
        raise ValueError(
            f"{_too_long(name, limits, max_length)}, and {found}. Set `max_length={limits.positions}`, which leaves "
            "those out and counts them."
        )
    logger.warning(
        f"{_too_long(name, limits, max_length)}, and {found}. It reads them, but was not made for it. "
        f"`max_length={limits.positions}` leaves them out."
    )


def _too_long(name: str, limits: Limits, max_length: int | None) -> str:
    return f"{name} data set: max_length={max_length} is more than the model's {limits.positions} positions"

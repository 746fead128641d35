"""Prepares a data set for training: tokenizes rows, fits them to the limits, and drops those that add nothing.

What is left out is counted and logged.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import numpy as np
from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from .config import RRTFConfig
from .data import PER_TOKEN, unscored_of, with_responses
from .losses import ResolvedLoss
from .losses.contract import NEEDS
from .rows import check_different, unread_columns
from .tokens import tokenize_row

logger = logging.getLogger(__name__)

_PREPARED = {"prompt_ids", "response_ids", "kept"}
GROUPING = ("group_by_length", "batch_rebalance")
"""Values of ``train_sampling_strategy`` for which rows need a length."""
_FEWER_THAN = {1: "no", 2: "fewer than two"}


def fit_row(
    example: dict[str, Any], max_length: int | None, max_responses: int | None, truncation_mode: str = "drop"
) -> dict[str, Any]:
    """Return a tokenized row without the responses that do not fit, or with these cut; ``kept`` has the indices left.

    See ``max_length``, ``truncation_mode`` and ``max_responses`` of :class:`~rrtf_trl.training.config.RRTFConfig`.
    """
    prompt, responses = example["prompt_ids"], example["response_ids"]
    keep = list(range(len(responses)))
    if max_length is not None:
        if truncation_mode == "keep_start":
            responses = [ids[: max(max_length - len(prompt), 0)] for ids in responses]
        elif truncation_mode == "keep_end":
            # The prompt is the same for all responses of a row, so it is cut for the longest.
            excess = len(prompt) + max(map(len, responses)) - max_length
            prompt, responses = prompt[max(excess, 0) :], [ids[-max_length:] for ids in responses]
        keep = [i for i in keep if responses[i] and len(prompt) + len(responses[i]) <= max_length]
    unscored = unscored_of(example)
    keep = [i for i in keep if len(responses[i]) > unscored[i]]  # one that is cut in its thoughts says nothing
    keep = choose_responses(example["scores"], example["from_teacher"], max_responses, keep)
    fitted = {
        "prompt_ids": prompt,
        "response_ids": responses,
        "unscored": unscored,
        "kept": list(range(len(responses))),
    }
    for name in PER_TOKEN:
        if example.get(name) is not None:  # cut as the responses are
            cut = slice(-max_length, None) if truncation_mode == "keep_end" and max_length else slice(None)
            fitted[name] = [values[cut][: len(ids)] for values, ids in zip(example[name], responses, strict=True)]
    return with_responses({**example, **fitted}, keep)


def choose_responses(
    scores: list[float], from_teacher: list[bool], max_responses: int | None, among: list[int] | None = None
) -> list[int]:
    """Return the indices of at most ``max_responses`` responses: the best, the worst and evenly spaced ones between.

    Args:
        scores: One per response.
        from_teacher: One per response; among equal scores a teacher's comes first, because it is the one imitated.
        max_responses: At least 2, or ``None`` for all.
        among: The indices to choose from, by default all.
    """
    among = list(range(len(scores))) if among is None else among
    if max_responses is None or len(among) <= max_responses:
        return among
    ranked = sorted(among, key=lambda i: (-scores[i], not from_teacher[i]))
    return sorted({ranked[round(i * (len(ranked) - 1) / (max_responses - 1))] for i in range(max_responses)})


def prepare_dataset(
    dataset: Dataset | IterableDataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    name: str,
    max_length: int | None,
    max_responses: int | None,
    require_sources: bool,
    num_proc: int | None,
    truncation_mode: str = "drop",
    min_score: float | None = None,
    chat_template_kwargs: dict[str, Any] | None = None,
    reasoning: str = "keep",
    min_responses: int = 2,
) -> Dataset | IterableDataset:
    """Tokenize the rows of a data set and fit them; a prepared data set is returned as it is.

    With ``min_score``, rows without a response of at least that score are dropped: they would add nothing to the loss.
    So are rows with fewer than ``min_responses`` left: 2 for a pair, 1 where nothing is ranked. Columns that are not
    read are named in a warning.

    Raises:
        ValueError: If a row cannot be trained on, or none is left after ``max_length`` or ``min_score``; the message
            names the data set.
    """
    first = next(iter(dataset), None)
    if first is None:
        raise ValueError(f"The {name} data set is empty: there is nothing to train on.")
    if first.keys() >= _PREPARED:
        return dataset
    if "prompt_ids" not in first and (unread := unread_columns(first)):
        logger.warning(f"{name} data set: columns that are not read: {', '.join(unread)}.")
    # An `IterableDataset` maps as it is read, and has neither option.
    options = {"num_proc": num_proc, "desc": f"Tokenizing {name} data set"} if isinstance(dataset, Dataset) else {}
    dataset = dataset.map(
        _tokenize_row_of,
        with_indices=True,
        fn_kwargs={
            "name": name,
            "tokenizer": tokenizer,
            "require_sources": require_sources,
            "chat_template_kwargs": chat_template_kwargs,
            "reasoning": reasoning,
            "min_responses": min_responses,
        },
        remove_columns=list(first),
        **options,
    )
    limits = {"max_length": max_length, "max_responses": max_responses, "truncation_mode": truncation_mode}
    if isinstance(dataset, IterableDataset):
        return dataset.map(fit_row, fn_kwargs=limits).filter(_StreamFilter(name, max_length, min_score, min_responses))
    if redrawn := sum(dataset["redrawn"]):
        logger.warning(
            f"{name} data set: {redrawn} responses are trained on as the tokens that were drawn; their text alone "
            "would have been encoded to others."
        )
    fitted = dataset.map(fit_row, fn_kwargs=limits, num_proc=num_proc, desc=f"Fitting {name} data set")
    kept = fitted.filter(lambda row: len(row["scores"]) >= min_responses, num_proc=num_proc)
    if max_length is not None:
        action = "left out" if truncation_mode == "drop" else "cut"
        _report_too_long(dataset, kept, name, max_length, action, min_responses)
    if min_score is None:
        return kept
    good = kept.filter(lambda row: max(row["scores"]) >= min_score, num_proc=num_proc)
    _report_no_good_response(len(kept), len(good), name, min_score)
    return good


def _tokenize_row_of(row: dict[str, Any], index: int, name: str, **options: Any) -> dict[str, Any]:
    try:
        return tokenize_row(row, index, **options)
    except ValueError as error:
        raise ValueError(f"{name} data set: {error}") from error


class _StreamFilter:
    """Keeps the rows of a stream that add to the loss, and counts the others as they are read."""

    def __init__(self, name: str, max_length: int | None, min_score: float | None, min_responses: int) -> None:
        self.name, self.max_length, self.min_score = name, max_length, min_score
        self.min_responses = min_responses
        self.dropped: Counter[str] = Counter()

    def __call__(self, row: dict[str, Any]) -> bool:
        if len(row["scores"]) < self.min_responses:
            few = _FEWER_THAN[self.min_responses]
            self._drop(row, f"had {few} responses within max_length={self.max_length} tokens")
            return False
        if self.min_score is not None and max(row["scores"]) < self.min_score:
            self._drop(row, f"had no response with a score of at least {self.min_score:g}")
            return False
        return True

    def _drop(self, row: dict[str, Any], reason: str) -> None:
        self.dropped[reason] += 1
        if str(self.dropped[reason]).rstrip("0") == "1":  # 1, 10, 100, ...
            logger.warning(
                f"{self.name} data set: {self.dropped[reason]} rows of the stream so far {reason} and were dropped, "
                f"row {row['row']} the latest."
            )


def _report_no_good_response(rows: int, good: int, name: str, min_score: float) -> None:
    if good == rows:
        return
    message = f"{name} data set: {rows - good} of {rows} rows have no response with a score of at least {min_score:g}"
    if not good:
        raise ValueError(f"{message}: nothing is left to train on. Lower `sft_min_score` or `rank_min_score`.")
    logger.warning(f"{message} and were dropped: with `sft_min_score` and `rank_min_score` they add nothing.")


def _report_too_long(
    before: Dataset, kept: Dataset, name: str, max_length: int, action: str, min_responses: int
) -> None:
    responses, longest = 0, 0
    for row in before.select_columns(["prompt_ids", "response_ids"]):
        for ids in row["response_ids"]:
            length = len(row["prompt_ids"]) + len(ids)
            responses += length > max_length
            longest = max(longest, length)
    if not responses:
        return
    message = (
        f"{name} data set: {responses} responses longer than max_length={max_length} tokens with their prompt "
        f"(longest: {longest}) were {action}, and {len(before) - len(kept)} of {len(before)} rows had "
        f"{_FEWER_THAN[min_responses].replace('no', 'none')} left."
    )
    if len(kept) == 0:
        raise ValueError(f"{message} No row is left: raise `max_length`.")
    logger.warning(message)


def add_lengths(dataset: Dataset | IterableDataset, column: str) -> Dataset | IterableDataset:
    """Return prepared rows with their sizes, by which similar ones are put into a batch; a stream as it is.

    Args:
        dataset: Prepared rows.
        column: The new column: the tokens of a row's prompt and of all its responses.
    """
    if isinstance(dataset, IterableDataset):
        return dataset
    sizes = [
        len(row["prompt_ids"]) + sum(map(len, row["response_ids"]))
        for row in dataset.select_columns(["prompt_ids", "response_ids"])
    ]
    return (dataset.remove_columns(column) if column in dataset.column_names else dataset).add_column(column, sizes)


def use_passing_score(dataset: Dataset | IterableDataset, args: RRTFConfig) -> None:
    """Set ``sft_min_score`` and ``rank_min_score``, where they are ``None``, to the data set's ``passing_score``.

    Only responses that pass are then imitated, and ranked above others. :func:`rrtf_trl.rank` returns this column,
    which has the same value in each row; of a stream, the first one is read.

    Raises:
        ValueError: If the column of a data set that is no stream has several values.
    """
    if isinstance(dataset, IterableDataset):
        scores = [row["passing_score"] for row in dataset.take(1) if "passing_score" in row]
    else:
        scores = dataset.unique("passing_score") if "passing_score" in dataset.column_names else []
    if len(scores) > 1:
        raise ValueError(
            f"`train_dataset` has several values in `passing_score`: {scores[:5]}. Scores of one scale are needed."
        )
    score = next(iter(scores), None)
    args.sft_min_score = score if args.sft_min_score is None else args.sft_min_score
    args.rank_min_score = score if args.rank_min_score is None else args.rank_min_score


def check_float32_scores(dataset: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """Return prepared rows whose scores a loss may read as float32; those of a stream are checked as they are read.

    Raises:
        ValueError: If two different scores of a row are one number in float32.
    """

    def check(row: dict[str, Any]) -> dict[str, Any]:
        check_different(row["scores"], np.array(row["scores"], dtype=np.float32).tolist(), "float32", row["row"])
        return row

    if isinstance(dataset, IterableDataset):
        return dataset.map(check)
    for row in dataset.select_columns(["scores", "row"]):
        check(row)
    return dataset


def check_recorded(dataset: Dataset | IterableDataset, loss: ResolvedLoss, name: str) -> None:
    """Raise ValueError if a loss reads log-probabilities that were recorded in sampling, and the rows have none."""
    if "sampling_logps" not in loss.needs or not isinstance(dataset, Dataset):
        return
    if "sampling_logps" not in dataset.column_names or not any(dataset["sampling_logps"]):
        raise ValueError(f"{name} data set: the loss {loss.name!r} needs `sampling_logps`: {NEEDS['sampling_logps']}.")

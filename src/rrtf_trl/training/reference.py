"""The log-probabilities of the policy as it is before training, for losses that compare with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from datasets import Dataset, IterableDataset
from transformers.utils import logging

from .distributed import is_sharded
from .scoring import ScoredResponses

Batch = dict[str, Any]


def add_reference_logps(
    dataset: Dataset | IterableDataset,
    collate: Callable[[list[dict[str, Any]]], Batch],
    score: Callable[[Batch], list[ScoredResponses]],
    accelerator: Accelerator,
    name: str,
) -> Dataset:
    """Return prepared rows with the column ``reference_logps``; rows that have it are returned as they are.

    For each response it has the log-probability of each token, NaN for one that is not scored. Processes share the
    rows between them.

    Args:
        dataset: Prepared rows.
        collate: Makes a batch of some rows.
        score: Runs the policy on a batch, without a graph.
        accelerator: Of the trainer.
        name: The data set's name, for the progress bar and errors.

    Raises:
        ValueError: If the rows are a stream, or the weights are on several processes.
    """
    if isinstance(dataset, IterableDataset):
        raise ValueError(
            f"{name} data set: the loss compares with the policy before training, which cannot be computed for a "
            "stream. Load the rows as a `Dataset`, or choose another loss."
        )
    if "reference_logps" in dataset.column_names and dataset[0]["reference_logps"] is not None:
        return dataset
    if is_sharded(accelerator):
        raise ValueError(
            f"{name} data set: the loss compares with the policy before training, which is computed by processes that "
            "have the whole model. Make the trainer in one process, save its `train_dataset` with `save_to_disk`, and "
            "train on that."
        )
    numbers = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    bar = logging.tqdm(
        numbers, desc=f"Scoring {name} data set before training", disable=not accelerator.is_main_process
    )
    own = [(number, _of_row(dataset[number], collate, score)) for number in bar]
    found = dict(gather_object(own))
    return dataset.add_column("reference_logps", [found[number] for number in range(len(dataset))])


def _of_row(
    row: dict[str, Any],
    collate: Callable[[list[dict[str, Any]]], Batch],
    score: Callable[[Batch], list[ScoredResponses]],
) -> list[list[float]]:
    (scored,) = score(collate([row]))
    values = iter(scored.token_logps.tolist())
    counts = scored.groups.scored.tolist()
    return [
        [*[float("nan")] * (len(ids) - count), *(next(values) for _ in range(count))]
        for ids, count in zip(row["response_ids"], counts, strict=True)
    ]

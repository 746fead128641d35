"""Rows for imitation alone: with a ranking weight of 0, the model is run on the imitated responses only."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset, IterableDataset

from .config import RRTFConfig
from .data import with_responses
from .losses import imitated_responses
from .prepare import choose_responses

_READ = ("sft_responses", "sft_min_score", "max_responses")


def imitates_alone(args: RRTFConfig) -> bool:
    """Whether nothing is ranked; a registered loss may rank by any of its terms."""
    return args.rank_weight == 0 and args.loss_type in ("rrtf", "rrhf")


def least_responses(args: RRTFConfig) -> int:
    """Return how many responses a row must have to be trained on: a pair, or one that is imitated."""
    return 1 if imitates_alone(args) else 2


def keep_imitated(dataset: Dataset | IterableDataset, args: RRTFConfig, name: str) -> Dataset | IterableDataset:
    """Return the prepared rows with only the responses that are imitated, if nothing is ranked.

    The loss and its gradient are the same, for as many tokens as :class:`~trl.SFTTrainer` computes. A registered loss
    may use any response: it gets all.

    Args:
        dataset: Rows that :func:`~rrtf_trl.training.prepare.prepare_dataset` returned, with all that fit.
        args: Reads ``rank_weight``, ``loss_type``, ``sft_responses``, ``sft_min_score`` and ``max_responses``, which
            limits the imitated ones.
        name: The data set's name, for the progress bar.
    """
    if not imitates_alone(args):
        return dataset
    # All of `args` would differ between processes, and so would the names of the results in the cache.
    read = {option: getattr(args, option) for option in _READ}
    options = {"num_proc": args.dataset_num_proc, "desc": f"Choosing what to imitate of the {name} data set"}
    return dataset.map(_imitated, fn_kwargs=read, **(options if isinstance(dataset, Dataset) else {}))


def _imitated(row: dict[str, Any], **options: Any) -> dict[str, Any]:
    read: Any = SimpleNamespace(**options)
    scores = torch.tensor(row["scores"], dtype=torch.float64)
    group = torch.zeros(len(scores), dtype=torch.long)
    chosen = imitated_responses(scores, group, read, torch.tensor(row["from_teacher"])).nonzero()[:, 0].tolist()
    chosen = chosen or list(range(len(scores)))  # an evaluation row of which nothing is imitated: its loss is 0
    chosen = choose_responses(row["scores"], row["from_teacher"], read.max_responses, chosen)
    return with_responses(row, chosen)

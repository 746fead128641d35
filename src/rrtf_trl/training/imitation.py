"""Rows for imitation alone: with a ranking weight of 0, the model is run on the imitated responses only."""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset, IterableDataset

from .config import RRTFConfig
from .losses import imitated_responses

_PER_RESPONSE = ("response_ids", "scores", "from_teacher", "unscored", "kept")


def keep_imitated(dataset: Dataset | IterableDataset, args: RRTFConfig, name: str) -> Dataset | IterableDataset:
    """Return the prepared rows with only the responses that are imitated, if nothing is ranked.

    The loss and its gradient are the same, for as many tokens as :class:`~trl.SFTTrainer` computes. A registered loss
    may use any response: it gets all.

    Args:
        dataset: Rows that :func:`~rrtf_trl.training.prepare.prepare_dataset` returned.
        args: Reads ``rank_weight``, ``loss_type``, ``sft_responses`` and ``sft_min_score``.
        name: The data set's name, for the progress bar.
    """
    if args.rank_weight > 0 or args.loss_type not in ("rrtf", "rrhf"):
        return dataset
    options = {"num_proc": args.dataset_num_proc, "desc": f"Choosing what to imitate of the {name} data set"}
    return dataset.map(_imitated, fn_kwargs={"args": args}, **(options if isinstance(dataset, Dataset) else {}))


def _imitated(row: dict[str, Any], args: RRTFConfig) -> dict[str, Any]:
    scores = torch.tensor(row["scores"], dtype=torch.float64)
    group = torch.zeros(len(scores), dtype=torch.long)
    chosen = imitated_responses(scores, group, args, torch.tensor(row["from_teacher"])).nonzero()[:, 0].tolist()
    chosen = chosen or list(range(len(scores)))  # an evaluation row of which nothing is imitated: its loss is 0
    return {name: [row[name][response] for response in chosen] for name in _PER_RESPONSE if name in row}

"""The completions table of ``log_completions``: the best and the worst response of some rows, as training goes on."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase
from trl.trainer.utils import print_prompt_completions_sample

from .config import RRTFConfig
from .data import with_responses


def shown_rows(dataset: Dataset | IterableDataset, count: int) -> list[dict[str, Any]]:
    """Return the first rows of a prepared data set, two completions of each: those with the best and worst scores.

    Args:
        dataset: Prepared rows.
        count: How many completions, at least 2.
    """
    rows = list(islice(iter(dataset), count // 2))
    chosen = []
    for row in rows:
        numbers = range(len(row["scores"]))
        ends = {max(numbers, key=row["scores"].__getitem__), min(numbers, key=row["scores"].__getitem__)}
        chosen.append(with_responses(row, sorted(ends, key=row["scores"].__getitem__, reverse=True)))
    return chosen


def log_completions(
    rows: list[dict[str, Any]],
    logps: list[list[float]],
    tokenizer: PreTrainedTokenizerBase,
    args: RRTFConfig,
    step: int,
) -> None:
    """Print a table of completions, write it to ``completions/`` in the output folder, and send it to trackers.

    Args:
        rows: As :func:`shown_rows` returns them.
        logps: For each row the mean token log-probability of each of its completions.
        tokenizer: Decodes them.
        args: Reads ``output_dir`` and ``report_to``: tables go to wandb and trackio.
        step: The number of the step.
    """
    pairs = [(row, number) for row in rows for number in range(len(row["scores"]))]
    table = {
        "step": [step] * len(pairs),
        "prompt": [tokenizer.decode(row["prompt_ids"]) for row, _ in pairs],
        "completion": [tokenizer.decode(row["response_ids"][number]) for row, number in pairs],
        "score": [row["scores"][number] for row, number in pairs],
        "log-probability": [value for values in logps for value in values],
    }
    rewards = {name: table[name] for name in ("score", "log-probability")}
    print_prompt_completions_sample(table["prompt"], table["completion"], rewards, None, step)
    folder = Path(args.output_dir) / "completions"
    folder.mkdir(parents=True, exist_ok=True)
    frame = Dataset.from_dict(table)
    frame.to_parquet(folder / f"completions_{step:05d}.parquet")
    if "wandb" in args.report_to:
        import wandb

        if wandb.run is not None:
            wandb.log({"completions": wandb.Table(dataframe=frame.to_pandas())})
    if "trackio" in args.report_to:
        import trackio

        trackio.log({"completions": trackio.Table(dataframe=frame.to_pandas())})

"""Makes a trainer on the rows of the JSON job in the first argument; each process writes which rows it tokenized.

Run by test_tokenizing_once.py as two processes. The second argument is the folder for the results.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, load_dataset

from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.training import prepare

TOKENIZE = prepare.tokenize_row


def main(job: Path, results: Path) -> None:
    """Make the trainer and write what this process did."""
    faulthandler.dump_traceback_later(120, exit=True)  # a process that waits for ever says where
    torch.set_num_threads(1)
    settings = json.loads(job.read_text())
    rows = load_dataset("json", data_files=settings["rows"], cache_dir=settings["cache"], split="train")
    if settings["in_memory"]:
        rows = Dataset.from_list(rows.to_list())
    seen: list[int] = []

    def tokenize_row(row: Any, index: int, *args: Any, **options: Any) -> Any:
        seen.append(index)
        return TOKENIZE(row, index, *args, **options)

    prepare.tokenize_row = tokenize_row
    written: dict[str, Any] = {"error": None}
    try:
        trainer = RRTFTrainer(
            model=settings["model"],
            args=RRTFConfig(**settings["options"]),
            train_dataset=rows,
        )
        again = trainer._prepare(rows, "train", trainer.args, min_score=settings["options"].get("sft_min_score"))
        written["rows"] = trainer.train_dataset.to_list()
        written["again"] = again.to_list() == written["rows"]
    except ValueError as error:
        written["error"] = str(error)
    rank = int(os.environ["RANK"])
    (results / f"{rank}.json").write_text(json.dumps({**written, "seen": seen}))
    # Without tearing down: gloo's threads and Python's can wait for each other there.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

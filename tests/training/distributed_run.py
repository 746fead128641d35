"""Trains as the JSON file in the first argument says and saves the weights and the log to the second.

Run by test_distributed.py, as one process or as several.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from pathlib import Path

import torch
from datasets import Dataset

from rrtf_trl import RRTFConfig, RRTFTrainer


def main(job: Path, result: Path) -> None:
    """Train and save on the main process."""
    faulthandler.dump_traceback_later(120, exit=True)  # a process that waits for ever says where
    torch.set_num_threads(1)
    settings = json.loads(job.read_text())
    rows = Dataset.from_list(settings["rows"])
    trainer = RRTFTrainer(
        model=settings["model"], args=RRTFConfig(**settings["options"]), train_dataset=rows, eval_dataset=rows
    )
    trainer.train()
    trainer.evaluate()
    if trainer.accelerator.is_main_process:
        weights = trainer.accelerator.unwrap_model(trainer.model).state_dict()
        torch.save({"weights": weights, "log": trainer.state.log_history}, result)
    # Without tearing down: gloo's threads and Python's can wait for each other there.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

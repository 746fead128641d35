"""Trains or evaluates as the JSON file in the first argument says and saves the weights and the log to the second.

Run by test_distributed.py, as one process or as several.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from datasets import Dataset
from torch.distributed.tensor import DTensor
from transformers import EvalPrediction

from rrtf_trl import RRTFConfig, RRTFTrainer


def main(job: Path, result: Path) -> None:
    """Train and save on the main process."""
    faulthandler.dump_traceback_later(120, exit=True)  # a process that waits for ever says where
    torch.set_num_threads(1)
    settings = json.loads(job.read_text())
    rows = Dataset.from_list(settings["rows"])
    args = RRTFConfig(**{"rank_weight": 1.0, **settings["options"]})  # as the config fixture of the training tests
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        # accelerate has no FSDP for CPUs, though torch has: let it take these for cards.
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        import deepspeed

        # Its way for small sums is compiled on first use, for a minute or more; without it gloo adds them up.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    first = settings.get("first", {})
    trainer = RRTFTrainer(
        model=settings["model"],
        args=args,
        train_dataset=rows,
        eval_dataset={name: rows.select(range(count)) for name, count in first.items()} or rows,
        compute_metrics=summary if settings.get("summary") else None,
    )
    if not first:
        trainer.train()
    trainer.evaluate()
    trainer.save_model(str(result.with_suffix("")))
    if trainer.accelerator.is_main_process:
        held = sum(getattr(p, "ds_tensor", to_local(p)).numel() for p in trainer.model.parameters())
        wrapper = type(trainer.model_wrapped).__name__
        torch.save({"log": trainer.state.log_history, "held": held, "wrapper": wrapper}, result)
    # Without tearing down: gloo's threads and Python's can wait for each other there.
    sys.stdout.flush()
    os._exit(0)


def summary(prediction: EvalPrediction) -> dict[str, Any]:
    """Return how many responses and tokens ``compute_metrics`` is given, and a sum that depends on all of them."""
    total, tokens = 0.0, 0
    for row, (logits, ids) in enumerate(zip(prediction.predictions, prediction.label_ids, strict=True), start=1):
        own = [place for place, token in enumerate(ids) if token > 0]  # neither padding, 0, nor what fills batches up
        tokens += len(own)
        total += row * sum((place + 1) * float(logits[place][ids[place]]) for place in own)
    given = prediction.inputs if prediction.inputs is not None else []
    return {"responses": len(prediction.predictions), "inputs": len(given), "tokens": tokens, "sum": total}


def to_local(parameter: torch.Tensor) -> torch.Tensor:
    """Return the part of a parameter that this process holds."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

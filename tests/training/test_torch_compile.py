"""`torch_compile`: after the second row, which makes lengths variable, nothing is compiled again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch._dynamo.utils import counters
from transformers import TrainerCallback

from rrtf_trl import RRTFTrainer

Build = Callable[..., RRTFTrainer]
pytestmark = pytest.mark.slow


class CountGraphs(TrainerCallback):
    """Notes after each step how many graphs there are."""

    def __init__(self) -> None:
        self.graphs: list[int] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.graphs.append(counters["stats"]["unique_graphs"])


@pytest.mark.parametrize(
    ("share_prefix", "checkpointing"),
    [("true", False), ("true", True), ("false", False)],
    ids=["shared", "shared, recomputed", "padded"],
)
def test_ragged_rows_are_compiled_once(
    trainer: Build, llama_path: str, ranked: Dataset, share_prefix: str, checkpointing: bool
) -> None:
    torch._dynamo.reset()
    counters.clear()
    # Seven rows of 2 to 5 responses of many lengths, so that each has a tree of its own.
    options = {
        "share_prefix": share_prefix,
        "per_device_train_batch_size": 1,
        "max_steps": 7,
        "gradient_checkpointing": checkpointing,
    }
    count = CountGraphs()
    compiled = trainer(llama_path, torch_compile=True, torch_compile_backend="aot_eager", callbacks=[count], **options)
    compiled.train()
    torch._dynamo.reset()
    assert 0 < count.graphs[0] < count.graphs[1]
    assert count.graphs[1:] == [count.graphs[1]] * 6
    plain = trainer(llama_path, **options)
    plain.train()
    losses = [[step["loss"] for step in one.state.log_history if "loss" in step] for one in (compiled, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)

"""Of several processes on a machine, one tokenizes and the others read what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

import rrtf_trl
from support.warm_python import python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed"),
]

SCRIPT = Path(__file__).parents[1] / "support" / "distributed_tokenizing.py"


def run(llama_path: str, rows: list[dict[str, Any]], folder: Path, *, in_memory: bool = False) -> list[dict[str, Any]]:
    """Return what each of two processes did."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "output_dir": str(folder / "out"),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "rank_weight": 0.0,
        "sft_min_score": 0.5,
        "max_length": 100,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    job = {
        "model": llama_path,
        "rows": str(folder / "rows.jsonl"),
        "cache": str(folder / "cache"),
        "options": options,
        "in_memory": in_memory,
    }
    (folder / "job.json").write_text(json.dumps(job))
    source = Path(rrtf_trl.__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": "1",
        "PYTHON_EXEC": python(),
    }
    launch = [python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    finished = subprocess.run(
        [*launch, str(SCRIPT), str(folder / "job.json"), str(folder)],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment,
    )
    assert finished.returncode == 0, finished.stderr[-9000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_the_second_process_reads_what_the_first_tokenized(llama_path: str, ranked: Dataset, tmp_path: Path) -> None:
    first, second = run(llama_path, ranked.to_list(), tmp_path)
    assert first["seen"] == list(range(len(ranked)))  # once, though the rows are prepared twice
    assert second["seen"] == []
    assert first["rows"] == second["rows"]
    assert first["again"]
    assert second["again"]


def test_rows_in_memory_are_tokenized_by_each_process(llama_path: str, ranked: Dataset, tmp_path: Path) -> None:
    first, second = run(llama_path, ranked.to_list(), tmp_path, in_memory=True)
    assert first["seen"] == second["seen"] == 2 * list(range(len(ranked)))
    assert first["rows"] == second["rows"]


def test_a_refused_row_stops_all_processes(llama_path: str, ranked: Dataset, tmp_path: Path) -> None:
    rows = [*ranked.to_list(), {**ranked[0], "scores": [1.0]}]
    for done in run(llama_path, rows, tmp_path):
        assert done["error"] == f"train data set: Row {len(ranked)} has 2 responses but 1 scores."

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from rrtf_tracker_trackio.tracking import callback
from rrtf_trl.storage.run_folder import RunFolder

pytest_plugins = ["rrtf_trl.testing"]


def logged(folder: Path, project: str) -> list[tuple[str, int, dict[str, Any]]]:
    """Return what trackio has in its database: the run, the step, the metrics."""
    (database,) = folder.glob(f"{project}*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
    return [(name, step, json.loads(metrics)) for name, step, metrics in rows]


def test_a_run_is_on_the_dashboard_once_and_its_report_says_where(
    run_rrtf: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "board"))
    monkeypatch.setenv("TRACKIO_PROJECT", "mine")
    small = [
        "trainer.logging_steps=1",
        "trainer.save_steps=1",
        "+trainer.eval_strategy=steps",
        "+trainer.eval_steps=1",
    ]
    run = run_rrtf(*small)
    rows = logged(tmp_path / "board", "mine")
    assert {name for name, _, _ in rows} == {run.name}
    trained = [step for _, step, metrics in rows if "train/rank_loss" in metrics]
    assert trained == sorted(set(trained))
    assert trained
    assert [step for _, step, metrics in rows if "train/eval_loss" in metrics] == trained
    assert [step for _, step, metrics in rows if "train/train_runtime" in metrics] == trained[-1:]
    (after,) = (metrics for _, _, metrics in rows if "greedy pass@1/after" in metrics)
    results = json.loads((run / "results.json").read_text())
    assert after["greedy pass@1/after"] == results["greedy pass@1"]["trained"]["value"]
    page = (run / "report.html").read_text()
    assert f"Run <b>{run.name}</b> of project <b>mine</b>: <code>trackio show --project mine</code>" in page

    # Training is repeated from its last checkpoint but one; what is there is not logged again.
    (run / "policy" / "config.json").unlink()
    for path in (run / "policy").iterdir():
        path.unlink()
    (run / "policy").rmdir()
    assert run_rrtf(*small) == run
    assert logged(tmp_path / "board", "mine") == rows


def test_of_several_processes_that_train_the_first_logs(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    helper, arguments = callback(run, {}), TrainingArguments(str(tmp_path), use_cpu=True)
    state = TrainerState(global_step=1, is_world_process_zero=False)
    helper.on_train_begin(arguments, state, TrainerControl())
    helper.on_log(arguments, state, TrainerControl(), logs={"loss": 1.0})
    helper.on_train_end(arguments, state, TrainerControl())
    assert not run.path.exists()

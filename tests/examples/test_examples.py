"""The example scripts run and train."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


WHOLE_RUN = EXAMPLES / "stage_times.py"


@pytest.mark.parametrize("script", sorted(set(EXAMPLES.glob("*.py")) - {WHOLE_RUN}), ids=lambda script: script.name)
def test_an_example_runs_and_is_short(script: Path, tmp_path: Path) -> None:
    assert len(script.read_text().splitlines()) < 70
    finished = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "'ranking_accuracy'" in finished.stdout


def test_the_plugin_of_the_examples_watches_a_run(tmp_path: Path) -> None:
    small = ["problems.train.limit=6", "problems.heldout.limit=2", "evaluation.n=1", "evaluation.ks=[1]"]
    finished = subprocess.run(
        [sys.executable, str(WHOLE_RUN), *small, "trainer.num_train_epochs=1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    (report,) = tmp_path.glob("runs/*/report.html")
    assert re.search(r"<h2>Processor time</h2>\nproblems [\d.]+ s of [\d.]+ s; evaluate_base ", report.read_text())

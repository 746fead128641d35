"""The example scripts run and train."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from support.warm_python import python

EXAMPLES = Path(__file__).parents[2] / "examples"


SMALL = ["problems.train.limit=6", "problems.heldout.limit=2"]
WHOLE_RUN = EXAMPLES / "stage_times.py"
SHOWN = {
    "evaluate_model": r"sampled pass@4: [\d.]+% \([\d.]+% to [\d.]+%\) of 12 problems",
    "feedback_source": r"rank: unit_tests against brevity: \d+ of \d+ pairs",
    "grpo": "'rewards/unit_tests/mean'",
    "own_loss": "'ranking_accuracy'",
    "qlora": r"'ranking_accuracy'(.|\n)*163,840 weights were trained",
    "rank_your_answers": r"3  return x \* 2\n2  return x \+ 2\n1  return y\n0  return \(x\n",
}
"""What each script prints, as a pattern."""


def test_every_example_is_run() -> None:
    assert {script.stem for script in EXAMPLES.glob("*.py")} == {*SHOWN, WHOLE_RUN.stem, "sandbox_alone"}


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda script: script.name)
def test_an_example_is_short(script: Path) -> None:
    assert len(script.read_text().splitlines()) < 60


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    finished = subprocess.run(
        [python(), str(EXAMPLES / f"{name}.py"), *(SMALL if name == "feedback_source" else [])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert re.search(SHOWN[name], finished.stdout), finished.stdout[-3000:]


@pytest.mark.slow
def test_nothing_but_the_right_program_passes_in_the_sandbox(tmp_path: Path) -> None:
    script = [python(), str(EXAMPLES / "sandbox_alone.py")]
    told = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=True).stdout
    assert [line.split(":")[0] for line in told.splitlines() if ": passed" in line] == ["right"]
    assert len(told.splitlines()) == 8


@pytest.mark.slow
def test_the_plugin_of_the_examples_watches_a_run(tmp_path: Path) -> None:
    small = [*SMALL, "evaluation.n=1", "evaluation.ks=[1]"]
    finished = subprocess.run(
        [python(), str(WHOLE_RUN), *small, "trainer.num_train_epochs=1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    (report,) = tmp_path.glob("runs/*/report.html")
    assert re.search(r"<h2>Processor time</h2>\nproblems [\d.]+ s of [\d.]+ s; evaluate_base ", report.read_text())

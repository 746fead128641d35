"""`rrtf evaluate benchmark=...` as a user meets it: real processes, the embedded policy."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.warm_python import python

SMALL = ["benchmark=exercises", "benchmark.limit=3", "evaluation.max_new_tokens=48"]
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
PAPER = [*SMALL, "benchmark.limit=2", "evaluation=paper", "evaluation.n=100", "evaluation.max_sequences=40"]


def start(folder: Path, *arguments: str, with_python: str = "") -> subprocess.Popen[str]:
    command = [with_python or python(), "-m", "rrtf_trl.cli", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def rrtf(folder: Path, *arguments: str, with_python: str = "") -> tuple[int, str]:
    process = start(folder, *arguments, with_python=with_python)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def results(folder: Path) -> tuple[dict[str, bytes], dict[str, object]]:
    (found,) = (folder / "runs").glob("evaluate-exercises-*")
    samples = {file.name: file.read_bytes() for file in (found / "samples").iterdir()}
    return samples, json.loads((found / "results.json").read_text())


@pytest.mark.slow
def test_the_papers_decoding_is_one_choice_and_a_kill_loses_nothing(tmp_path: Path) -> None:
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    for folder in (quiet, killed):
        folder.mkdir()
    status, output = rrtf(quiet, "evaluate", *PAPER, with_python=sys.executable)  # another seed of hash()
    assert status == 0, output
    samples, found = results(quiet)
    assert set(samples) == {"greedy.jsonl", "low.jsonl", "high.jsonl"}
    figures = found["figures"]
    assert isinstance(figures, dict)
    assert set(figures) == {"greedy pass@1", "low pass@1", "high pass@10", "high pass@100"}
    row = figures["high pass@10"]
    assert row["n"] == 100
    assert row["decoding"]["temperatures"] == [1.2]
    assert row["decoding"]["top_ps"] == [0.95]
    assert row["model"] == "embedded"
    assert str(row["model_hash"]).startswith("sha256:")
    assert row["prompt_form"] == "as_is"
    assert "pass@100, n=100, T=1.2, top_p=0.95" in output

    for moment in ("sample low", "evaluate high"):
        process = start(killed, "evaluate", *PAPER)
        assert process.stdout is not None
        for line in process.stdout:
            if moment in line:
                time.sleep(0.3)
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=60)
    status, output = rrtf(killed, "evaluate", *PAPER)
    assert status == 0, output
    assert "re-used" in output
    assert results(killed) == (samples, found)


@pytest.mark.slow
def test_a_model_and_a_file_are_given_by_their_paths(tmp_path: Path) -> None:
    problem = {
        "task_id": "x/1",
        "prompt": '"""Return the sum of the numbers in xs."""\ndef solve(xs):\n',
        "entry_point": "solve",
        "tests": {"kind": "cases", "cases": [{"args": [[1, 2]], "expected": 3}]},
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(problem) + "\n")
    import rrtf_trl.assets

    policy = Path(rrtf_trl.assets.__file__).parent / "policy"
    status, output = rrtf(tmp_path, "evaluate", f"model={policy}", "benchmark=p.jsonl", "evaluation.max_new_tokens=64")
    assert status == 0, output
    assert "files, 1 problems, asked as as_is" in output
    (folder,) = (tmp_path / "runs").glob("evaluate-files-*")
    assert "| pass@1, greedy |" in (folder / "results.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["benchmark=humaneval_plus"], "benchmark.path"),
        (["benchmark=humaneval", "benchmark.path=none.jsonl"], "none.jsonl: no such file"),
        (["benchmark=humanevil"], "benchmark has no choice 'humanevil'; did you mean 'humaneval'?; there are apps"),
        ([*SMALL, "evaluation=paper", "evaluation.n=5"], "ks: expected numbers from 1 to n=5, got [10, 100]"),
        ([*SMALL, "evaluation.max_tokens=5"], "did you mean 'evaluation.max_new_tokens'?"),
        ([*SMALL, "train=none.jsonl"], "none.jsonl: no such file"),
    ],
)
def test_wrong_settings_are_refused_in_one_message(tmp_path: Path, arguments: list[str], message: str) -> None:
    status, output = rrtf(tmp_path, "evaluate", *arguments)
    assert status == 1
    assert message in output
    assert "Traceback" not in output
    assert "sample" not in output

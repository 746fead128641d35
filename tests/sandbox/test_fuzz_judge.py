"""A minute of the judge's fuzzer: generated programs and mutants, in the sandbox as in plain execution."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import rrtf_trl

SCRIPT = Path(rrtf_trl.__file__).parents[2] / "scripts" / "fuzz_judge.py"
ROUNDS = 40


@pytest.mark.slow
@pytest.mark.skipif(not SCRIPT.is_file(), reason="rrtf-trl is not installed from a clone")
def test_the_sandbox_and_plain_execution_agree() -> None:
    command = [sys.executable, str(SCRIPT), "--rounds", str(ROUNDS), "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts: Counter[str] = Counter()
    for count, role, outcome in re.findall(r"^ *(\d+) (\w+): (.+)$", done.stdout, re.MULTILINE):
        counts[f"{role} {'passed' if outcome == 'passed' else 'failed'}"] += int(count)
    assert counts["right passed"] > 1.5 * ROUNDS, done.stdout
    assert counts["mutant failed"] > 3 * ROUNDS, done.stdout
    assert counts["liar failed"] > 1.5 * ROUNDS, done.stdout

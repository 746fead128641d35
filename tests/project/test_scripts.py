"""The scripts that made what ships in the package, and the checks that need a GPU."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import rrtf_trl
from support.warm_python import python

SCRIPTS = Path(rrtf_trl.__file__).parents[2] / "scripts"
BENCHMARKS = SCRIPTS.parent / "benchmarks"
needs_clone = pytest.mark.skipif(not SCRIPTS.is_dir(), reason="rrtf-trl is not installed from a clone")


@pytest.mark.slow
@needs_clone
def test_a_policy_is_pretrained_the_same_each_time(tmp_path: Path) -> None:
    small = ["--documents", "256", "--hidden-size", "32", "--layers", "1", "--problems", "4", "--threads", "1"]
    for name, executable in (("one", sys.executable), ("two", python())):  # whatever the seed of hash() is
        command = [executable, str(SCRIPTS / "pretrain_policy.py"), "--output", str(tmp_path / name), *small]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "one")
    assert model.config.num_hidden_layers == 1
    text = 'def f(x):\n    """Ünï → code."""\n\treturn x\n'
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]
    assert "scripts/pretrain_policy.py" in (tmp_path / "one" / "README.md").read_text()


PARTS = """
import os, time
from gpu.setting import Finding
good = lambda setting: Finding("7 of 7", True)
bad = lambda setting: Finding("6 of 7", False)
elsewhere = lambda setting: Finding("needs a GPU", None)
raises = lambda setting: 1 / 0
dies = lambda setting: os._exit(3)
sleeps = lambda setting: time.sleep(60)
"""


def checks_of_a_gpu(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", ["gpu_checks.py", *arguments])
    return runpy.run_path(str(BENCHMARKS / "gpu_checks.py"))


@needs_clone
def test_the_checks_on_a_gpu_go_on_after_one_of_them_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fake_parts.py").write_text(PARTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = ["bad", "raises", "dies", "sleeps", "elsewhere", "good"]
    arguments = ["--tiny", "--out", str(tmp_path / "out")]
    checks = checks_of_a_gpu(monkeypatch, *arguments)
    parts = checks["PARTS"]
    parts.clear()
    parts.update({name: checks["Part"](f"fake_parts:{name}", 1 if name == "sleeps" else 30) for name in names})
    with pytest.raises(SystemExit, match=r"^failed: bad, raises, dies, sleeps$"):
        checks["main"]()
    lines = [line.strip("| ").split(" | ")[:3] for line in capsys.readouterr().out.splitlines()[2:]]
    assert lines == [
        ["bad", "6 of 7", "FAILED"],
        ["raises", "ZeroDivisionError: division by zero", "FAILED"],
        ["dies", "ended with status 3: see dies.log", "FAILED"],
        ["sleeps", "not done in 4 s", "FAILED"],
        ["elsewhere", "needs a GPU", "not here"],
        ["good", "7 of 7", "ok"],
    ]


@pytest.mark.slow
@needs_clone
def test_the_checks_on_a_gpu_run_with_the_least_sizes_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks_of_a_gpu(monkeypatch, "--tiny", "--out", str(tmp_path), "--only", "budget")["main"]()
    assert capsys.readouterr().out.splitlines()[-1].split(" | ")[2] == "ok"

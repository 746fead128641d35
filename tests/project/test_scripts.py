"""The scripts that made what ships in the package, and the checks that need a GPU."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import rrtf_trl
from support.warm_python import python

SCRIPTS = Path(rrtf_trl.__file__).parents[2] / "scripts"
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


@needs_clone
def test_the_checks_on_a_gpu_fail_where_one_of_them_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = runpy.run_path(str(SCRIPTS.parent / "benchmarks" / "gpu_checks.py"))
    checks["STEPS"].clear()
    checks["STEPS"].update({name: [sys.executable, "-c", f"exit({name == 'bad'})"] for name in ("bad", "good")})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(sys, "argv", ["gpu_checks.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^failed: bad$"):
        checks["main"]()
    assert "== good: exit status 0" in capsys.readouterr().out

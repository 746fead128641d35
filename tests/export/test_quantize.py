"""`rrtf quantize` and its exports, with the embedded policy, through the real tools."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rrtf_trl.assets import model_path
from rrtf_trl.export import FORMS
from rrtf_trl.export.speed import Spec, measure_speed
from rrtf_trl.export.transformers_forms import merge

ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
SMALL = ["benchmark.limit=5", "max_new_tokens=48", "new_tokens=8", "repeats=1", "rounds=1"]
PROMPT = '"""Return the sum of the numbers in xs."""\ndef solve(xs):\n'


def quantize(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "rrtf_trl.cli", "quantize", *SMALL, *arguments]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_the_table_has_a_row_for_each_form_and_a_reason_for_each_that_is_skipped(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install 'rrtf-trl[ctranslate2]'")
    status, output = quantize(tmp_path, "forms=[fp32,bnb_4bit,ct2_int8,awq_4bit]")
    assert status == 0, output
    (folder,) = (tmp_path / "runs").glob("quantize-exercises-*")
    table = json.loads((folder / "table.json").read_text())
    rows = {row["form"]: row for row in table["rows"]}
    for name in ("fp32", "bnb_4bit", "ct2_int8"):
        row = rows[name]
        assert row["size_mb"] > 0
        assert row["ms_per_token"] > 0
        assert row["memory_mb"] > 0
        assert 0 <= row["pass@1"]["value"] <= 1
        assert 0 <= row["same_tokens"] <= 1
    assert rows["fp32"]["same_answers"] == rows["fp32"]["same_tokens"] == 1.0
    assert rows["ct2_int8"]["size_mb"] < rows["fp32"]["size_mb"] / 3
    assert table["model"]["hash"].startswith("sha256:")
    if importlib.util.find_spec("gptqmodel") is None:
        assert rows["awq_4bit"]["skipped"] == "not installed: pip install 'rrtf-trl[gptq]'"
        assert "pip install 'rrtf-trl[gptq]'" in output
    assert (folder / "exports" / "ct2_int8" / "model.bin").is_file()
    assert "| ct2_int8 |" in (folder / "table.md").read_text()

    status, output = quantize(tmp_path, "forms=[fp32,ct2_int8]")
    assert status == 0, output
    assert "export" not in output.replace("exports", "")
    assert "nothing to do" in output


def test_an_unknown_form_is_refused(tmp_path: Path) -> None:
    status, output = quantize(tmp_path, "forms=[fp23]")
    assert status == 1
    assert "forms: ['fp23'] not known; there are fp32, bf16" in output


@pytest.mark.parametrize("name", ["ct2_fp16", "gguf_q8_0"])
def test_an_engine_gives_the_answer_of_transformers(name: str, tmp_path: Path) -> None:
    form = FORMS[name]
    if reason := form.missing():
        pytest.skip(f"{name}: {reason}")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = Path(model_path("embedded"))
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source, dtype="float32")
    batch = tokenizer(PROMPT, return_tensors="pt")
    expected = model.generate(**batch, max_new_tokens=40, do_sample=False)[0, batch["input_ids"].shape[1] :].tolist()
    form.export(source, tmp_path / name)
    assert form.load is not None
    generate = form.load(tmp_path / name, source)
    answer = generate(batch["input_ids"][0].tolist(), 40, False)
    assert tokenizer.decode(answer, skip_special_tokens=True) == tokenizer.decode(expected, skip_special_tokens=True)
    assert len(generate(batch["input_ids"][0].tolist(), 60, True)) == 60


def test_an_adapter_is_merged_into_its_base(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = model_path("embedded")
    model = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(source, dtype="float32"),
        peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False),
    ).eval()
    model.save_pretrained(tmp_path / "adapter")
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.save_pretrained(tmp_path / "adapter")
    merge(str(tmp_path / "adapter"), tmp_path / "merged")
    assert list((tmp_path / "merged").glob("*.safetensors"))
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="float32")
    batch = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        expected, found = model(**batch).logits, merged(**batch).logits
    # The base's weights are in bfloat16, and so are the merged ones.
    assert torch.nn.functional.cosine_similarity(expected, found, dim=-1).min() > 0.99


def test_a_form_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    from rrtf_trl.errors import UserError

    with pytest.raises(UserError, match="could not be run: "):
        measure_speed(Spec("fp32", str(tmp_path), model_path("embedded"), PROMPT, repeats=1))

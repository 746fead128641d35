"""`rrtf quantize` and its exports, with the embedded policy, through the real tools."""

import importlib.util
import io
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rrtf_trl.assets import model_path
from rrtf_trl.errors import UserError
from rrtf_trl.export import FORMS
from rrtf_trl.export.speed import Spec, measure_speed
from rrtf_trl.export.transformers_forms import merge
from rrtf_trl.feedback import UnitTests
from rrtf_trl.pipeline.collector import Collector
from rrtf_trl.pipeline.quantization_table import QuantizationTable
from rrtf_trl.records import AssertTests, Problem
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store
from support.warm_python import python

ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
SMALL = ["benchmark.limit=5", "max_new_tokens=48", "new_tokens=8", "repeats=1", "rounds=1"]
PROMPT = '"""Return the sum of the numbers in xs."""\ndef solve(xs):\n'


def quantize(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [python(), "-m", "rrtf_trl.cli", "quantize", *SMALL, *arguments]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_unknown_form_is_refused(tmp_path: Path) -> None:
    status, output = quantize(tmp_path, "forms=[fp23]")
    assert status == 1
    assert "forms: ['fp23'] not known; there are fp32, bf16" in output


@pytest.mark.slow
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


def table(folder: Path, model: Path, problems: list[Problem], **options: Any) -> QuantizationTable:
    collector = Collector(Store(folder / "store.sqlite"), Console(file=io.StringIO()))
    sizes = {"max_new_tokens": 8, "batch_size": 4, "new_tokens": 4, "repeats": 1, "rounds": 2}
    tests = UnitTests(workers=1)
    rest: Any = {"problems": problems, "tests": tests, "collector": collector, "folder": RunFolder(folder / "run")}
    return QuantizationTable(model=str(model), forms=["fp32"], **rest, **{**sizes, **options})


def test_a_timing_that_failed_is_noted_beside_what_was_noted_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rrtf_trl.pipeline import quantization_table as module

    found = table(
        tmp_path, Path(model_path("embedded")), [Problem("a", PROMPT, AssertTests(["assert solve"]), "solve")]
    )
    export = FORMS["fp32"].export

    def noted(model: Path, folder: Path) -> None:
        export(model, folder)
        (folder / "unknown-to-it.txt").write_text("It splits text in its own way.\n")

    monkeypatch.setitem(FORMS, "fp32", replace(FORMS["fp32"], export=noted))
    monkeypatch.setattr(module, "measure_speed", lambda spec: (_ for _ in ()).throw(UserError("no time")))
    (row,) = found.run()
    assert row["note"] == "It splits text in its own way. failed: UserError: no time"


def test_a_token_that_starts_every_text_is_no_agreement(tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path("embedded"))
    start = tokenizer.eos_token
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, tokenizer.eos_token_id)]
    )
    tokenizer.save_pretrained(tmp_path / "model")
    found = table(tmp_path, tmp_path / "model", [])
    for name, response in (("fp32", "x"), ("ct2_int8", "y")):
        found.folder.write_jsonl(f"samples/{name}.greedy.jsonl", [{"task_id": "a", "response": response}])
    assert AutoTokenizer.from_pretrained(tmp_path / "model")("x")["input_ids"][0] == tokenizer.eos_token_id
    assert found._agreement("ct2_int8", "fp32") == {"same_answers": 0.0, "same_tokens": 0.0}


@pytest.mark.slow
def test_a_form_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="could not be run: "):
        measure_speed(Spec("fp32", str(tmp_path), model_path("embedded"), PROMPT, repeats=1))

"""A policy trained on a file of rows, from an adapter that an earlier training saved, and what is refused."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback

from rrtf_trl import RRTFConfig
from rrtf_trl.errors import UserError
from rrtf_trl.training.loading import load_policy
from rrtf_trl.training.run import train_policy

TEMPLATE = "{% for message in messages %}<<{{ message['content'] }}>>{% endfor %}"
LORA = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": ["q_proj", "v_proj"]}


@pytest.fixture
def rows(ranked: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "ranked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ranked))
    return path


def adapter(model: PreTrainedModel, folder: Path, **options: Any) -> PeftModel:
    made = get_peft_model(model, LoraConfig(**LORA, **options))
    made.save_pretrained(folder)
    return made


@pytest.mark.slow
def test_an_adapter_goes_on_with_the_tokenizer_beside_it(
    llama: PreTrainedModel,
    llama_path: str,
    tokenizer: PreTrainedTokenizerFast,
    rows: Path,
    tmp_path: Path,
    config: Callable[..., RRTFConfig],
) -> None:
    # The earlier training added tokens, with embeddings and a head for them, and had another chat template.
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path / "adapter")
    llama.resize_token_embeddings(len(tokenizer))
    adapter(llama, tmp_path / "adapter", modules_to_save=["embed_tokens", "lm_head"])

    policy = tmp_path / "policy"
    log = train_policy(str(tmp_path / "adapter"), rows, config(), policy, tmp_path / "pairs.jsonl")
    assert log[0]["loss"] > 0
    saved = AutoTokenizer.from_pretrained(policy)
    assert saved.chat_template == TEMPLATE
    assert len(saved) == len(tokenizer)
    base = AutoModelForCausalLM.from_pretrained(llama_path)
    base.resize_token_embeddings(len(saved))
    assert PeftModel.from_pretrained(base, policy).get_input_embeddings().weight.shape[0] == len(tokenizer)


def test_an_adapter_without_a_tokenizer_goes_on_with_that_of_its_base(
    llama: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, config: Callable[..., RRTFConfig]
) -> None:
    adapter(llama, tmp_path / "adapter")
    model, processor, *_ = load_policy(str(tmp_path / "adapter"), None, config(), None)
    assert isinstance(model, PeftModel)
    assert processor.chat_template == tokenizer.chat_template


@pytest.mark.slow
def test_an_adapter_goes_on_from_the_revision_of_its_base(llama_path: str, tmp_path: Path) -> None:
    # A hub's cache of two revisions; what is tried is read by a process of its own, that takes it for its cache.
    repository = tmp_path / "hub" / "models--some--base"
    for revision, scale in (("a" * 40, 1.0), ("b" * 40, 2.0)):
        snapshot = repository / "snapshots" / revision
        shutil.copytree(llama_path, snapshot)
        model = AutoModelForCausalLM.from_pretrained(llama_path)
        with torch.no_grad():
            model.lm_head.weight.mul_(scale)
        model.save_pretrained(snapshot)
        tokenizer = AutoTokenizer.from_pretrained(llama_path)
        tokenizer.chat_template = f"{TEMPLATE}{scale}"
        tokenizer.save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    adapter(AutoModelForCausalLM.from_pretrained(llama_path), tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    settings.update(base_model_name_or_path="some/base", revision="b" * 40)
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(settings))
    code = (
        "import sys; from rrtf_trl import RRTFConfig; from rrtf_trl.training.loading import load_policy\n"
        "args = RRTFConfig(sys.argv[1] + '/out', use_cpu=True, bf16=False)\n"
        "model, processor, *_ = load_policy(sys.argv[1] + '/adapter', None, args, None)\n"
        "print(float(model.get_output_embeddings().weight.double().norm()), processor.chat_template[-3:])\n"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    norm, template = done.stdout.split()
    expected = 2 * AutoModelForCausalLM.from_pretrained(llama_path).lm_head.weight.double().norm()
    assert float(norm) == pytest.approx(float(expected), rel=1e-5)
    assert template == "2.0"


@pytest.mark.parametrize("lora", [None, LoraConfig(**LORA)])
def test_nothing_of_a_training_is_in_memory_after_it(
    llama_path: str, rows: Path, tmp_path: Path, config: Callable[..., RRTFConfig], lora: LoraConfig | None
) -> None:
    seen: dict[str, weakref.ref[Any]] = {}

    class Watch(TrainerCallback):
        def on_train_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
            for name in ("model", "optimizer", "train_dataloader"):
                seen[name] = weakref.ref(objects[name])
            seen["weights"] = weakref.ref(next(objects["model"].parameters()))

    args, watch = config(gradient_checkpointing=True, save_strategy="steps", save_steps=1), Watch()
    gc.disable()  # as it is for as long as it takes that Python's own collection comes by
    try:
        train_policy(
            llama_path, rows, args, tmp_path / "policy", tmp_path / "p.jsonl", peft_config=lora, callbacks=[watch]
        )
        assert len(seen) == 4
        assert [name for name, reference in seen.items() if reference() is not None] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("strategy", ["no", "steps"])
def test_a_row_that_cannot_be_trained_on_is_named_by_its_number_in_the_file(
    llama_path: str, ranked: Dataset, tmp_path: Path, config: Callable[..., RRTFConfig], strategy: str
) -> None:
    broken = [{**row, "scores": row["scores"][1:]} if i == 5 else row for i, row in enumerate(ranked)]
    path = tmp_path / "ranked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in broken))
    args = config(eval_strategy=strategy, eval_steps=1)
    with pytest.raises(UserError, match=r"training cannot start: Row 5 has 3 responses but 2 scores"):
        train_policy(llama_path, path, args, tmp_path / "policy", tmp_path / "pairs.jsonl")

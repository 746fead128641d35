"""The trainer on an adapter that is given by its path."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rrtf_trl import RRTFTrainer
from rrtf_trl.cli import trl_train
from rrtf_trl.errors import UserError
from rrtf_trl.models.loading import load_for_generation

LORA: dict[str, Any] = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": "all-linear"}

Build = Callable[..., RRTFTrainer]


@pytest.fixture
def adapter(llama: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    """A saved adapter with a token more than its base has."""
    tokenizer.add_tokens(["<|code|>"])
    tokenizer.save_pretrained(tmp_path / "adapter")
    llama.resize_token_embeddings(len(tokenizer))
    model = get_peft_model(llama, LoraConfig(**LORA))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.05)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_is_trained_further_from_its_path(adapter: Path, trainer: Build, tmp_path: Path) -> None:
    rows = Dataset.from_list([{"prompt": "<|code|>", "responses": ["    pass\n", " x"], "scores": [1.0, 0.0]}] * 2)
    built = trainer(str(adapter), rows)
    assert built.train_dataset[0]["prompt_ids"] == [311]
    before = built.model.state_dict()["base_model.model.model.layers.0.mlp.up_proj.lora_B.default.weight"].clone()
    assert before.unique().tolist() == pytest.approx([0.05])
    trained = {name for name, parameter in built.model.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    built.train()
    built.save_model(str(tmp_path / "further"))
    further, tokenizer = load_for_generation(str(tmp_path / "further"), device="cpu")
    assert len(tokenizer) == 312
    after = further.state_dict()["base_model.model.model.layers.0.mlp.up_proj.lora_B.default.weight"]
    torch.testing.assert_close(
        after, built.model.get_submodule("base_model.model.model.layers.0.mlp.up_proj.lora_B").default.weight
    )
    assert (after != before).any()


def test_another_adapter_on_an_adapter_is_refused(adapter: Path, trainer: Build) -> None:
    with pytest.raises(ValueError, match=r"The model has an adapter already and `peft_config` asks for another"):
        trainer(str(adapter), peft_config=LoraConfig(**LORA))


def test_an_adapter_whose_base_is_gone_is_refused(adapter: Path, trainer: Build) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": "/gone"}))
    with pytest.raises(UserError, match=r"its base model is not there: no folder /gone"):
        trainer(str(adapter))


def test_the_command_trains_an_adapter_further(adapter: Path, ranked: Dataset, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ranked))
    options = (
        f"--dataset_name {rows} --output_dir {tmp_path / 'out'} --use_cpu --bf16 false --report_to none --max_steps 1"
    )
    assert trl_train.main(["--model_name_or_path", str(adapter), *options.split(), "--save_strategy", "no"]) == 0
    model, _ = load_for_generation(str(tmp_path / "out"), device="cpu")
    assert model.peft_config["default"].r == 4
    assert model.get_input_embeddings().weight.shape[0] == 312

"""In which precision a bfloat16 checkpoint is trained and saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from rrtf_trl import RRTFTrainer
from rrtf_trl.models.loading import load_for_generation

LORA: dict[str, Any] = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": "all-linear"}
BF16, F32 = torch.bfloat16, torch.float32

Build = Callable[..., RRTFTrainer]


def half_copy(path: str, folder: Path) -> str:
    AutoModelForCausalLM.from_pretrained(path, dtype=BF16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(path).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def half_path(llama_path: str, tmp_path: Path) -> str:
    """The tiny Llama as a bfloat16 checkpoint."""
    return half_copy(llama_path, tmp_path / "half")


def dtypes(trainer: RRTFTrainer, trained: bool) -> set[torch.dtype]:
    return {parameter.dtype for parameter in trainer.model.parameters() if parameter.requires_grad == trained}


def saved_dtypes(folder: Path) -> tuple[set[torch.dtype], str]:
    weights = load_file(folder / "model.safetensors")
    return {tensor.dtype for tensor in weights.values()}, json.loads((folder / "config.json").read_text())["dtype"]


def test_all_weights_are_trained_in_float32_and_saved_as_the_checkpoint_was(
    half_path: str, trainer: Build, tmp_path: Path
) -> None:
    built = trainer(half_path, bf16=True, save_strategy="steps", save_steps=1)
    assert dtypes(built, trained=True) == {F32}
    built.train()
    trained = {name: tensor.clone() for name, tensor in built.model.state_dict().items()}
    built.save_model(str(tmp_path / "policy"))

    assert saved_dtypes(tmp_path / "policy") == ({BF16}, "bfloat16")
    for name, tensor in load_file(tmp_path / "policy" / "model.safetensors").items():
        assert torch.equal(tensor, trained[name].to(BF16))
    # What training resumes from is exact, and the model in memory is as it was.
    checkpoint = tmp_path / "out" / "checkpoint-1"
    assert saved_dtypes(checkpoint) == ({F32}, "float32")
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        assert torch.equal(tensor, trained[name])
    assert dtypes(built, trained=True) == {F32}
    # Before and after are measured alike.
    for dtype, expected in (("auto", F32), ("bfloat16", BF16)):
        for path in (half_path, str(tmp_path / "policy")):
            model, _ = load_for_generation(path, dtype=dtype, device="cpu")
            assert {parameter.dtype for parameter in model.parameters()} == {expected}


def test_tied_weights_are_saved_once(gpt2_path: str, trainer: Build, tmp_path: Path) -> None:
    built = trainer(half_copy(gpt2_path, tmp_path / "half"))
    built.train()
    built.save_model(str(tmp_path / "policy"))
    assert saved_dtypes(tmp_path / "policy") == ({BF16}, "bfloat16")
    before, after = (load_file(tmp_path / name / "model.safetensors").keys() for name in ("half", "policy"))
    assert after == before


@pytest.mark.parametrize("bf16", [True, False])
def test_the_base_under_an_adapter_stays_as_it_is(half_path: str, trainer: Build, bf16: bool, tmp_path: Path) -> None:
    built = trainer(half_path, bf16=bf16, peft_config=LoraConfig(**LORA), max_steps=2)
    assert (dtypes(built, trained=False), dtypes(built, trained=True)) == ({BF16}, {F32})
    built.train()
    whole = trainer(half_path, bf16=False, peft_config=LoraConfig(**LORA), model_init_kwargs={"dtype": "float32"})
    assert (dtypes(whole, trained=False), dtypes(whole, trained=True)) == ({F32}, {F32})
    whole.train()
    assert built.state.log_history[0]["loss"] == pytest.approx(whole.state.log_history[0]["loss"], rel=0.02)

    built.save_model(str(tmp_path / "adapter"))
    further = trainer(str(tmp_path / "adapter"), bf16=bf16)
    assert (dtypes(further, trained=False), dtypes(further, trained=True)) == ({BF16}, {F32})
    model, _ = load_for_generation(str(tmp_path / "adapter"), dtype="bfloat16", device="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {BF16}


@pytest.mark.parametrize(("bf16", "base"), [(True, BF16), (False, F32)])
@pytest.mark.parametrize("more", [{"modules_to_save": ["embed_tokens", "lm_head"]}, {"trainable_token_indices": [5]}])
def test_whole_modules_and_tokens_beside_an_adapter_are_trained_in_float32(
    half_path: str, trainer: Build, bf16: bool, base: torch.dtype, more: dict[str, Any], tmp_path: Path
) -> None:
    built = trainer(half_path, bf16=bf16, peft_config=LoraConfig(**LORA, **more))
    base = BF16 if "trainable_token_indices" in more else base
    assert (dtypes(built, trained=False), dtypes(built, trained=True)) == ({base}, {F32})
    built.train()
    assert built.state.log_history[0]["grad_norm"] > 0
    built.save_model(str(tmp_path / "adapter"))
    further = trainer(str(tmp_path / "adapter"), bf16=bf16)
    assert (dtypes(further, trained=False), dtypes(further, trained=True)) == ({base}, {F32})


def test_embeddings_and_head_of_a_quantized_model_stay_as_they_are(half_path: str, trainer: Build) -> None:
    pytest.importorskip("bitsandbytes")
    bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=BF16)
    built = trainer(half_path, quantization_config=bits, peft_config=LoraConfig(**LORA))
    assert built.model.get_input_embeddings().weight.dtype == BF16
    assert built.model.get_base_model().lm_head.weight.dtype == BF16


def test_the_users_choice_is_kept(half_path: str, trainer: Build, tmp_path: Path) -> None:
    for name, dtype in (("bfloat16", BF16), ("float32", F32)):
        built = trainer(half_path, model_init_kwargs={"dtype": name})
        assert dtypes(built, trained=True) == {dtype}
        built.save_model(str(tmp_path / name))
        assert saved_dtypes(tmp_path / name) == ({dtype}, name)
    unset = trainer(half_path, model_init_kwargs={"dtype": None})  # as `trl-train` passes it without `--dtype`
    assert dtypes(unset, trained=True) == {F32}
    loaded = trainer(AutoModelForCausalLM.from_pretrained(half_path, dtype=BF16))
    assert dtypes(loaded, trained=True) == {BF16}
    loaded.save_model(str(tmp_path / "loaded"))
    assert saved_dtypes(tmp_path / "loaded") == ({BF16}, "bfloat16")

"""Models and adapters as they are loaded to generate: the same logits as the model that was saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedTokenizerBase

from rrtf_trl import RRTFConfig
from rrtf_trl.errors import UserError
from rrtf_trl.export.transformers_forms import merge
from rrtf_trl.models import loading
from rrtf_trl.models.identity import model_identity
from rrtf_trl.models.loading import load_for_generation
from rrtf_trl.training.loading import load_policy
from support import tiny_llama

base_tokenizer, llama_path = tiny_llama.base_tokenizer, tiny_llama.llama_path

LORA: dict[str, Any] = {"r": 4, "task_type": "CAUSAL_LM", "target_modules": "all-linear"}


def adapter(base: str, folder: Path, tokens: list[str], pad_to: int | None = None, **options: Any) -> torch.Tensor:
    """Save an adapter with added tokens and weights that do something; return its logits of the tokens."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    if tokens:
        tokenizer.add_special_tokens({"additional_special_tokens": tokens})
        model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=pad_to)
        tokenizer.save_pretrained(folder)
    return saved(get_peft_model(model, LoraConfig(**LORA, **options)), folder, tokenizer)


def saved(model: PeftModel, folder: Path, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return logits(model, tokenizer)


def logits(model: Any, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    ids = tokenizer("<|code|>def add(x, y):\n", return_tensors="pt").input_ids
    with torch.no_grad():
        return model.eval()(ids).logits


@pytest.mark.parametrize("pad_to", [None, 64])
@pytest.mark.parametrize(
    "options", [{}, {"modules_to_save": ["embed_tokens", "lm_head"]}, {"trainable_token_indices": [311]}]
)
def test_an_adapter_with_added_tokens_gives_the_logits_that_it_was_saved_with(
    llama_path: str, tmp_path: Path, options: dict[str, Any], pad_to: int | None
) -> None:
    expected = adapter(llama_path, tmp_path, ["<|code|>"], pad_to, **options)
    model, tokenizer = load_for_generation(str(tmp_path), device="cpu")
    assert tokenizer.convert_tokens_to_ids("<|code|>") == 311
    torch.testing.assert_close(logits(model, tokenizer), expected)


def test_tokens_that_only_the_tokenizer_has_get_the_same_embeddings_each_time(llama_path: str, tmp_path: Path) -> None:
    adapter(llama_path, tmp_path, [])
    tokenizer = AutoTokenizer.from_pretrained(llama_path)
    tokenizer.add_tokens(["<|code|>"])
    tokenizer.save_pretrained(tmp_path)
    first, second = (load_for_generation(str(tmp_path), device="cpu")[0] for _ in range(2))
    torch.testing.assert_close(logits(first, tokenizer), logits(second, tokenizer), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["../base", "base"])
def test_a_base_named_by_a_relative_path_is_found_beside_the_adapter(
    llama_path: str, tmp_path: Path, name: str
) -> None:
    shutil.copytree(llama_path, tmp_path / "base")
    expected = adapter(llama_path, tmp_path / "adapter", [])
    rename_base(tmp_path / "adapter", name)
    model, tokenizer = load_for_generation(str(tmp_path / "adapter"), device="cpu")
    torch.testing.assert_close(logits(model, tokenizer), expected)


def test_an_adapter_on_an_adapter_has_both(llama_path: str, tmp_path: Path) -> None:
    adapter(llama_path, tmp_path / "first", [])
    base = AutoModelForCausalLM.from_pretrained(llama_path)
    base = PeftModel.from_pretrained(base, tmp_path / "first").merge_and_unload()
    expected = saved(
        get_peft_model(base, LoraConfig(**LORA)), tmp_path / "second", AutoTokenizer.from_pretrained(llama_path)
    )
    rename_base(tmp_path / "second", str(tmp_path / "first"))
    model, tokenizer = load_for_generation(str(tmp_path / "second"), device="cpu")
    torch.testing.assert_close(logits(model, tokenizer), expected)
    with pytest.raises(UserError, match=r"its base .*first is an adapter too, which quantized weights cannot take in"):
        load_for_generation(str(tmp_path / "second"), device="cpu", quantization_config=eight_bits())


def test_an_adapter_is_put_on_a_quantized_base(llama_path: str, tmp_path: Path) -> None:
    expected = adapter(llama_path, tmp_path, ["<|code|>"])
    model, tokenizer = load_for_generation(str(tmp_path), device="cpu", quantization_config=eight_bits())
    assert model.get_base_model().is_loaded_in_8bit
    distance = (logits(model, tokenizer).float() - expected).abs().mean()
    assert 0 < distance < 0.05 * expected.abs().mean()


@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
def test_four_bits_are_dequantized_on_a_processor_and_give_the_same_logits(
    llama_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quant_type: str
) -> None:
    pytest.importorskip("bitsandbytes")
    adapter(llama_path, tmp_path, ["<|code|>"])
    options = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quant_type,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype="float32",
    )
    for path in (llama_path, str(tmp_path)):
        once, tokenizer = load_for_generation(path, dtype="float32", device="cpu", quantization_config=options)
        assert not any(type(p).__name__ == "Params4bit" for p in once.parameters())
        monkeypatch.setattr(loading, "free_bytes", lambda device: 1)
        each_time, _ = load_for_generation(path, dtype="float32", device="cpu", quantization_config=options)
        monkeypatch.undo()
        assert any(type(p).__name__ == "Params4bit" for p in each_time.parameters()), "there is no memory for it"
        for module in each_time.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False  # there it would round activations to bfloat16
        torch.testing.assert_close(logits(once, tokenizer), logits(each_time, tokenizer), rtol=0, atol=1e-6)
        assert not torch.equal(logits(once, tokenizer), logits(load_for_generation(path, device="cpu")[0], tokenizer))


def test_four_bits_of_a_checkpoint_in_half_precision_keep_their_values_in_float32(
    llama_path: str, tmp_path: Path
) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    model = AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(llama_path).save_pretrained(tmp_path)
    options = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
    drawing, _ = load_for_generation(str(tmp_path), device="cpu", quantization_config=options)
    trained = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=options, device_map="cpu")
    assert drawing.dtype == torch.float32
    assert drawing.get_input_embeddings().weight.dtype == torch.float32
    weight = trained.model.layers[0].mlp.up_proj.weight
    expected = functional.dequantize_4bit(weight.data, weight.quant_state)
    torch.testing.assert_close(drawing.model.layers[0].mlp.up_proj.weight, expected.float(), rtol=0, atol=0)


@pytest.mark.parametrize(("ability", "expected"), [("AVX2", torch.float32), ("AVX512", torch.bfloat16)])
def test_products_are_in_float32_where_the_processor_has_no_bfloat16(
    llama_path: str, monkeypatch: pytest.MonkeyPatch, ability: str, expected: torch.dtype
) -> None:
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(loading, "free_bytes", lambda device: 1)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: ability)
    options = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
    model, _ = load_for_generation(llama_path, device="cpu", quantization_config=options)
    args = RRTFConfig("unused", use_cpu=True, bf16=False, report_to="none")
    trained = load_policy(llama_path, None, args, options, LoraConfig(**LORA)).model
    for one in (model, trained):
        assert one.model.layers[0].mlp.up_proj.compute_dtype == expected
    assert options.bnb_4bit_compute_dtype == torch.bfloat16, "what was chosen stays as it is"


def eight_bits() -> BitsAndBytesConfig:
    pytest.importorskip("bitsandbytes")
    return BitsAndBytesConfig(load_in_8bit=True)


def test_half_precision_is_kept_where_it_is_asked_for_and_not_by_default_on_a_cpu(
    llama_path: str, tmp_path: Path
) -> None:
    half = AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.bfloat16)
    half.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(llama_path).save_pretrained(tmp_path / "base")
    adapter(str(tmp_path / "base"), tmp_path / "adapter", ["<|code|>"], modules_to_save=["embed_tokens", "lm_head"])
    for path in ("base", "adapter"):
        for dtype, expected in (("auto", torch.float32), ("bfloat16", torch.bfloat16)):
            model, tokenizer = load_for_generation(str(tmp_path / path), dtype=dtype, device="cpu")
            assert {parameter.dtype for parameter in model.parameters()} == {expected}
            assert logits(model, tokenizer).dtype == expected


def test_a_prompt_with_a_token_without_embedding_is_refused(llama_path: str, tmp_path: Path) -> None:
    shutil.copytree(llama_path, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(llama_path)
    tokenizer.add_tokens(["<|code|>"])
    tokenizer.save_pretrained(tmp_path / "model")
    model, tokenizer = load_for_generation(str(tmp_path / "model"), device="cpu")
    model.generate(tokenizer("def", return_tensors="pt").input_ids, max_new_tokens=2)
    with pytest.raises(
        UserError, match=r"a prompt has token 311 \('<\|code\|>'\).* 1 of the tokenizer's tokens have none"
    ):
        model.generate(tokenizer("<|code|>", return_tensors="pt").input_ids, max_new_tokens=2)


def test_padding_never_has_a_token_without_embedding(llama_path: str, tmp_path: Path) -> None:
    shutil.copytree(llama_path, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(llama_path)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(tmp_path / "model")
    _, tokenizer = load_for_generation(str(tmp_path / "model"), device="cpu")
    assert tokenizer.pad_token == "<eos>"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "/gone/model",
            r"adapter .*: its base model is not there: no folder /gone/model\. Set base_model_name_or_path",
        ),
        (
            "some/base-model-gone",
            r"adapter .*: its base model some/base-model-gone cannot be loaded: .* set base_model",
        ),
        ("", r"adapter .* names no base model\. Set base_model_name_or_path in .*adapter_config.json"),
    ],
)
def test_an_adapter_without_its_base_is_refused(llama_path: str, tmp_path: Path, name: str, message: str) -> None:
    adapter(llama_path, tmp_path, ["<|code|>"])
    rename_base(tmp_path, name)
    with pytest.raises(UserError, match=message):
        load_for_generation(str(tmp_path), device="cpu")


def test_an_adapter_of_another_base_is_refused(llama_path: str, tmp_path: Path) -> None:
    adapter(llama_path, tmp_path, [])
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "r": 8}))
    with pytest.raises(UserError, match=r"adapter .* does not fit its base model .*size mismatch"):
        load_for_generation(str(tmp_path), device="cpu")
    file.write_text("{")
    with pytest.raises(UserError, match=r"adapter_config.json cannot be read as an adapter's configuration"):
        load_for_generation(str(tmp_path), device="cpu")


def test_an_adapter_is_known_by_its_base_too(llama_path: str, tmp_path: Path) -> None:
    shutil.copytree(llama_path, tmp_path / "base")
    adapter(llama_path, tmp_path / "adapter", [])
    rename_base(tmp_path / "adapter", "../base")
    before = model_identity(str(tmp_path / "adapter"))
    assert before.startswith("sha256:")
    with (tmp_path / "base" / "generation_config.json").open("a") as file:
        file.write("\n")
    assert model_identity(str(tmp_path / "adapter")) != before


def rename_base(folder: Path, name: str) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": name}))


def test_an_adapter_with_added_tokens_is_merged_into_its_base(llama_path: str, tmp_path: Path) -> None:
    expected = adapter(llama_path, tmp_path / "adapter", ["<|code|>"], modules_to_save=["embed_tokens", "lm_head"])
    merge(str(tmp_path / "adapter"), tmp_path / "merged")
    model, tokenizer = load_for_generation(str(tmp_path / "merged"), device="cpu", dtype="float32")
    assert not isinstance(model, PeftModel)
    torch.testing.assert_close(logits(model, tokenizer), expected, atol=1e-4, rtol=1e-4)

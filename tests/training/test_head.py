"""The fused LM head where an adapter trains single tokens of it, and in float32."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

from rrtf_trl import RRTFTrainer
from rrtf_trl.models.loading import load_for_generation
from rrtf_trl.training.head import add_head

LORA: dict[str, Any] = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": "all-linear"}


@pytest.fixture
def tied_path(llama_path: str, tmp_path: Path) -> str:
    """The tiny Llama with one matrix for embeddings and head."""
    shutil.copytree(llama_path, tmp_path / "tied")
    settings = tmp_path / "tied" / "config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "tie_word_embeddings": True}))
    AutoModelForCausalLM.from_pretrained(tmp_path / "tied").save_pretrained(tmp_path / "tied")
    return str(tmp_path / "tied")


@pytest.mark.parametrize("tokens", [[5, 7], {"embed_tokens": [5], "lm_head": [5, 7]}])
def test_tokens_of_the_head_have_the_gradients_of_the_whole_logits(
    tied_path: str, llama_path: str, trainer: Callable[..., RRTFTrainer], tokens: Any
) -> None:
    path = tied_path if isinstance(tokens, list) else llama_path
    built = trainer(path, peft_config=LoraConfig(**LORA, trainable_token_indices=tokens))
    ids = torch.tensor([[3, 5, 9, 7, 5, 11]])
    deltas = [p for name, p in built.model.named_parameters() if "trainable_tokens_delta" in name]
    assert len(deltas) == (1 if path == tied_path else 2)
    built.model.train()

    scored = built.model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs[0]
    logps = built.model(input_ids=ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    torch.testing.assert_close(scored, logps)
    for fused, whole in zip(
        torch.autograd.grad(scored.sum(), deltas), torch.autograd.grad(logps.sum(), deltas), strict=True
    ):
        assert whole.abs().max() > 0.01
        torch.testing.assert_close(fused, whole)


def test_a_token_trained_on_a_tied_model_is_sampled_with(
    tied_path: str, trainer: Callable[..., RRTFTrainer], tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tied_path)
    token = tokenizer("pass").input_ids[-1]
    built = trainer(tied_path, peft_config=LoraConfig(**LORA, trainable_token_indices=[token]), max_steps=2)
    before = built.model.get_input_embeddings().weight[token].detach().clone()
    built.train()
    built.save_model(str(tmp_path / "adapter"))
    model, _ = load_for_generation(str(tmp_path / "adapter"), device="cpu")
    for end in (model.get_input_embeddings(), model.get_output_embeddings()):
        torch.testing.assert_close(end.weight[token], built.model.get_input_embeddings().weight[token])
        assert (end.weight[token] != before).any()


@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied"])
@pytest.mark.parametrize("adapter", [False, True], ids=["whole model", "LoRA"])
@pytest.mark.parametrize("share_prefix", ["true", "false"], ids=["shared", "padded"])
def test_a_head_in_float32_rounds_no_logit(
    tied_path: str, llama_path: str, trainer: Callable[..., RRTFTrainer], tied: bool, adapter: bool, share_prefix: str
) -> None:
    """In a bfloat16 model, with autocast: log-probabilities are those of its hidden states times float32 weights."""
    path = tied_path if tied else llama_path
    options: dict[str, Any] = {"bf16": True, "share_prefix": share_prefix, "cast_lm_head_to_fp32": True}
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
    built = trainer(model, peft_config=LoraConfig(**LORA) if adapter else None, **options)
    ids = torch.tensor([[3, 5, 9, 7, 5, 11]])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scored = built.model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs[0]
        base = built.model.get_base_model() if adapter else built.model
        hidden = base.model(input_ids=ids).last_hidden_state
    assert hidden.dtype == torch.bfloat16
    weight = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).lm_head.weight.double()
    logps = (hidden.double() @ weight.T).log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    torch.testing.assert_close(scored.double(), logps, atol=1e-5, rtol=1e-5)
    rounded = (hidden @ weight.bfloat16().T).double().log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    assert (rounded - logps).abs().max() > 1e-3
    assert built.model(input_ids=ids).logits.dtype == torch.float32  # without the fused head too
    built.train()
    assert built.state.log_history[0]["grad_norm"] > 0


def test_a_quantized_head_is_not_cast(llama: Any) -> None:
    llama.lm_head.weight = torch.nn.Parameter(torch.zeros(311, 64, dtype=torch.int8), requires_grad=False)
    with pytest.raises(ValueError, match="not supported where the LM head is quantized"):
        add_head(llama, in_float32=True)

"""Where prompts are shared, where they are not, what is said of it, and the trainer either way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from datasets import Dataset
from peft import LoraConfig, PromptTuningConfig, TaskType
from torch import Tensor
from transformers import BitsAndBytesConfig

from rrtf_trl import RRTFTrainer
from rrtf_trl.training import RankedCollator
from rrtf_trl.training.losses import rrtf_loss
from rrtf_trl.training.packing import PackedCollator
from rrtf_trl.training.shared_prefix import share_prefixes
from support.tiny_models import FAMILIES, VOCABULARY, make, naive

Build = Callable[..., RRTFTrainer]

# -- Models for which it would not be exact --------------------------------------------------------------

MAMBA = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "pad_token_id": 0}
FALLBACKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "mamba": ("Mamba", {**MAMBA, "n_embd": 32}, "passes a state from token to token"),
    "jamba": (
        "Jamba",
        {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "mamba_d_state": 4, "mamba_dt_rank": 4}
        | {"use_mamba_kernels": False},
        "passes a state from token to token",
    ),
    "lfm2": ("Lfm2", {"layer_types": ["conv", "full_attention"]}, "has layers of conv"),
    "gpt_oss": (
        "GptOss",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4},
        "has attention sinks",
    ),
    "bloom": ("Bloom", {"n_head": 4, "n_layer": 2}, "does not use transformers' attention interface"),
    "gpt_neo": (
        "GPTNeo",
        {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "num_heads": 4},
        "does not use transformers'",
    ),
}


@pytest.mark.parametrize("family", FALLBACKS)
def test_other_models_keep_the_padded_path_and_say_why(family: str, caplog: pytest.LogCaptureFixture) -> None:
    name, options, reason = FALLBACKS[family]
    model = make(name, options, "eager")
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    assert not share_prefixes(model, "auto")
    assert [record.message for record in caplog.records if reason in record.message]
    with pytest.raises(ValueError, match=f"`share_prefix` is true, but .*{reason}.* Use `share_prefix"):
        share_prefixes(model, "true")
    assert [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()] == hooks


class NearSighted(transformers.LlamaForCausalLM):
    """Looks right but is not: its positions are those in the row."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        forward = self.model.rotary_emb.forward
        self.model.rotary_emb.forward = lambda x, position_ids: forward(x, torch.arange(x.size(1))[None])


class KeepsToItself(transformers.LlamaForCausalLM):
    """Looks right but is not: a layer does not hand its keywords on."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        layer = self.model.layers[1]
        forward = layer.forward
        layer.forward = lambda *args, tree=None, **kwargs: forward(*args, **kwargs)


@pytest.mark.parametrize(
    ("model_class", "reason"),
    [(NearSighted, "gave different results"), (KeepsToItself, "a trial on KeepsToItself failed")],
)
def test_a_trial_finds_what_a_look_at_the_model_does_not(model_class: type, reason: str) -> None:
    config = make("Llama", {}).config
    model = model_class(config)
    model.load_state_dict(make("Llama", {}).state_dict())
    with pytest.raises(ValueError, match=reason):
        share_prefixes(model, "true")


def test_a_window_that_does_not_reach_the_attention_function_is_noticed() -> None:
    model = make("Qwen2Moe", FAMILIES["qwen2_moe, sliding"][1])
    for layer in model.model.layers:
        layer.self_attn.sliding_window = None
    with pytest.raises(ValueError, match="do not pass all arguments on"):
        share_prefixes(model, "true")


def test_an_attention_of_ones_own_is_left_alone() -> None:
    model = make("Llama", {})
    model.config._attn_implementation = "mine"
    with pytest.raises(ValueError, match=r'chosen to be "mine".*attn_implementation="sdpa"'):
        share_prefixes(model, "true")


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
def test_every_attention_gives_the_same_loss_shared_and_padded(
    trainer: Build, llama_path: str, ranked: Dataset, implementation: str
) -> None:
    losses = [
        trainer(
            llama_path,
            eval_dataset=ranked,
            share_prefix=share,
            model_init_kwargs={"attn_implementation": name, "dtype": "float32"},
            # On a CPU torch 2.13's FlexAttention reads past the end of sequences that do not fill its blocks of 128.
            pad_to_multiple_of=128 if name == "flex_attention" and share == "false" else None,
        ).evaluate()["eval_loss"]
        for share, name in (("true", implementation), ("false", implementation), ("false", "eager"))
    ]
    assert losses == pytest.approx([losses[-1]] * 3, abs=1e-5)


def test_false_never_shares() -> None:
    assert not share_prefixes(make("Llama", {}), "false")


# -- In the trainer --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["auto", True, "true"])
def test_the_trainer_shares_where_it_can(trainer: Build, llama_path: str, choice: Any) -> None:
    ours = trainer(llama_path, share_prefix=choice)
    assert isinstance(ours.data_collator, PackedCollator)
    ours.train()


def test_the_trainer_does_not_share_unasked(trainer: Build, llama_path: str) -> None:
    assert isinstance(trainer(llama_path, share_prefix=False).data_collator, RankedCollator)


@pytest.mark.slow
def test_the_trainer_says_once_why_it_does_not_share(
    trainer: Build, llama_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    prompt_tuning = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3)
    ours = trainer(llama_path, peft_config=prompt_tuning, max_steps=2)
    ours.train()
    said = [record.message for record in caplog.records if "PromptTuningConfig adds virtual tokens" in record.message]
    assert len(said) == 1
    with pytest.raises(ValueError, match="PromptTuningConfig adds virtual tokens"):
        trainer(llama_path, peft_config=prompt_tuning, share_prefix="true")


def test_a_collator_of_ones_own_is_used(trainer: Build, llama_path: str) -> None:
    shared, padded = trainer(llama_path), trainer(llama_path, data_collator=RankedCollator(pad_token_id=0))
    assert isinstance(padded.data_collator, RankedCollator)
    losses = [ours.compute_loss(ours.model, ours.data_collator(list(ours.train_dataset))) for ours in (shared, padded)]
    torch.testing.assert_close(*losses, atol=1e-5, rtol=0)


def test_a_packed_collator_of_ones_own_shares_prompts(trainer: Build, llama_path: str) -> None:
    collator = PackedCollator()
    ours, shared = trainer(llama_path, data_collator=collator, share_prefix="false"), trainer(llama_path)
    assert ours.data_collator is collator
    losses = [each.compute_loss(each.model, each.data_collator(list(each.train_dataset))) for each in (ours, shared)]
    torch.testing.assert_close(*losses, atol=1e-5, rtol=0)
    prompt_tuning = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3)
    with pytest.raises(ValueError, match="PromptTuningConfig adds virtual tokens"):
        trainer(llama_path, data_collator=collator, peft_config=prompt_tuning)


@pytest.mark.parametrize("quantization", [{"load_in_4bit": True}, {"load_in_8bit": True}], ids=["4 bit", "8 bit"])
def test_a_quantized_model_with_an_adapter_has_the_gradients_of_the_padded_path(
    trainer: Build, llama_path: str, quantization: dict[str, Any]
) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    losses, gradients = [], []
    for share_prefix in (True, False):
        ours = trainer(
            llama_path,
            quantization_config=BitsAndBytesConfig(**quantization),
            peft_config=LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"]),
            share_prefix=share_prefix,
        )
        ours.model.train()
        loss = ours.compute_loss(ours.model, ours.data_collator(list(ours.train_dataset)))
        loss.backward()
        losses.append(loss.detach())
        gradients.append({name: p.grad for name, p in ours.model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(losses[0], losses[1], atol=1e-4, rtol=0)
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[1].items():  # in bf16, as QLoRA computes
        assert (gradients[0][name] - expected).norm() <= 0.01 * expected.norm(), name


def test_a_hybrid_model_trains_padded_as_one_sequence_at_a_time(
    trainer: Build, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name, options, reason = FALLBACKS["jamba"]
    model = make(name, {**options, "vocab_size": len(tokenizer)}, "eager")
    reference = copy.deepcopy(model)
    ours = trainer(model, processing_class=tokenizer, router_aux_loss_coef=0.0)
    assert any(reason in record.message for record in caplog.records)
    examples = list(ours.train_dataset)
    with torch.no_grad():
        loss = ours.compute_loss(ours.model, ours.data_collator(examples))
        logps, _ = naive(reference, examples)
        parts = rrtf_loss(logps, *_statistics(examples), ours.args, from_teacher=_teachers(examples))
    expected = (parts.rank_loss + parts.sft_loss).mean()
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)


def _statistics(examples: list[dict[str, Any]]) -> tuple[Tensor, Tensor, Tensor]:
    batch = PackedCollator()(examples)
    lengths = torch.tensor([len(ids) for example in examples for ids in example["response_ids"]])
    return lengths, batch["groups"].scores, batch["groups"].ids


def _teachers(examples: list[dict[str, Any]]) -> Tensor:
    return PackedCollator()(examples)["groups"].from_teacher

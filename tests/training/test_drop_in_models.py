"""Models as scripts for TRL's DPOTrainer give them: experts, loading options, kernels, adapters, padding tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.training import loading
from rrtf_trl.training.tree_attention import with_trees
from support.trainer_checks import PREFERENCES, Build, weights

Configure = Callable[..., RRTFConfig]
Tok = PreTrainedTokenizerFast


@pytest.fixture(scope="module")
def moe_path(base_tokenizer: Tok, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("models") / "moe")
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=len(base_tokenizer),
        hidden_size=32,
        intermediate_size=32,
        moe_intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        num_experts=4,
        num_experts_per_tok=2,
        initializer_range=0.2,
        router_aux_loss_coef=0.5,
        eos_token_id=base_tokenizer.eos_token_id,
    )
    Qwen3MoeForCausalLM(config).save_pretrained(path)
    base_tokenizer.save_pretrained(path)
    return path


@pytest.mark.slow
def test_experts_are_balanced_with_the_weight_of_the_model_or_the_options(
    trainer: Build, ranked: Dataset, moe_path: str
) -> None:
    found = {
        weight: trainer(moe_path, eval_dataset=ranked, router_aux_loss_coef=weight).evaluate()
        for weight in (None, 0.0, 2.0)
    }
    assert "eval_aux_loss" not in found[0.0]
    balance = found[None]["eval_aux_loss"]
    assert balance > 0
    assert found[None]["eval_loss"] == pytest.approx(found[0.0]["eval_loss"] + 0.5 * balance, rel=1e-5)
    assert found[2.0]["eval_loss"] == pytest.approx(found[0.0]["eval_loss"] + 2.0 * balance, rel=1e-5)


def test_the_balancing_loss_is_the_models_own(trainer: Build, ranked: Dataset, moe_path: str) -> None:
    trained = trainer(moe_path, eval_dataset=ranked, per_device_eval_batch_size=7, share_prefix="false")
    batch = trained.data_collator(list(trained.eval_dataset))
    with torch.no_grad():
        output = trained.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_router_logits=True
        )
    assert trained.evaluate()["eval_aux_loss"] == pytest.approx(output.aux_loss.item(), rel=1e-5)


def test_a_dense_model_has_no_experts_to_balance(trainer: Build, llama_path: str) -> None:
    with pytest.raises(ValueError, match=r"`router_aux_loss_coef` is 0.1, but LlamaForCausalLM is not a mixture"):
        trainer(llama_path, router_aux_loss_coef=0.1)


def test_options_for_loading_the_model_are_used(trainer: Build, llama_path: str) -> None:
    trained = trainer(llama_path, model_init_kwargs={"dtype": "bfloat16", "attn_implementation": "eager"})
    assert trained.model.dtype == torch.bfloat16
    # Where there is no tree of tokens, it is that attention.
    assert trained.model.config._attn_implementation == with_trees("eager")


def test_liger_leaves_the_head_alone(
    config: Configure, llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = config(use_liger_kernel=True)
    monkeypatch.setattr(loading, "is_liger_kernel_available", lambda: False)
    with pytest.raises(ImportError, match=r"`use_liger_kernel=True` needs the liger-kernel package.*Or leave it out"):
        RRTFTrainer(model=llama, args=args, train_dataset=PREFERENCES)
    monkeypatch.setattr(loading, "is_liger_kernel_available", lambda: True)
    with pytest.warns(FutureWarning, match="`use_liger_kernel=True` is deprecated"):
        RRTFTrainer(model=llama, args=args, train_dataset=PREFERENCES)
    assert args.liger_kernel_config == {"fused_linear_cross_entropy": False}
    fused = config(use_liger_kernel=True, liger_kernel_config={"fused_linear_cross_entropy": True})
    with pytest.raises(ValueError, match="Leave it out"), pytest.warns(FutureWarning):
        RRTFTrainer(model=llama, args=fused, train_dataset=PREFERENCES)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="Liger's kernels are Triton's, which need a GPU")
@pytest.mark.parametrize("share_prefix", ["true", "false"])
def test_liger_kernels_give_the_same_losses_on_the_gpu(trainer: Build, llama_path: str, share_prefix: str) -> None:
    pytest.importorskip("liger_kernel", reason="liger-kernel is not installed")
    options = {"use_cpu": False, "max_steps": 3, "optim": "sgd", "learning_rate": 0.1, "share_prefix": share_prefix}
    losses = []
    for liger in (False, True):
        trained = trainer(llama_path, use_liger_kernel=liger, **options)
        trained.train()
        losses.append([entry["loss"] for entry in trained.state.log_history if "loss" in entry])
    assert len(losses[1]) == 3
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "peft_config",
    [
        LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "embed_tokens"]),
        LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]),
        PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3),
    ],
    ids=["lora on embeddings", "embeddings whole", "prompt tuning"],
)
@pytest.mark.parametrize("reentrant", [None, False, True], ids=["stored", "recomputed", "reentrant"])
def test_adapters_train_with_and_without_recomputation(
    trainer: Build, llama_path: str, peft_config: Any, reentrant: bool | None
) -> None:
    options = {} if reentrant is None else {"gradient_checkpointing_kwargs": {"use_reentrant": reentrant}}
    trained = trainer(
        llama_path,
        PREFERENCES,
        peft_config=peft_config,
        gradient_checkpointing=reentrant is not None,
        learning_rate=0.1,
        max_steps=2,
        **options,
    )
    before = weights(trained.model)
    trained.train()
    for name, weight in trained.model.named_parameters():
        assert torch.equal(weight, before[name]) != weight.requires_grad, name


@pytest.mark.slow
def test_of_several_adapters_the_active_one_trains(trainer: Build, llama: PreTrainedModel) -> None:
    adapter = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])
    model = get_peft_model(llama, adapter)
    model.add_adapter("second", adapter)
    model.set_adapter("second")
    trained = trainer(model, PREFERENCES, max_steps=2, learning_rate=0.1)
    before = weights(trained.model)
    trained.train()
    changed = {name for name, weight in trained.model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed
    assert all(".second." in name for name in changed)


def test_something_else_than_a_peft_config_is_refused(trainer: Build, llama_path: str) -> None:
    with pytest.raises(TypeError, match=r"`peft_config` must be a `peft\.PeftConfig`"):
        trainer(llama_path, peft_config={"r": 8})


def test_the_padding_token_can_be_chosen(trainer: Build, llama_path: str) -> None:
    assert trainer(llama_path, pad_token="<eos>").processing_class.pad_token == "<eos>"
    with pytest.raises(ValueError, match="`pad_token` '<none>' is not in the tokenizer's vocabulary"):
        trainer(llama_path, pad_token="<none>")

"""What can be trained: a path, a model, adapters, quantized weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, TaskType, get_peft_model
from torch import Tensor, nn
from transformers import (
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from support.trainer_checks import (
    LORA,
    Build,
    assert_same_weights,
    both_paths,
    by_hand,
    changed,
    training_logs,
    weights,
)

DORA = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], r=4, use_dora=True)


# -- Models ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_path_and_the_model_loaded_from_it_train_alike(
    trainer: Build, llama: PreTrainedModel, llama_path: str
) -> None:
    by_path, by_object = trainer(llama_path), trainer(llama)
    assert by_object.model is llama
    by_path.train()
    by_object.train()
    assert_same_weights(weights(by_object.model), weights(by_path.model), atol=0)


@pytest.mark.slow
@both_paths
def test_an_adapter_is_all_that_trains(trainer: Build, llama_path: str, share_prefix: bool) -> None:
    ours = trainer(llama_path, peft_config=LORA, max_steps=2, share_prefix=share_prefix)
    assert isinstance(ours.model, PeftModel)
    before = weights(ours.model)
    ours.train()
    adapter = {name for name in before if "lora_" in name}
    assert adapter
    assert changed(before, weights(ours.model)) == adapter


@pytest.mark.slow
def test_a_peft_model_goes_on_training_its_adapter(trainer: Build, llama: PreTrainedModel) -> None:
    model = get_peft_model(llama, LORA)
    ours = trainer(model, max_steps=2)
    before = weights(model)
    ours.train()
    assert ours.model is model
    assert changed(before, weights(model)) == {name for name in before if "lora_" in name}


@pytest.mark.parametrize(
    "peft_config",
    [
        LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["lm_head"]),
        PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3),
        PrefixTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3),
        DORA,
    ],
    ids=["LM head trained whole", "prompt tuning", "prefix tuning", "DoRA"],
)
def test_the_loss_under_an_adapter_equals_one_sequence_at_a_time(
    trainer: Build, llama_path: str, peft_config: Any
) -> None:
    ours = trainer(llama_path, peft_config=peft_config)
    ours.model.eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in ours.model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.1)
        examples = list(ours.train_dataset)
        loss = ours.compute_loss(ours.model, ours.data_collator(examples))
        virtual = getattr(peft_config, "num_virtual_tokens", 0)
        expected, _ = by_hand(LastPositions(ours.model, virtual), examples)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


class LastPositions(nn.Module):
    """A model without the logits of the virtual tokens that its adapter puts in front."""

    def __init__(self, model: nn.Module, virtual: int) -> None:
        super().__init__()
        self.model, self.virtual = model, virtual

    def forward(self, input_ids: Tensor) -> Any:
        output = self.model(input_ids=input_ids, attention_mask=torch.ones_like(input_ids))
        output.logits = output.logits[:, -input_ids.size(1) :]
        return output


def test_an_adapter_on_the_lm_head_is_refused(trainer: Build, llama_path: str) -> None:
    peft_config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "lm_head"])
    with pytest.raises(ValueError, match="modules_to_save"):
        trainer(llama_path, peft_config=peft_config)


@pytest.mark.slow
@both_paths
@pytest.mark.parametrize("adapter", [LORA, DORA], ids=["LoRA", "DoRA"])
@pytest.mark.parametrize(
    "quantization",
    [
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
        {"load_in_8bit": True},
    ],
    ids=["4 bit NF4", "4 bit NF4, double quantization", "8 bit"],
)
def test_an_adapter_trains_on_a_quantized_model(
    trainer: Build, llama_path: str, quantization: dict[str, Any], adapter: LoraConfig, share_prefix: bool
) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    if adapter is DORA and "load_in_8bit" in quantization:
        with pytest.raises(ValueError, match="DoRA on 8-bit weights does not train on a CPU"):
            trainer(llama_path, quantization_config=BitsAndBytesConfig(**quantization), peft_config=adapter)
        return
    ours = trainer(
        llama_path,
        quantization_config=BitsAndBytesConfig(**quantization),
        peft_config=adapter,
        max_steps=3,
        per_device_train_batch_size=2,
        logging_steps=1,
        share_prefix=share_prefix,
    )
    kind = bitsandbytes.nn.Linear4bit if "load_in_4bit" in quantization else bitsandbytes.nn.Linear8bitLt
    assert any(isinstance(module, kind) for module in ours.model.modules())
    before = weights(ours.model)
    ours.train()
    losses = [entry["loss"] for entry in training_logs(ours)]
    assert len(losses) == 3
    assert all(math.isfinite(loss) for loss in losses)
    assert changed(before, weights(ours.model)) == {name for name in before if "lora_" in name}


def test_a_quantized_path_and_a_loaded_model_do_not_go_together(trainer: Build, llama: PreTrainedModel) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    with pytest.raises(ValueError, match="is loaded already"):
        trainer(llama, quantization_config=BitsAndBytesConfig(load_in_8bit=True))


def test_two_adapters_do_not_go_together(trainer: Build, llama: PreTrainedModel) -> None:
    with pytest.raises(ValueError, match="has an adapter already"):
        trainer(get_peft_model(llama, LORA), peft_config=LORA)


@pytest.mark.slow
def test_a_model_without_pad_token_trains_the_same(
    trainer: Build, llama_path: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    with_pad = trainer(llama_path)
    tokenizer.pad_token = None
    without_pad = trainer(llama_path, processing_class=tokenizer)
    assert without_pad.model.config.pad_token_id == tokenizer.eos_token_id
    with_pad.train()
    without_pad.train()
    assert training_logs(without_pad)[0]["loss"] == pytest.approx(training_logs(with_pad)[0]["loss"], abs=1e-6)

"""An adapter's dropout: disabled by default, with a word about it, and kept where the user says so."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from peft import BOFTConfig, LoHaConfig, LoraConfig, PeftConfig

from rrtf_trl import RRTFTrainer

Build = Callable[..., RRTFTrainer]
ADAPTERS: dict[str, Callable[[float], PeftConfig]] = {
    "lora_dropout": lambda rate: LoraConfig(
        task_type="CAUSAL_LM", target_modules=["q_proj"], lora_dropout=rate, init_lora_weights=False
    ),
    "rank_dropout": lambda rate: LoHaConfig(
        task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], rank_dropout=rate, init_weights=False
    ),
    "boft_dropout": lambda rate: BOFTConfig(
        task_type="CAUSAL_LM", boft_block_size=8, target_modules=["q_proj"], boft_dropout=rate, init_weights=False
    ),
}


def two_losses(trainer: RRTFTrainer) -> list[float]:
    trainer.model.train()
    batch = trainer.data_collator(list(trainer.train_dataset))
    return [trainer.compute_loss(trainer.model, batch).item() for _ in range(2)]


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapters_dropout_is_disabled_with_a_warning_unless_it_is_kept(
    trainer: Build, llama_path: str, name: str
) -> None:
    with pytest.warns(UserWarning, match=rf"adapter's {name}=0\.5 has no effect.*`disable_dropout=False`") as caught:
        first, second = two_losses(trainer(llama_path, peft_config=ADAPTERS[name](0.5)))
    assert first == second
    assert sum("has no effect" in str(warning.message) for warning in caught) == 1
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*has no effect")
        first, second = two_losses(trainer(llama_path, peft_config=ADAPTERS[name](0.5), disable_dropout=False))
        assert first != second
        trainer(llama_path, peft_config=ADAPTERS[name](0.0))


def test_the_warning_is_about_adapters_alone(trainer: Build, gpt2_path: str) -> None:
    """GPT-2 has dropout by its own configuration, for which nobody has asked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*has no effect")
        trained: Any = trainer(gpt2_path)
    first, second = two_losses(trained)
    assert first == second

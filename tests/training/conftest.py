"""Tiny random models, made once, and builders of configs and trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from rrtf_trl import RRTFConfig, RRTFTrainer
from support import tiny_llama

base_tokenizer, llama_path = tiny_llama.base_tokenizer, tiny_llama.llama_path


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # the models are too small to share out


@pytest.fixture(scope="session")
def gpt2_path(base_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved GPT-2 of two layers, with dropout and tied embeddings, with its tokenizer."""
    path = tmp_path_factory.mktemp("models") / "gpt2"
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(base_tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=256,
        initializer_range=0.2,
        bos_token_id=base_tokenizer.eos_token_id,
        eos_token_id=base_tokenizer.eos_token_id,
    )
    return tiny_llama.save(GPT2LMHeadModel(config), base_tokenizer, path)


@pytest.fixture
def tokenizer(llama_path: str) -> PreTrainedTokenizerFast:
    """A fresh copy of the tokenizer, free to be changed."""
    return PreTrainedTokenizerFast.from_pretrained(llama_path)


@pytest.fixture
def llama(llama_path: str) -> PreTrainedModel:
    """A fresh copy of the tiny Llama."""
    return AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.float32)


@pytest.fixture
def gpt2(gpt2_path: str) -> PreTrainedModel:
    """A fresh copy of the tiny GPT-2."""
    return AutoModelForCausalLM.from_pretrained(gpt2_path, dtype=torch.float32)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., RRTFConfig]:
    """Build a config for a quick and exact run on the CPU."""

    def build(**options: Any) -> RRTFConfig:
        defaults = {
            "output_dir": str(tmp_path / "out"),
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "dataloader_pin_memory": False,
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            "logging_steps": 1,
            "learning_rate": 1e-2,
            "lr_scheduler_type": "constant",
            "max_steps": 1,
            "rank_weight": 1.0,  # the loss as the paper prints it
        }
        return RRTFConfig(**{**defaults, **options})

    return build


@pytest.fixture
def trainer(config: Callable[..., RRTFConfig], ranked: Dataset) -> Callable[..., RRTFTrainer]:
    """Build a trainer on ``ranked``: keywords of the trainer are its own, the others are options."""

    def build(model: str | PreTrainedModel, rows: Any = None, **options: Any) -> RRTFTrainer:
        names = (
            "ref_model",
            "eval_dataset",
            "peft_config",
            "quantization_config",
            "processing_class",
            "data_collator",
            "callbacks",
            "compute_metrics",
        )
        arguments = {name: options.pop(name) for name in names if name in options}
        return RRTFTrainer(
            model=model, args=config(**options), train_dataset=ranked if rows is None else rows, **arguments
        )

    return build


@pytest.fixture(scope="session")
def ranked() -> Dataset:
    """Seven rows of 2 to 5 responses of many lengths, with ties."""
    prompts = [f"def f{i}(x):\n" for i in range(7)]
    bodies = [
        "    return x + x\n",
        "    total = x + x\n    return total\n",
        "    print(x)\n",
        "    if x > 5:\n        return x - 5\n    return x\n",
        "    pass\n",
    ]
    sizes = [2, 5, 3, 2, 4, 3, 2]
    return Dataset.from_list(
        [
            {
                "prompt": prompt,
                "responses": [bodies[(i + j) % 5] for j in range(size)],
                "scores": [float((3 * j + i) % 4) for j in range(size)],
                "sources": ["teacher" if (i + j) % 2 else "student" for j in range(size)],
            }
            for i, (prompt, size) in enumerate(zip(prompts, sizes, strict=True))
        ]
    )

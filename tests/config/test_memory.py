"""The memory that a run is going to take, beside what a process really took."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rrtf_trl.config import memory_plan as memory_plan_module
from rrtf_trl.config.memory import sampling, stored, training
from rrtf_trl.config.memory_plan import memory_plan
from rrtf_trl.models.size import ModelShape, model_shape
from support import tiny_llama

base_tokenizer = tiny_llama.base_tokenizer

START = """
import os, psutil, resource, sys, torch
from datasets import Dataset
from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.models.loading import load_for_generation
folder = sys.argv[1]
model, tokenizer = load_for_generation(folder, device="cpu")
model(input_ids=torch.tensor([[3, 4]])).logits.sum().backward()  # what torch itself takes at its first use
del model
before = psutil.Process().memory_info().rss
"""
END = "\nprint('TOOK', 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"

TRAIN = """
ids = lambda length, first=0: [3 + (first + i) % 200 for i in range(length)]
row = {"prompt_ids": ids(128), "response_ids": [ids(128, first) for first in range(4)], "from_teacher": [False] * 4}
row["scores"] = [3.0, 2.0, 1.0, 0.0]
args = RRTFConfig(folder + "/out", use_cpu=True, bf16=False, report_to="none", max_steps=2, save_strategy="no",
                  gradient_checkpointing=sys.argv[2] == "True", per_device_train_batch_size=1)
RRTFTrainer(folder, args=args, train_dataset=Dataset.from_list([row] * 2)).train()
"""
SAMPLE = """
from rrtf_trl.models.generation import Request, draw
model, tokenizer = load_for_generation(folder, device="cpu")
prompts = torch.randint(3, 200, (48, 248)).tolist()
draw(model, [Request(ids, 8, number) for number, ids in enumerate(prompts)], 1.0, 0.9, [], 0, 48)
"""


@pytest.fixture(scope="module")
def folder(base_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama of 20 million parameters, made of nothing in particular."""
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=512,
        eos_token_id=base_tokenizer.eos_token_id,
    )
    return tiny_llama.save(LlamaForCausalLM(config), base_tokenizer, tmp_path_factory.mktemp("twenty"))


def took(code: str, *arguments: str) -> float:
    # Otherwise the C library keeps what was freed, more or less by chance.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    command = [sys.executable, "-c", START + code + END, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout.rpartition("TOOK ")[2])


def test_the_shape_of_a_model_is_read_from_its_files(folder: str) -> None:
    shape = model_shape(folder)
    assert shape is not None
    assert shape == ModelShape(shape.parameters, 384, 8, 384, 384, 1024, 8192)
    # Embeddings, head and norms are all that is not in linear layers.
    assert shape.parameters == 8 * shape.linear_weights + 2 * 8192 * 384 + 17 * 384
    assert model_shape("nobody/has-this-model") is None


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_takes_about_what_the_plan_says(folder: str, checkpointing: bool) -> None:
    shape = model_shape(folder)
    assert shape is not None
    weights = stored(shape, 4, None)
    expected = training(shape, weights, shape.parameters, 4, 128 + 4 * 128, checkpointing=checkpointing).total
    found = took(TRAIN, folder, str(checkpointing))
    assert 0.7 * expected < found < 1.3 * expected


@pytest.mark.slow
def test_sampling_takes_about_what_the_plan_says(folder: str) -> None:
    shape = model_shape(folder)
    assert shape is not None
    expected = sampling(shape, stored(shape, 4, None), 4, 48, 256).total
    found = took(SAMPLE, folder)
    assert 0.7 * expected < found < 1.3 * expected


SEVEN = ModelShape(7_000_000_000, 4096, 32, 4096, 1024, 14336, 128_256)


SAMPLER = {"_target_": "x", "n": 8, "batch_size": 32, "max_new_tokens": 512}
EVALUATION = {"max_new_tokens": 512, "measurements": {"greedy": {"n": 1}}}


def config(**trainer: Any) -> dict[str, Any]:
    return {
        "trainer": {"max_length": 1024, "bf16": True, "per_device_train_batch_size": 1, **trainer},
        "sampler": {"transformers": SAMPLER},
        "evaluation": EVALUATION,
        "adapter": None,
        "quantization": None,
    }


@pytest.mark.parametrize(
    ("changes", "free", "line"),
    [
        ({}, 200, None),
        ({}, 24, r"training may not fit: 117.* GiB for weights, gradients and AdamW, .*adapter=lora"),
        ({"adapter": {"r": 16}}, 10, r"training may not fit: .* quantization=bnb_4bit"),
        (
            {"sampler": {"transformers": {**SAMPLER, "max_sequences": 128}}},
            20,
            r"sampling may not fit: 13.0 GiB for weights, .* sampler.transformers.max_sequences=\d+",
        ),
        (
            {"evaluation": {**EVALUATION, "max_sequences": 256}},
            14,
            r"evaluation may not fit: .* evaluation.max_sequences=\d+",
        ),
        ({}, 12, r"sampling may not fit: 13.0 GiB for weights, .* quantization=bnb_4bit"),
        ({"adapter": {"r": 16}}, 20, r"training may not fit: .* trainer.gradient_checkpointing=true"),
    ],
)
def test_what_is_more_than_is_free_is_told_with_what_to_change(
    changes: dict[str, Any], free: int, line: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_plan_module, "_device", lambda config: ("the GPU", free * 2.0**30))
    first, *others = memory_plan({**config(), **changes}, SEVEN, "BF16")
    assert f"{free:.1f} GiB are free on the GPU" in first
    text = "\n".join(others)
    assert not text if line is None else re.search(line, text), text


def test_a_batch_that_does_not_fit_is_told_with_the_limit_under_which_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan_module, "_device", lambda config: ("the GPU", 20 * 2.0**30))
    options = {"gradient_checkpointing": True, "per_device_train_batch_size": 16}
    *_, line = memory_plan({**config(**options), "adapter": {"r": 16}}, SEVEN, "BF16")
    found = re.search(r"training may not fit: .* trainer.max_tokens_per_forward=(\d+)", line)
    assert found, line
    limited = config(**options, max_tokens_per_forward=int(found[1]))
    assert len(list(memory_plan({**limited, "adapter": {"r": 16}}, SEVEN, "BF16"))) == 1


def test_four_bits_are_planned_as_they_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    quantized = {**config(), "adapter": {"r": 16}, "quantization": {"load_in_4bit": True}}
    parts = []
    for free in (200, 40):
        monkeypatch.setattr(memory_plan_module, "_device", lambda config, free=free: ("this machine", free * 2.0**30))
        parts.append("\n".join(memory_plan(quantized, SEVEN, "BF16")))
    assert "dequantized once, to 26.1 GiB of float32" in parts[0]
    assert "26.1 GiB for the 4-bit weights in float32 are more than half of what is free" in parts[1]
    needed = [float(re.search(r"about ([\d.]+) GiB for sampling", part)[1]) for part in parts]  # type: ignore[index]
    assert needed[0] > 26.1
    assert needed[1] < needed[0]
    monkeypatch.setattr(memory_plan_module, "_device", lambda config: ("the GPU", 200 * 2.0**30))
    assert "4-bit" not in "\n".join(memory_plan(quantized, SEVEN, "BF16"))

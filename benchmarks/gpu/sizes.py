"""Parts with figures at the sizes that people train: throughput, memory beside the plan, the sampler's rate."""

from __future__ import annotations

import re
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from contestants import Work
from contestants import make_trainer as make_contestant
from train_throughput import Stopwatch, matmul_flops, own_peak
from transformers import PrinterCallback

from rrtf_trl.config.memory_plan import memory_plan
from rrtf_trl.models.memory import free_memory
from rrtf_trl.models.size import model_shape
from rrtf_trl.records import CheckTests, Problem
from rrtf_trl.samplers import TransformersSampler

from .setting import Finding, Setting
from .steps import mib

LEAST_OF_CEILING = 0.1
"""Of the rate at which matrices are multiplied: below it, something other than the model takes the time."""
_UNCOUNTED, _STEPS = 2, 6


def train_05b(setting: Setting) -> Finding:
    """All weights of 0.5B."""
    return _train(setting, Work("0.5b", "full", 8, 1024, 512), recompute=False)


def train_15b(setting: Setting) -> Finding:
    """All weights of 1.5B."""
    return _train(setting, Work("1.5b", "full", 8, 1024, 512), recompute=False)


def train_3b(setting: Setting) -> Finding:
    """All weights of 3B, activations computed again."""
    return _train(setting, Work("3b", "full", 8, 1024, 512), recompute=True)


def train_7b_lora(setting: Setting) -> Finding:
    """An adapter on 7B."""
    return _train(setting, Work("7b", "lora", 8, 1024, 512), recompute=True)


def train_7b_4bit(setting: Setting) -> Finding:
    """An adapter on 7B in 4 bits."""
    return _train(setting, Work("7b", "4bit", 8, 1024, 512), recompute=True)


def _train(setting: Setting, work: Work, recompute: bool) -> Finding:
    work = replace(work, shape=setting.shape(work.shape))
    if setting.tiny:
        work = replace(work, responses=3, prompt=24, response=16)
    model = setting.model(work.shape, "bfloat16" if setting.on_gpu else "float32")
    ceiling = matmul_flops("float32")
    held = _held()
    trainer = make_contestant("ours, shared", model, work, _STEPS, recompute, str(setting.folder / "trained"))
    watch = Stopwatch()
    trainer.add_callback(watch)
    trainer.remove_callback(PrinterCallback)
    _reset_peak()
    trainer.train()
    peak = own_peak() * 2**20 - held
    seconds = statistics.median(watch.seconds[_UNCOUNTED:])
    achieved = work.flops("ours, shared", recompute) / seconds
    trainer_options = {
        "max_length": work.prompt + work.response,
        "bf16": setting.on_gpu,
        "per_device_train_batch_size": 1,
        "gradient_checkpointing": recompute,
        "use_cpu": not setting.on_gpu,
    }
    planned = _planned("training", model, work, trainer_options)
    ratio = peak / planned
    measured = (
        f"{work.shape} {work.weights}, k={work.responses}, {work.prompt}+{work.response} tokens"
        f"{', recomputed' if recompute else ''}: {work.useful('ours, shared') / seconds:,.0f} response tokens/s, "
        f"{achieved / 1e12:.3g} TFLOP/s of {ceiling / 1e12:.3g} measured ({achieved / ceiling:.0%}); peak {mib(peak)} "
        f"of {mib(planned)} planned ({ratio:.2f})"
    )
    if not setting.on_gpu:  # torch itself takes more than such a model
        return Finding(f"{measured}, of the process", None)
    return Finding(measured, achieved > LEAST_OF_CEILING * ceiling and 0.7 < ratio < 1.3)


def sampler(setting: Setting) -> Finding:
    """The rate of `TransformersSampler`, which draws the same again, in about the memory that is planned."""
    n, count, new, length = (2, 2, 8, 24) if setting.tiny else (8, 16, 128, 256)
    model = setting.model("0.5b", "bfloat16" if setting.on_gpu else "float32")
    problems = [
        Problem(f"random/{number}", " ".join(f"w{3 + (7 * number + place) % 8000}" for place in range(length)) + " ",
                CheckTests("pass"), entry_point="f")
        for number in range(count)
    ]  # fmt: skip
    held = _held()
    drawing = TransformersSampler(model, n=n, max_new_tokens=new, temperatures=[1.0], max_sequences=n * count)
    warm = drawing.sample(problems[:1])
    _reset_peak()
    start = time.perf_counter()
    candidates = drawing.sample(problems).candidates
    seconds = time.perf_counter() - start
    peak = own_peak() * 2**20 - held
    again = drawing.sample(problems).candidates
    tokens = sum(len(one.token_ids or ()) for one in candidates)
    work = Work(setting.shape("0.5b"), "full", n, length, new)
    planned = _planned("sampling", model, work, {"max_length": length + new}, n * count)
    same = [one.token_ids for one in candidates] == [one.token_ids for one in again]
    measured = (
        f"{n * count} sequences of {length}+{new} tokens: {tokens / seconds:,.0f} tokens/s; drawn again: "
        f"{'same' if same else 'DIFFERENT'}; peak {mib(peak)} of {mib(planned)} planned ({peak / planned:.2f})"
    )
    drew = len(warm.candidates) == n and len(candidates) == n * count and tokens > 0.5 * n * count * new
    if not setting.on_gpu:  # torch itself takes more than such a model
        return Finding(f"{measured}, of the process", same and drew)
    return Finding(measured, same and drew and 0.7 < peak / planned < 1.3)


def _planned(stage: str, model: str, work: Work, trainer: dict[str, Any], sequences: int | None = None) -> float:
    """Return the bytes that `rrtf` says a stage is going to take."""
    drawing = {
        "_target_": "sampler",
        "n": work.responses,
        "batch_size": 32,
        "max_new_tokens": work.response,
        "max_sequences": sequences,
    }
    config = {
        "trainer": {"per_device_train_batch_size": 1, **trainer},
        "sampler": {"transformers": drawing},
        "evaluation": {"max_new_tokens": 1, "measurements": {}},
        "adapter": None if work.weights == "full" else {"r": 16},
        "quantization": {"load_in_4bit": True} if work.weights == "4bit" else None,
    }
    shape = model_shape(model)
    assert shape is not None, "the model has just been saved"
    first = next(iter(memory_plan(config, shape, "BF16" if torch.cuda.is_available() else "F32")))
    found = re.search(rf"([\d.]+) (GiB|MiB) for {stage}", first)
    assert found is not None, f"the plan has no {stage}: {first}"
    return float(found[1]) * (2**30 if found[2] == "GiB" else 2**20)


def _held() -> int:
    """Return the bytes that this process holds before a model is loaded; a card's memory has nothing else in it."""
    if torch.cuda.is_available():
        return 0
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


def _reset_peak() -> None:
    free_memory()  # of the model as it was made
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()

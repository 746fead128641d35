"""Train a policy as an arm says, with our trainer or one of TRL's, and count what it cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from arms import PASSED, Arm
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.feedback import UnitTests, as_reward_func

Row = dict[str, Any]
"""A problem: prompt, responses, scores, sources, and for GRPO tests and entry_point."""

BATCH = 16
"""Problems a step, or pairs of them."""


def train(arm: Arm, rows: list[Row], policy: str, learning_rate: float, seed: int, out: Path) -> dict[str, float]:
    """Train and save a policy; return tokens that it was trained on, and seconds.

    Args:
        arm: How.
        rows: On what.
        policy: Folder to start from.
        learning_rate: The highest; it falls on a cosine.
        seed: Of the order.
        out: Folder for the policy.
    """
    shared: dict[str, Any] = {
        "output_dir": str(out),
        "learning_rate": learning_rate,
        "lr_scheduler_type": "cosine",
        "num_train_epochs": arm.epochs,
        "per_device_train_batch_size": BATCH,
        "seed": seed,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 50,
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": False,
    }
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(policy)
    build: Callable[..., Any] = {"rrtf": _rrtf, "sft": _sft, "dpo": _dpo, "simpo": _simpo, "grpo": _grpo}[arm.trainer]
    trainer, tokens = build(arm, rows, policy, shared, _Counter(tokenizer))
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    if tokens is None:  # GRPO makes its own
        tokens = max(entry.get("num_tokens", 0) for entry in trainer.state.log_history)
    trainer.save_model(str(out))
    tokenizer.save_pretrained(out)
    return {"tokens": float(tokens), "train_seconds": seconds}


class _Counter:
    """Counts tokens, an end token after each answer among them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def __call__(self, texts: list[str], ended: bool = False) -> int:
        return sum(len(ids) + ended for ids in self.tokenizer(texts)["input_ids"]) if texts else 0


def _rrtf(arm: Arm, rows: list[Row], policy: str, shared: dict[str, Any], count: _Counter) -> tuple[Any, float]:
    names = ("prompt", "responses", "scores", "sources")
    data = Dataset.from_list([{name: row[name] for name in names} for row in rows])
    args = RRTFConfig(**shared, max_length=256, **{"rank_weight": 1.0, **arm.options})
    trainer = RRTFTrainer(policy, args=args, train_dataset=data)
    # Prompts are shared: each is read once, however many answers it has.
    read = [[row["prompt_ids"], *row["response_ids"]] for row in trainer.train_dataset]
    return trainer, arm.epochs * sum(len(ids) for row in read for ids in row)


def _sft(arm: Arm, rows: list[Row], policy: str, shared: dict[str, Any], count: _Counter) -> tuple[Any, float]:
    best = []
    for row in rows:
        top = max(row["scores"])
        if arm.imitate == "all passing":
            chosen = [index for index, score in enumerate(row["scores"]) if score >= PASSED]
        else:
            chosen = [row["scores"].index(top)] if arm.imitate == "best" or top >= PASSED else []
        best += [{"prompt": row["prompt"], "completion": row["responses"][index]} for index in chosen]
    tokens = count([row["prompt"] for row in best]) + count([row["completion"] for row in best], ended=True)
    args = SFTConfig(**shared, max_length=256, completion_only_loss=True)
    return SFTTrainer(policy, args=args, train_dataset=Dataset.from_list(best)), arm.epochs * tokens


def _dpo(arm: Arm, rows: list[Row], policy: str, shared: dict[str, Any], count: _Counter) -> tuple[Any, float]:
    pairs, tokens = _pairs(arm, rows, count)
    args = DPOConfig(**shared, max_length=256, **arm.options)
    return DPOTrainer(policy, args=args, train_dataset=pairs), arm.epochs * tokens


def _simpo(arm: Arm, rows: list[Row], policy: str, shared: dict[str, Any], count: _Counter) -> tuple[Any, float]:
    pairs, tokens = _pairs(arm, rows, count)
    options = {"beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0, **arm.options}
    args = CPOConfig(**shared, loss_type="simpo", max_length=256, **options)
    tokenizer = AutoTokenizer.from_pretrained(policy)
    trainer = CPOTrainer(policy, args=args, train_dataset=pairs, processing_class=tokenizer)
    return trainer, arm.epochs * tokens


def _grpo(arm: Arm, rows: list[Row], policy: str, shared: dict[str, Any], count: _Counter) -> tuple[Any, None]:
    data = Dataset.from_list([{name: row[name] for name in ("prompt", "tests", "entry_point")} for row in rows])
    answers = 8
    args = GRPOConfig(
        **{**shared, "per_device_train_batch_size": BATCH * answers},
        num_generations=answers,
        max_completion_length=128,
        **arm.options,
    )
    reward = as_reward_func(UnitTests(timeout=2.0, memory_mb=256))
    return GRPOTrainer(policy, reward_funcs=reward, args=args, train_dataset=data), None


def _pairs(arm: Arm, rows: list[Row], count: _Counter) -> tuple[Dataset, int]:
    """The best answer of a problem against its worst ones, and how many tokens they have with their prompts."""
    pairs = []
    for row in rows:
        order = sorted(range(len(row["scores"])), key=lambda index: (row["scores"][index], index))
        best = max(order, key=lambda index: (row["scores"][index], -index))
        if arm.imitate == "passing" and row["scores"][best] < PASSED:
            continue
        worse = [index for index in order if row["scores"][index] < row["scores"][best]]
        pairs += [
            {"prompt": row["prompt"], "chosen": row["responses"][best], "rejected": row["responses"][index]}
            for index in worse[: arm.pairs]
        ]
    tokens = 2 * count([pair["prompt"] for pair in pairs])
    tokens += sum(count([pair[name] for pair in pairs], ended=True) for name in ("chosen", "rejected"))
    return Dataset.from_list(pairs), tokens


def grpo_columns(problem: dict[str, Any]) -> dict[str, Any]:
    """The columns of a problem that the reward function reads."""
    return {"tests": json.dumps(problem["tests"]), "entry_point": problem["entry_point"]}

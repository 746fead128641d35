"""What several parts use: ragged rows, and one step of training on rows."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback

from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.models.memory import free_memory

from .setting import Setting

Rows = list[dict[str, Any]]


@dataclass
class Step:
    """One step of training.

    Args:
        loss: As it was logged.
        peak: Bytes of the card's memory at most; 0 without one.
        gradients: float32 and on the processor, by the names of the weights.
    """

    loss: float = 0.0
    peak: int = 0
    gradients: dict[str, Tensor] = field(default_factory=dict)

    def distance(self, other: Step) -> float:
        """Return |g − h| / |h| of these gradients and another step's, over all weights."""
        return relative_distance(self.gradients, other.gradients)


def relative_distance(ours: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> float:
    """Return the norm of the difference of two sets of tensors by that of the second one.

    Raises:
        ValueError: If they do not have the same names, or the second one is zero: nothing would be compared.
    """
    if ours.keys() != others.keys():
        raise ValueError(f"these are in one of the two only: {sorted(ours.keys() ^ others.keys())[:5]}")
    apart = sum(float((ours[name] - other).float().square().sum()) for name, other in others.items())
    whole = sum(float(other.float().square().sum()) for other in others.values())
    if not whole:
        raise ValueError("all of what is compared with is zero")
    return float((apart / whole) ** 0.5)


class _Gradients(TrainerCallback):
    def __init__(self, step: Step) -> None:
        self._step = step

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        named = model.named_parameters()
        self._step.gradients = {name: p.grad.float().cpu() for name, p in named if p.grad is not None}


def make_config(setting: Setting, rows: Rows, **options: Any) -> RRTFConfig:
    """Return options with which a step has all rows, of SGD unless ``options`` say otherwise."""
    defaults: dict[str, Any] = {
        "output_dir": str(setting.folder / "trained"),
        "use_cpu": not setting.on_gpu,
        "per_device_train_batch_size": len(rows),
        "max_steps": 1,
        "max_length": None,
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "lr_scheduler_type": "constant",
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    return RRTFConfig(**{**defaults, **options})


def make_trainer(
    setting: Setting,
    model: str,
    rows: Rows,
    *,
    peft_config: Any = None,
    quantization_config: Any = None,
    **options: Any,
) -> RRTFTrainer:
    """Return a trainer of an adapter or a whole model, with the options of :func:`make_config`."""
    trainer = RRTFTrainer(
        model,
        args=make_config(setting, rows, **options),
        train_dataset=Dataset.from_list(rows),
        quantization_config=quantization_config,
        peft_config=peft_config,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def one_step(setting: Setting, model: str, rows: Rows, **options: Any) -> Step:
    """Train one step on all rows; arguments are those of :func:`make_trainer`."""
    step = Step()
    free_memory()  # of the step before
    trainer = make_trainer(setting, model, rows, **options)
    trainer.add_callback(_Gradients(step))
    if setting.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    step.peak = torch.cuda.max_memory_allocated() if setting.on_gpu else 0
    step.loss = trainer.state.log_history[0]["loss"]
    return step


def ragged_rows(count: int, responses: int, prompt: int, response: int) -> Rows:
    """Return rows of random words of many lengths; some responses begin alike, and one begins as another one whole.

    Args:
        count: Rows.
        responses: Of each, at least 3.
        prompt: The most tokens of a prompt.
        response: The most tokens of a response.
    """
    draw = random.Random(0)

    def words(most: int) -> list[str]:
        return [f"w{draw.randrange(3, 8000)}" for _ in range(draw.randint(most // 2, most))]

    rows = []
    for _ in range(count):
        texts = [words(response) for _ in range(responses)]
        texts[1] = texts[0][: len(texts[0]) // 2] + texts[1][len(texts[1]) // 2 :]
        texts[2] = texts[0][:-3]
        answers = [" ".join(text) for text in texts]
        scores = [float(draw.randint(0, 3)) for _ in answers]
        rows.append({"prompt": " ".join(words(prompt)) + " ", "responses": answers, "scores": [4.0, *scores[1:]]})
    return rows


def mib(size: float) -> str:
    """Return bytes in MiB."""
    return f"{size / 2**20:,.0f} MiB"

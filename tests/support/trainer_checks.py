"""What the trainer is compared with: plain per-sequence arithmetic; and what its tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from torch import Tensor, nn

from rrtf_trl import RRTFTrainer

Build = Callable[..., RRTFTrainer]
Examples = list[dict[str, Any]]
both_paths = pytest.mark.parametrize("share_prefix", [True, False], ids=["shared", "padded"])

LORA = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"])
SGD = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}  # an update is 0.1 times the gradient

PREFERENCES = Dataset.from_list(
    [
        {"prompt": f"def f{i}(x):\n", "chosen": f"    return x + {i}\n", "rejected": "    pass\n" * (1 + i % 3)}
        for i in range(5)
    ]
)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def assert_same_weights(actual: dict[str, Tensor], expected: dict[str, Tensor], atol: float) -> None:
    for name, weight in expected.items():
        torch.testing.assert_close(actual[name], weight, atol=atol, rtol=0, msg=name)


def training_logs(trainer: RRTFTrainer) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def by_hand(model: nn.Module, examples: Examples, share_prefix: bool = True) -> tuple[Tensor, dict[str, float]]:
    """The loss with the default options and its metrics: one sequence at a time, no padding, plain logits."""
    rank_losses, sft_losses, margins, best, rest, entropies = [], [], [], [], [], []
    tokens = 0
    for example in examples:
        start, scores, values = len(example["prompt_ids"]), example["scores"], []
        for response in example["response_ids"]:
            ids = torch.tensor([example["prompt_ids"] + response])
            logprobs = model(input_ids=ids).logits[0, start - 1 : -1].log_softmax(dim=-1)
            values.append(logprobs[range(len(response)), response].mean())
            entropies.append(-(logprobs.exp() * logprobs).sum(dim=-1).detach())
            tokens += 0 if share_prefix else ids.numel()
        sequences = [example["prompt_ids"] + response for response in example["response_ids"]]
        beginnings = {tuple(ids[: end + 1]) for ids in sequences for end in range(len(ids))}
        tokens += len(beginnings) if share_prefix else 0
        pairs = [(i, j) for i in range(len(scores)) for j in range(len(scores)) if scores[i] > scores[j]]
        hinges = [(scores[i] - scores[j]) * torch.relu(values[j] - values[i]) for i, j in pairs]
        rank_losses.append(torch.stack(hinges).mean())
        margins += [(values[i] - values[j]).item() for i, j in pairs]
        tops = [i for i, score in enumerate(scores) if score == max(scores)]
        imitated = next((i for i in tops if example["from_teacher"][i]), tops[0])
        sft_losses.append(-values[imitated])
        best += [values[i].item() for i in tops]
        rest += [value.item() for i, value in enumerate(values) if i not in tops]
    rank_loss, sft_loss = torch.stack(rank_losses).mean(), torch.stack(sft_losses).mean()
    metrics = {
        "loss": (rank_loss + sft_loss).item(),
        "rank_loss": rank_loss.item(),
        "sft_loss": sft_loss.item(),
        "margins": sum(margins) / len(margins),
        "ranking_accuracy": sum(margin > 0 for margin in margins) / len(margins),
        "active_pairs": sum(margin < 0 for margin in margins) / len(margins),
        "logps/best": sum(best) / len(best),
        "logps/rest": sum(rest) / len(rest),
        "entropy": torch.cat(entropies).mean().item(),
        "num_tokens": tokens,
    }
    return rank_loss + sft_loss, metrics

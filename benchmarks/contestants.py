"""The work of `train_throughput.py`: random rows, models of random weights, and a trainer of each kind on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from rrtf_trl import RRTFConfig, RRTFTrainer

_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
SHAPES: dict[str, dict[str, Any]] = {
    name: {**dict(zip(_SIZES, sizes, strict=True)), "vocab_size": vocabulary, "tie_word_embeddings": tied}
    for name, sizes, vocabulary, tied in (
        ("tiny", (256, 1024, 4, 4, 2), 8_192, False),
        # Those of Qwen2.5 (arXiv 2412.15115).
        ("0.5b", (896, 4_864, 24, 14, 2), 151_936, True),
        ("1.5b", (1_536, 8_960, 28, 12, 2), 151_936, True),
        ("3b", (2_048, 11_008, 36, 16, 2), 151_936, True),
        ("7b", (3_584, 18_944, 28, 28, 4), 152_064, False),
    )
}
_WORDS = 8_192


@dataclass(frozen=True)
class Work:
    """What one step of training is about.

    Args:
        shape: A name in ``SHAPES``.
        weights: ``full``: all are trained; ``lora``: an adapter; ``4bit``: an adapter on NF4 weights.
        responses: k, responses to a prompt.
        prompt: Tokens of a prompt.
        response: Tokens of a response.
    """

    shape: str
    weights: str
    responses: int
    prompt: int
    response: int

    @property
    def tokens(self) -> int:
        """Tokens of a problem whose prompt is there once."""
        return self.prompt + self.responses * self.response

    def useful(self, name: str) -> int:
        """Return the tokens of responses that a contestant trains on in a step, each counted once."""
        return self.response * (1 if name.startswith("SFT") else self.responses * SEVERAL.get(name, 1))

    def computed(self, name: str) -> tuple[int, int, int]:
        """Return what a contestant computes in a step: tokens, those of them scored, and passes without gradient."""
        k, whole = self.responses, self.prompt + self.response
        if name in SEVERAL:
            return SEVERAL[name] * self.tokens, SEVERAL[name] * k * self.response, 0
        if name == "ours, shared":
            return self.tokens, k * self.response, 0
        if name == "ours, in parts":
            return -(-k // 2) * self.prompt + k * self.response, k * self.response, int(k > 2)
        if name.startswith("SFT"):
            return whole, self.response, 0
        sequences = k if name.startswith("ours") else 2 * (k - 1)
        return sequences * whole, sequences * self.response, 1 if name == "DPO" else 0

    def flops(self, name: str, recompute: bool) -> float:
        """Return the floating-point operations of a contestant's step, without attention scores.

        A multiplication and an addition count 2. Backward costs twice what forward does, or as much as it where the
        weights are frozen; recomputing activations costs one more forward.
        """
        tokens, scored, frozen_passes = self.computed(name)
        shape = SHAPES[self.shape]
        hidden, kv = shape["hidden_size"], shape["num_key_value_heads"] / shape["num_attention_heads"]
        layer = hidden * hidden * (2 + 2 * kv) + 3 * hidden * shape["intermediate_size"]
        forward = 2 * (tokens * shape["num_hidden_layers"] * layer + scored * hidden * shape["vocab_size"])
        return float(forward) * ((3 if self.weights == "full" else 2) + recompute + frozen_passes)


def save_model(shape: str, folder: str, dtype: torch.dtype) -> None:
    """Save a model of random weights, and a tokenizer with a token a word."""
    torch.manual_seed(0)
    config = LlamaConfig(**SHAPES[shape], pad_token_id=0, bos_token_id=1, eos_token_id=2)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        torch.set_default_dtype(dtype)
        model = LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    names = ["<pad>", "<unk>", "</s>", *(f"w{token}" for token in range(3, _WORDS))]
    words = Tokenizer(models.WordLevel({name: token for token, name in enumerate(names)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens(names[:3])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", eos_token="</s>")
    tokenizer.save_pretrained(folder)


def make_rows(work: Work, count: int) -> list[dict[str, Any]]:
    """Return ``count`` rows of random words, a token each."""
    draw = torch.Generator().manual_seed(0)

    def words(length: int) -> str:
        return " ".join(f"w{token}" for token in torch.randint(3, _WORDS, (length,), generator=draw).tolist())

    return [
        {
            "prompt": words(work.prompt) + " ",
            "responses": [words(work.response - 1) for _ in range(work.responses)],  # the end token comes on top
            "scores": [float(-place) for place in range(work.responses)],
        }
        for _ in range(count)
    ]


def _ours(
    model: str,
    work: Work,
    rows: Any,
    options: dict[str, Any],
    arguments: dict[str, Any],
    share_prefix: bool = True,
    problems: int = 1,
    limit: int | None = None,
) -> Trainer:
    args = RRTFConfig(
        **options, per_device_train_batch_size=problems, share_prefix=str(share_prefix), max_tokens_per_forward=limit
    )
    return RRTFTrainer(model, args=args, train_dataset=Dataset.from_list(rows), **arguments)


def _in_parts(model: str, work: Work, rows: Any, options: dict[str, Any], arguments: dict[str, Any]) -> Trainer:
    return _ours(model, work, rows, options, arguments, limit=work.prompt + 2 * work.response)


def _in_forwards(model: str, work: Work, rows: Any, options: dict[str, Any], arguments: dict[str, Any]) -> Trainer:
    return _ours(model, work, rows, options, arguments, problems=4, limit=2 * work.tokens)


def _dpo(
    model: str, work: Work, rows: Any, options: dict[str, Any], arguments: dict[str, Any], precomputed: bool
) -> Trainer:
    pairs = [
        {"prompt": row["prompt"], "chosen": row["responses"][0], "rejected": rejected}
        for row in rows
        for rejected in row["responses"][1:]
    ]
    args = DPOConfig(**options, per_device_train_batch_size=work.responses - 1, precompute_ref_log_probs=precomputed)
    # All responses are of one length: the order, which is random, changes nothing.
    return DPOTrainer(model, args=args, train_dataset=Dataset.from_list(pairs), **arguments)


def _sft(model: str, work: Work, rows: Any, options: dict[str, Any], arguments: dict[str, Any]) -> Trainer:
    best = [{"prompt": row["prompt"], "completion": row["responses"][0]} for row in rows]
    args = SFTConfig(**options, per_device_train_batch_size=1)
    return SFTTrainer(model, args=args, train_dataset=Dataset.from_list(best), **arguments)


CONTESTANTS: dict[str, Callable[..., Trainer]] = {
    "ours, shared": _ours,
    "ours, in parts": _in_parts,
    "ours, 4 problems": partial(_ours, problems=4),
    "ours, 4 problems in 2 forwards": _in_forwards,
    "ours, padded": partial(_ours, share_prefix=False),
    "DPO": partial(_dpo, precomputed=False),
    "DPO, reference precomputed": partial(_dpo, precomputed=True),
    "SFT on the best": _sft,
}


SEVERAL = {"ours, 4 problems": 4, "ours, 4 problems in 2 forwards": 4}
"""Contestants whose step has several problems; that of the others has one."""


def make_trainer(
    name: str, model: str, work: Work, steps: int, recompute: bool, folder: str, dtype: str = "float32"
) -> Trainer:
    """Return a contestant's trainer.

    Args:
        name: A name in ``CONTESTANTS``.
        model: The folder of the model.
        work: What a step is about.
        steps: How many steps, each of another row.
        recompute: Whether activations are computed again in the backward pass.
        folder: Where the trainer may write.
        dtype: Of the weights. ``float32``: as in a run, which on a GPU computes in bfloat16 and has the weights below
            an adapter in it. ``bf16``: everything.
    """
    on_gpu = torch.cuda.is_available()
    options = {
        "output_dir": folder,
        "use_cpu": not on_gpu,
        "bf16": on_gpu or dtype == "bf16",
        "model_init_kwargs": {"dtype": weights_dtype(work.weights, dtype)},
        "gradient_checkpointing": recompute,
        "dataloader_pin_memory": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_strategy": "no",
        "max_steps": steps,
        "max_length": work.prompt + work.response,
    }
    arguments: dict[str, Any] = {}
    if work.weights != "full":
        arguments["peft_config"] = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    if work.weights == "4bit":
        arguments["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    return CONTESTANTS[name](model, work, make_rows(work, steps * SEVERAL.get(name, 1)), options, arguments)


def weights_dtype(weights: str, dtype: str) -> str:
    """Return the dtype of a model's weights, of those that are not quantized: see :func:`make_trainer`."""
    below_adapter = weights != "full" and torch.cuda.is_available()
    return "bfloat16" if dtype == "bf16" or below_adapter else "float32"

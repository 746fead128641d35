"""Tiny random models of many families, rows of tokens for them, and scores from plain arithmetic."""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from trl.trainer.utils import add_fused_lm_head

from rrtf_trl.training.shared_prefix import share_prefixes

VOCABULARY = 61
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,  # far from uniform, so that it matters who sees what
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attention_dropout": 0.0,
}
GPT2_SIZES = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "resid_pdrop": 0.0,
}
ALTERNATING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 5}
EXPERTS = {"moe_intermediate_size": 16, "num_experts_per_tok": 2}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "qwen2, sliding": ("Qwen2", {"use_sliding_window": True, **ALTERNATING}),
    "qwen3": ("Qwen3", {}),
    "gemma2": ("Gemma2", {**ALTERNATING, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0}),
    "gemma3": ("Gemma3", ALTERNATING),
    "mistral": ("Mistral", {"sliding_window": 4}),
    "mistral, window of one": ("Mistral", {"sliding_window": 1}),
    "mistral, window beyond all": ("Mistral", {"sliding_window": 64}),
    "phi": ("Phi", {}),
    "phi3": ("Phi3", {"sliding_window": 6}),
    "gpt2": ("GPT2", GPT2_SIZES),
    "gpt_neox": ("GPTNeoX", {"rotary_pct": 0.5, "num_key_value_heads": 4}),
    "starcoder2": ("Starcoder2", {"sliding_window": 4}),
    "gpt_bigcode": ("GPTBigCode", GPT2_SIZES),
    "gpt_bigcode, many heads": ("GPTBigCode", {**GPT2_SIZES, "multi_query": False}),
    "olmo": ("Olmo", {}),
    "olmo2": ("Olmo2", {}),
    "cohere": ("Cohere", {}),
    "granite": ("Granite", {"attention_multiplier": 0.2, "logits_scaling": 2.0}),
    "opt": ("OPT", {"ffn_dim": 48, "word_embed_proj_dim": 32, "activation_function": "relu", "init_std": 0.3}),
    "mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2_moe": ("Qwen2Moe", {**EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 16}),
    "qwen2_moe, sliding": (
        "Qwen2Moe",
        {
            **EXPERTS,
            "num_experts": 4,
            "shared_expert_intermediate_size": 16,
            "use_sliding_window": True,
            **ALTERNATING,
        },
    ),
    "qwen3_moe": ("Qwen3Moe", {**EXPERTS, "num_experts": 4}),
    "deepseek_v3": (
        "DeepseekV3",
        {
            **EXPERTS,
            "num_key_value_heads": 4,
            "head_dim": 4,
            "n_routed_experts": 4,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 8,
            "v_head_dim": 6,
        },
    ),
}


def make(name: str, options: dict[str, Any], implementation: str = "sdpa") -> PreTrainedModel:
    """A tiny model of random weights, biases included."""
    sizes = {} if options.get("n_embd") else SIZES
    config_name = f"{name}TextConfig" if name == "Gemma3" else f"{name}Config"
    config = getattr(transformers, config_name)(**{**sizes, **options})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def group(prompt: int, responses: list[int], seed: int = 0, vocabulary: int = VOCABULARY) -> dict[str, Any]:
    """A tokenized row with a prompt and responses of these lengths; of few different tokens, beginnings are shared."""
    draw = torch.Generator().manual_seed(prompt * 100 + len(responses) + seed)

    def tokens(count: int) -> list[int]:
        return torch.randint(3, vocabulary, (count,), generator=draw).tolist()

    return {
        "prompt_ids": tokens(prompt),
        "response_ids": [tokens(count) for count in responses],
        "scores": [float(7 * place % 5) for place in range(len(responses))],
        "from_teacher": [False] * len(responses),
    }


# Prompts and responses of one token, responses of equal and of very different lengths, 2 to 16 of them; beginnings in
# common of any length, responses that are the beginning of others, and equal ones.
EXAMPLES = [
    group(7, [5, 1, 9]),
    group(1, [1, 4]),
    group(12, [1 + place % 6 for place in range(16)]),
    group(4, [3, 3]),
    group(3, [2 + place % 7 for place in range(12)], vocabulary=5),
    group(5, [9, 9, 1, 8], vocabulary=4),
]


def prepared(model: PreTrainedModel, choice: str = "true") -> PreTrainedModel:
    model = copy.deepcopy(model)
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    assert share_prefixes(model, choice)
    return model


def naive(model: nn.Module, examples: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Summed log-probabilities [N] and entropies [S]: one sequence at a time, from the model's own logits."""
    sums, entropies = [], []
    for example in examples:
        start = len(example["prompt_ids"])
        for response in example["response_ids"]:
            ids = torch.tensor([example["prompt_ids"] + response])
            logps = model(input_ids=ids, use_cache=False).logits[0, start - 1 : -1].log_softmax(dim=-1)
            sums.append(logps[range(len(response)), response].sum())
            entropies.append(-(logps.exp() * logps).sum(dim=-1).detach())
    return torch.stack(sums), torch.cat(entropies)

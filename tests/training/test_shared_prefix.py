"""Prompts computed once give what one sequence at a time gives, and models for which they would not are left alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel
from trl.trainer.utils import add_fused_lm_head

from rrtf_trl import RRTFTrainer
from rrtf_trl.training import RankedCollator
from rrtf_trl.training.losses import rrtf_loss
from rrtf_trl.training.packing import PackedCollator
from rrtf_trl.training.prefix_attention import PrefixLayout
from rrtf_trl.training.shared_prefix import score_shared, share_prefixes

Build = Callable[..., RRTFTrainer]

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


def group(prompt: int, responses: list[int], seed: int = 0) -> dict[str, Any]:
    """A tokenized row with a prompt and responses of these lengths."""
    draw = torch.Generator().manual_seed(prompt * 100 + len(responses) + seed)

    def tokens(count: int) -> list[int]:
        return torch.randint(3, VOCABULARY, (count,), generator=draw).tolist()

    return {
        "prompt_ids": tokens(prompt),
        "response_ids": [tokens(count) for count in responses],
        "scores": [float(7 * place % 5) for place in range(len(responses))],
        "from_teacher": [False] * len(responses),
    }


# Prompts and responses of one token, responses of equal and of very different lengths, 2 to 16 of them.
EXAMPLES = [
    group(7, [5, 1, 9]),
    group(1, [1, 4]),
    group(12, [1 + place % 6 for place in range(16)]),
    group(4, [3, 3]),
]


def prepared(model: PreTrainedModel, choice: str = "true") -> PreTrainedModel:
    model = copy.deepcopy(model)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
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


class Options:
    """What the loss reads."""

    loss_type = "rrtf"
    pairs = "all"
    pair_reduction = "mean"
    sft_reduction = "mean"
    sft_min_score = None
    score_weighting = True
    length_normalization = True


def objective(logps: Tensor, examples: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """The loss, and the loss plus a random weight of each response, so that none is without gradient."""
    batch = PackedCollator()(examples)
    parts = rrtf_loss(logps, batch["response_lengths"], batch["scores"], batch["group_ids"], Options())
    loss = (parts.rank_loss + parts.sft_loss).sum()
    weights = torch.randn(len(logps), generator=torch.Generator().manual_seed(1))
    return loss, loss + (weights * logps).mean()


def assert_equal_to_naive(
    model: PreTrainedModel, examples: list[dict[str, Any]], reference: PreTrainedModel | None = None
) -> None:
    reference = copy.deepcopy(model) if reference is None else reference
    expected, entropies = naive(reference, examples)
    expected_loss, total = objective(expected, examples)
    total.backward()
    logps, lengths, entropy = score_shared(model, PackedCollator()(examples))
    loss, total = objective(logps, examples)
    total.backward()
    assert lengths.tolist() == [len(ids) for example in examples for ids in example["response_ids"]]
    torch.testing.assert_close(logps, expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(entropy, entropies, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(loss, expected_loss, atol=2e-5, rtol=1e-5)
    gradients = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        grad, wanted = (x if x is not None else torch.zeros(1) for x in (parameter.grad, gradients[name].grad))
        torch.testing.assert_close(grad, wanted, atol=1e-4 * max(1.0, float(wanted.abs().max())), rtol=1e-4, msg=name)


# -- Exactness -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_and_gradients_equal_one_sequence_at_a_time(family: str, implementation: str) -> None:
    name, options = FAMILIES[family]
    if name == "Gemma2" and implementation == "sdpa":
        pytest.skip("transformers has no soft-capped sdpa attention")
    model = make(name, options, implementation)
    assert_equal_to_naive(prepared(model), EXAMPLES, model)


@pytest.mark.parametrize("family", ["llama", "gemma2", "mistral", "gpt2", "gpt_bigcode", "mixtral"])
def test_gradient_checkpointing_is_exact(family: str) -> None:
    name, options = FAMILIES[family]
    model = make(name, options, "eager")
    ours = prepared(model)
    ours.gradient_checkpointing_enable({"use_reentrant": False})
    ours.train()
    assert_equal_to_naive(ours, EXAMPLES, model)
    assert ours.config._attn_implementation == "eager"


def test_float64_is_exact_to_its_own_precision() -> None:
    # GPT-2 has no float32 inside, other than TRL's LM head.
    model = make("GPT2", GPT2_SIZES).double()
    batch = PackedCollator()(EXAMPLES)
    with torch.no_grad():
        hidden = prepared(model).transformer(
            input_ids=batch["input_ids"], position_ids=batch["position_ids"], shared_prefix=PrefixLayout.of(batch)
        )
        alone = [
            model.transformer(input_ids=torch.tensor([row["prompt_ids"] + ids])).last_hidden_state[0]
            for row in EXAMPLES
            for ids in row["response_ids"]
        ]
    starts = [len(row["prompt_ids"]) for row in EXAMPLES for _ in row["response_ids"]]
    expected = torch.cat([states[start - 1 : -1] for states, start in zip(alone, starts, strict=True)])
    torch.testing.assert_close(hidden.last_hidden_state[0], expected, atol=1e-12, rtol=0)


def test_adapters_that_change_weights_are_shared_under() -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj", "down_proj"])
    torch.manual_seed(0)
    model = get_peft_model(make("Llama", {}), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    reference = copy.deepcopy(model)
    add_fused_lm_head(model.get_base_model(), outputs=("log_probs", "entropy"))
    assert share_prefixes(model, "true")
    assert_equal_to_naive(model, EXAMPLES, reference)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_without_a_prompt_the_first_token_is_not_scored(family: str) -> None:
    name, options = FAMILIES[family]
    model = make(name, options)
    example = {**group(1, [4, 1, 3]), "prompt_ids": []}
    batch = PackedCollator()([example, EXAMPLES[0]])
    with torch.no_grad():
        logps, lengths, entropy = score_shared(prepared(model), batch)
        expected = []
        for response in example["response_ids"]:
            scores = model(input_ids=torch.tensor([response])).logits[0, :-1].log_softmax(dim=-1)
            expected.append(scores[range(len(response) - 1), response[1:]].sum())
        others, _ = naive(model, EXAMPLES[:1])
    assert lengths.tolist() == [3, 1, 2, 5, 1, 9]
    assert len(entropy) == 3 + 0 + 2 + 15
    torch.testing.assert_close(logps, torch.cat([torch.stack(expected), others]), atol=2e-5, rtol=0)


def test_empty_responses_score_nothing() -> None:
    model = make("Mistral", {"sliding_window": 4})
    rows = [{**group(3, [2, 1]), "response_ids": [[], [4, 5]]}, {**group(2, [1, 1]), "response_ids": [[], []]}]
    with torch.no_grad():
        logps, lengths, _ = score_shared(prepared(model), PackedCollator()(rows))
        expected, _ = naive(model, [{**rows[0], "response_ids": [[4, 5]]}])
    assert lengths.tolist() == [1, 2, 1, 1]
    torch.testing.assert_close(logps, torch.tensor([0.0, expected.item(), 0.0, 0.0]), atol=2e-5, rtol=0)


def test_a_prepared_model_is_otherwise_what_it_was() -> None:
    model = make("Mistral", {"sliding_window": 4})
    ours = prepared(model)
    ids = torch.tensor([EXAMPLES[0]["prompt_ids"]])
    score_shared(ours, PackedCollator()(EXAMPLES))
    assert torch.equal(ours(input_ids=ids).logits, model(input_ids=ids).logits)
    generated = [m.generate(ids, max_new_tokens=5, do_sample=False) for m in (ours, model)]
    assert torch.equal(*generated)
    assert ours.config.to_dict() == model.config.to_dict()


def test_a_forward_that_fails_leaves_the_model_as_it_was() -> None:
    ours = prepared(make("Llama", {}))
    batch = PackedCollator()(EXAMPLES)
    batch["prompt_lengths"] += 1
    with pytest.raises(RuntimeError):
        score_shared(ours, batch)
    assert ours.config._attn_implementation == "sdpa"


def test_a_recomputed_layer_is_right_after_other_forwards() -> None:
    """Gradient checkpointing runs layers again in the backward pass, whatever the model did in between."""
    model = make("Llama", {})
    plain, ours = prepared(model), prepared(model)
    ours.gradient_checkpointing_enable({"use_reentrant": False})
    ours.train()
    batch = PackedCollator()(EXAMPLES)
    score_shared(plain, batch)[0].sum().backward()
    logps, _, _ = score_shared(ours, batch)
    ours(input_ids=torch.tensor([[1, 2, 3]]))
    logps.sum().backward()
    for (name, expected), parameter in zip(plain.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, msg=name)


def test_a_copy_of_a_prepared_model_is_its_own() -> None:
    ours, batch = prepared(make("Llama", {})), PackedCollator()(EXAMPLES)
    other = copy.deepcopy(ours)
    expected = score_shared(ours, batch)[0]
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
    ours.config._attn_implementation = "eager"
    torch.testing.assert_close(score_shared(other, batch)[0], expected, atol=0, rtol=0)
    assert other.config._attn_implementation == "sdpa"


# -- Batches ---------------------------------------------------------------------------------------------


def test_a_packed_batch_in_full() -> None:
    rows = [
        {"prompt_ids": [1, 2], "response_ids": [[3], [4, 5]], "scores": [0.0, 1.0], "from_teacher": [False, True]},
        {"prompt_ids": [], "response_ids": [[7, 8], [9]], "scores": [0.5, -1.0], "from_teacher": [False, False]},
        {"prompt_ids": [6], "response_ids": [[9], [8, 7]], "scores": [0.5, 2.0], "from_teacher": [False, False]},
    ]
    expected = {
        "input_ids": torch.tensor([[1, 2, 3, 4, 5, 7, 8, 9, 6, 9, 8, 7]]),
        "position_ids": torch.tensor([[0, 1, 2, 2, 3, 0, 1, 0, 0, 1, 1, 2]]),
        "attention_mask": torch.ones(1, 12, dtype=torch.long),
        "prompt_lengths": torch.tensor([2, 0, 1]),
        "response_lengths": torch.tensor([1, 2, 2, 1, 1, 2]),
        "scored_positions": torch.tensor([1, 1, 3, 5, 8, 8, 10]),
        "scored_tokens": torch.tensor([[3, 4, 5, 8, 9, 8, 7]]),
        "scored_responses": torch.tensor([0, 1, 1, 2, 4, 5, 5]),
        "scores": torch.tensor([0.0, 1.0, 0.5, -1.0, 0.5, 2.0]),
        "group_ids": torch.tensor([0, 0, 1, 1, 2, 2]),
        "from_teacher": torch.tensor([False, True, False, False, False, False]),
    }
    batch = PackedCollator()(rows)
    assert batch.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(batch[name], tensor, rtol=0, atol=0, msg=name)
    assert PrefixLayout.of(batch).groups == [(2, [1, 2]), (0, [2, 1]), (1, [1, 2])]


# -- Models for which it would not be exact --------------------------------------------------------------

MAMBA = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "pad_token_id": 0}
FALLBACKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "mamba": ("Mamba", {**MAMBA, "n_embd": 32}, "hands a state from token to token"),
    "jamba": (
        "Jamba",
        {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "mamba_d_state": 4, "mamba_dt_rank": 4}
        | {"use_mamba_kernels": False},
        "hands a state from token to token",
    ),
    "lfm2": ("Lfm2", {"layer_types": ["conv", "full_attention"]}, "has layers of conv"),
    "gpt_oss": (
        "GptOss",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4},
        "has attention sinks",
    ),
    "bloom": ("Bloom", {"n_head": 4, "n_layer": 2}, "does not go through transformers' attention interface"),
    "gpt_neo": (
        "GPTNeo",
        {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "num_heads": 4},
        "does not go through",
    ),
}


@pytest.mark.parametrize("family", FALLBACKS)
def test_other_models_keep_the_padded_path_and_say_why(family: str, caplog: pytest.LogCaptureFixture) -> None:
    name, options, reason = FALLBACKS[family]
    model = make(name, options, "eager")
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    assert not share_prefixes(model, "auto")
    assert [record.message for record in caplog.records if reason in record.message]
    with pytest.raises(ValueError, match=f"`share_prefix` is true, but .*{reason}.* Use `share_prefix"):
        share_prefixes(model, "true")
    assert [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()] == hooks


class NearSighted(transformers.LlamaForCausalLM):
    """Looks right but is not: its positions are those in the row."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        forward = self.model.rotary_emb.forward
        self.model.rotary_emb.forward = lambda x, position_ids: forward(x, torch.arange(x.size(1))[None])


class KeepsToItself(transformers.LlamaForCausalLM):
    """Looks right but is not: a layer does not hand its keywords on."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        layer = self.model.layers[1]
        forward = layer.forward
        layer.forward = lambda *args, shared_prefix=None, **kwargs: forward(*args, **kwargs)


@pytest.mark.parametrize(
    ("model_class", "reason"),
    [(NearSighted, "gave other numbers"), (KeepsToItself, "a trial on KeepsToItself failed")],
)
def test_a_trial_finds_what_a_look_at_the_model_does_not(model_class: type, reason: str) -> None:
    config = make("Llama", {}).config
    model = model_class(config)
    model.load_state_dict(make("Llama", {}).state_dict())
    with pytest.raises(ValueError, match=reason):
        share_prefixes(model, "true")


def test_a_window_that_does_not_reach_the_attention_function_is_noticed() -> None:
    model = make("Qwen2Moe", FAMILIES["qwen2_moe, sliding"][1])
    for layer in model.model.layers:
        layer.self_attn.sliding_window = None
    with pytest.raises(ValueError, match="do not hand everything on"):
        share_prefixes(model, "true")


def test_a_chosen_attention_is_left_alone() -> None:
    model = make("Llama", {})
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(ValueError, match=r'chosen to be "flex_attention".*attn_implementation="sdpa"'):
        share_prefixes(model, "true")


def test_false_never_shares() -> None:
    assert not share_prefixes(make("Llama", {}), "false")


# -- In the trainer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["auto", True, "true"])
def test_the_trainer_shares_where_it_can(trainer: Build, llama_path: str, choice: Any) -> None:
    ours = trainer(llama_path, share_prefix=choice)
    assert isinstance(ours.data_collator, PackedCollator)
    ours.train()


def test_the_trainer_does_not_share_unasked(trainer: Build, llama_path: str) -> None:
    assert isinstance(trainer(llama_path, share_prefix=False).data_collator, RankedCollator)


def test_the_trainer_says_once_why_it_does_not_share(
    trainer: Build, llama_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    prompt_tuning = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3)
    ours = trainer(llama_path, peft_config=prompt_tuning, max_steps=2)
    ours.train()
    said = [record.message for record in caplog.records if "PromptTuningConfig adds virtual tokens" in record.message]
    assert len(said) == 1
    with pytest.raises(ValueError, match="PromptTuningConfig adds virtual tokens"):
        trainer(llama_path, peft_config=prompt_tuning, share_prefix="true")


def test_a_collator_of_ones_own_is_used(trainer: Build, llama_path: str) -> None:
    shared, padded = trainer(llama_path), trainer(llama_path, data_collator=RankedCollator(pad_token_id=0))
    assert isinstance(padded.data_collator, RankedCollator)
    losses = [ours.compute_loss(ours.model, ours.data_collator(list(ours.train_dataset))) for ours in (shared, padded)]
    torch.testing.assert_close(*losses, atol=1e-5, rtol=0)


@pytest.mark.parametrize("quantization", [{"load_in_4bit": True}, {"load_in_8bit": True}], ids=["4 bit", "8 bit"])
def test_a_quantized_model_with_an_adapter_has_the_gradients_of_the_padded_path(
    trainer: Build, llama_path: str, quantization: dict[str, Any]
) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    losses, gradients = [], []
    for share_prefix in (True, False):
        ours = trainer(
            llama_path,
            quantization_config=BitsAndBytesConfig(**quantization),
            peft_config=LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"]),
            share_prefix=share_prefix,
        )
        ours.model.train()
        loss = ours.compute_loss(ours.model, ours.data_collator(list(ours.train_dataset)))
        loss.backward()
        losses.append(loss.detach())
        gradients.append({name: p.grad for name, p in ours.model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(losses[0], losses[1], atol=1e-4, rtol=0)
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[1].items():  # in bf16, as QLoRA computes
        assert (gradients[0][name] - expected).norm() <= 0.01 * expected.norm(), name


def test_a_hybrid_model_trains_padded_as_one_sequence_at_a_time(
    trainer: Build, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name, options, reason = FALLBACKS["jamba"]
    model = make(name, {**options, "vocab_size": len(tokenizer)}, "eager")
    reference = copy.deepcopy(model)
    ours = trainer(model, processing_class=tokenizer)
    assert any(reason in record.message for record in caplog.records)
    examples = list(ours.train_dataset)
    with torch.no_grad():
        loss = ours.compute_loss(ours.model, ours.data_collator(examples))
        logps, _ = naive(reference, examples)
        parts = rrtf_loss(logps, *_statistics(examples), ours.args, from_teacher=_teachers(examples))
    expected = (parts.rank_loss + parts.sft_loss).mean()
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)


def _statistics(examples: list[dict[str, Any]]) -> tuple[Tensor, Tensor, Tensor]:
    batch = PackedCollator()(examples)
    return batch["response_lengths"], batch["scores"], batch["group_ids"]


def _teachers(examples: list[dict[str, Any]]) -> Tensor:
    return PackedCollator()(examples)["from_teacher"]

"""Prompts computed once give what one sequence at a time gives, in every family of models."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel
from trl.trainer.utils import add_fused_lm_head

from rrtf_trl.training import tree_attention, tree_flex
from rrtf_trl.training.losses import rrtf_loss
from rrtf_trl.training.packing import PackedCollator
from rrtf_trl.training.scoring import score_responses
from rrtf_trl.training.shared_prefix import share_prefixes
from rrtf_trl.training.tree import Tree, trie
from rrtf_trl.training.tree_flex import attend_by_blocks, flex_works
from rrtf_trl.training.tree_spans import attend_by_spans
from support.tiny_models import EXAMPLES, FAMILIES, GPT2_SIZES, group, make, naive, prepared


class Options:
    """What the loss reads."""

    loss_type = "rrtf"
    pairs = "all"
    rank_min_score = None
    pair_reduction = "mean"
    sft_reduction = "mean"
    sft_responses = "best"
    sft_min_score = None
    score_weighting = True
    length_normalization = True


def objective(logps: Tensor, examples: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """The loss, and the loss plus a random weight of each response, so that none is without gradient."""
    batch = PackedCollator()(examples)
    lengths = torch.tensor([len(ids) for example in examples for ids in example["response_ids"]])
    parts = rrtf_loss(logps, lengths, batch["groups"].scores, batch["groups"].ids, Options())
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
    scored = score_responses(model, PackedCollator()(examples))
    logps, lengths = scored.logps, scored.lengths
    loss, total = objective(logps, examples)
    total.backward()
    assert lengths.tolist() == [len(ids) for example in examples for ids in example["response_ids"]]
    torch.testing.assert_close(logps, expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(scored.entropy.sum(), entropies.sum(), atol=2e-4, rtol=1e-5)
    torch.testing.assert_close(loss, expected_loss, atol=2e-5, rtol=1e-5)
    gradients = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        grad, wanted = (x if x is not None else torch.zeros(1) for x in (parameter.grad, gradients[name].grad))
        torch.testing.assert_close(grad, wanted, atol=1e-4 * max(1.0, float(wanted.abs().max())), rtol=1e-4, msg=name)


# -- Exactness -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_and_gradients_equal_one_sequence_at_a_time(family: str, implementation: str) -> None:
    name, options = FAMILIES[family]
    if name == "Gemma2" and implementation == "sdpa":
        pytest.skip("transformers has no soft-capped sdpa attention")
    model = make(name, options, implementation)
    assert_equal_to_naive(prepared(model), EXAMPLES, model)


def test_experts_are_balanced_over_the_tokens_that_are_computed() -> None:
    name, options = FAMILIES["qwen3_moe"]
    model = make(name, options)
    scored = score_responses(prepared(model), PackedCollator()(EXAMPLES), router_loss=True)
    logits: list[Tensor] = []  # of every token once that has the same tokens before it
    for example in EXAMPLES:
        prompt = example["prompt_ids"]
        computed: set[tuple[int, ...]] = set()
        for response in example["response_ids"]:
            ids = prompt + response
            output = model(input_ids=torch.tensor([ids]), output_router_logits=True)
            new = [end for end in range(len(ids)) if tuple(ids[: end + 1]) not in computed]
            computed.update(tuple(ids[: end + 1]) for end in new)
            logits += [layer[new] for layer in output.router_logits]
    probabilities = torch.cat(logits).softmax(dim=-1)  # [tokens, experts], of all layers
    chosen = probabilities.topk(options["num_experts_per_tok"]).indices
    shares = torch.stack([(chosen == expert).sum() for expert in range(4)]) / len(chosen)
    expected = (
        4 * (shares * probabilities.mean(dim=0)).sum()
    )  # Switch Transformers, arXiv 2101.03961, equations 4 to 6
    assert scored.aux_loss is not None
    torch.testing.assert_close(scored.aux_loss, expected, atol=1e-5, rtol=1e-5)


# FlexAttention is one kernel on GPUs; uncompiled, it gives values from the same block mask here, and no gradients.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("family", FAMILIES)
def test_flex_attention_gives_the_same(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(kwargs)
        return attend_by_blocks(*args, **kwargs)

    monkeypatch.setattr(tree_attention, "flex_works", lambda *args: True)
    monkeypatch.setattr(tree_attention, "attend_by_blocks", counted)
    name, options = FAMILIES[family]
    model = make(name, options, "eager")
    with torch.no_grad():
        expected, entropies = naive(model, EXAMPLES)
        scored = score_responses(prepared(model), PackedCollator()(EXAMPLES))
    torch.testing.assert_close(scored.logps, expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(scored.entropy.sum(), entropies.sum(), atol=2e-4, rtol=1e-5)
    assert calls


def test_flex_attention_computes_as_autocast_says(monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes = set()

    def seen(layout: Tree, *inputs: Tensor, **options: Any) -> Tensor:
        dtypes.update(rows.dtype for rows in inputs)
        return attend_by_spans(layout, *inputs, **options)

    monkeypatch.setattr(tree_attention, "flex_works", lambda *args: True)
    monkeypatch.setattr(tree_attention, "attend_by_blocks", seen)
    model = prepared(make("Qwen3", {}))  # it normalises queries and keys in float32
    dtypes.clear()
    with torch.autocast("cpu", torch.bfloat16):
        score_responses(model, PackedCollator()(EXAMPLES))
    assert dtypes == {torch.bfloat16}


@pytest.mark.parametrize("reentrant", [False, True])
def test_flex_attention_is_tried_outside_of_checkpoints(reentrant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the first forward on the device is one of training, with FSDP or ZeRO."""
    tried = []

    def attend(tree: Tree, *inputs: Tensor, **options: Any) -> Tensor:
        tried.append(len(tree))
        return attend_by_spans(tree, *inputs, **options)

    ours = prepared(make("Llama", {}))
    ours.gradient_checkpointing_enable({"use_reentrant": reentrant})
    ours.train()
    monkeypatch.setattr(tree_flex, "_FAST_ON", {"cpu"})
    monkeypatch.setattr(tree_flex, "attend_by_blocks", attend)
    monkeypatch.setattr(tree_attention, "attend_by_blocks", attend_by_spans)
    flex_works.cache_clear()
    score_responses(ours, PackedCollator()(EXAMPLES)).logps.sum().backward()
    flex_works.cache_clear()
    assert len(tried) == 1


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="FlexAttention as one kernel needs a GPU")


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("softcap", [None, 20.0])
def test_flex_attention_works_on_the_gpu(dtype: torch.dtype, softcap: float | None) -> None:
    assert flex_works(torch.device("cuda", 0), dtype, (8, 2), (64, 64), softcap)


@needs_gpu
@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3", "mistral", "gpt2", "qwen3_moe"])
def test_gradients_on_the_gpu_equal_those_of_the_cpu(family: str) -> None:
    name, options = FAMILIES[family]
    sizes = {} if name == "GPT2" else {"head_dim": 16}  # the least that the kernel takes
    model = make(name, {**options, **sizes}, "eager")
    losses = []
    for ours in (prepared(model), prepared(copy.deepcopy(model).cuda())):
        device = next(ours.parameters()).device
        batch = {
            key: values.to(device) if isinstance(values, Tensor) else values
            for key, values in PackedCollator()(EXAMPLES).items()
        }
        loss = score_responses(ours, batch).logps.mean()
        loss.backward()
        losses.append((loss.item(), [p.grad.cpu() for p in ours.parameters() if p.grad is not None]))
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-3)
    for on_gpu, on_cpu in zip(losses[1][1], losses[0][1], strict=True):
        assert (on_gpu - on_cpu).norm() < 0.01 * on_cpu.norm() + 1e-5


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma2", "mistral", "gpt2", "gpt_bigcode", "mixtral"])
def test_gradient_checkpointing_is_exact(family: str, reentrant: bool) -> None:
    name, options = FAMILIES[family]
    model = make(name, options, "eager")
    ours = prepared(model)
    ours.gradient_checkpointing_enable({"use_reentrant": reentrant})
    ours.train()
    assert_equal_to_naive(ours, EXAMPLES, model)


def test_float64_is_exact_to_its_own_precision() -> None:
    # GPT-2 has no float32 inside, other than TRL's LM head.
    model = make("GPT2", GPT2_SIZES).double()
    batch = PackedCollator()(EXAMPLES)
    with torch.no_grad():
        hidden = prepared(model).transformer(
            input_ids=batch["input_ids"],
            position_ids=batch["position_ids"],
            tree=batch["tree"],
            scored_positions=batch["scored_positions"],
        )
        alone = [
            model.transformer(input_ids=torch.tensor([row["prompt_ids"] + ids])).last_hidden_state[0]
            for row in EXAMPLES
            for ids in row["response_ids"]
        ]
    starts = [len(row["prompt_ids"]) for row in EXAMPLES for _ in row["response_ids"]]
    expected = torch.cat([states[start - 1 : -1] for states, start in zip(alone, starts, strict=True)])
    together = hidden.last_hidden_state[0, batch["member_scores"]]
    torch.testing.assert_close(together, expected, atol=1e-12, rtol=0)


def test_adapters_that_change_weights_are_shared_under() -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj", "down_proj"])
    torch.manual_seed(0)
    model = get_peft_model(make("Llama", {}), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    reference = copy.deepcopy(model)
    add_fused_lm_head(model.get_base_model(), outputs=("log_probs", "entropy", "is_top1"))
    assert share_prefixes(model, "true")
    assert_equal_to_naive(model, EXAMPLES, reference)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_without_a_prompt_the_first_token_is_not_scored(family: str) -> None:
    name, options = FAMILIES[family]
    model = make(name, options)
    example = {**group(1, [4, 1, 3]), "prompt_ids": []}
    batch = PackedCollator()([example, EXAMPLES[0]])
    with torch.no_grad():
        scored = score_responses(prepared(model), batch)
        expected = []
        for response in example["response_ids"]:
            scores = model(input_ids=torch.tensor([response])).logits[0, :-1].log_softmax(dim=-1)
            expected.append(scores[range(len(response) - 1), response[1:]].sum())
        others, _ = naive(model, EXAMPLES[:1])
    assert scored.lengths.tolist() == [3, 1, 2, 5, 1, 9]
    torch.testing.assert_close(scored.logps, torch.cat([torch.stack(expected), others]), atol=2e-5, rtol=0)


def test_empty_responses_score_nothing() -> None:
    model = make("Mistral", {"sliding_window": 4})
    rows = [{**group(3, [2, 1]), "response_ids": [[], [4, 5]]}, {**group(2, [1, 1]), "response_ids": [[], []]}]
    with torch.no_grad():
        scored = score_responses(prepared(model), PackedCollator()(rows))
        expected, _ = naive(model, [{**rows[0], "response_ids": [[4, 5]]}])
    assert scored.lengths.tolist() == [1, 2, 1, 1]
    torch.testing.assert_close(scored.logps, torch.tensor([0.0, expected.item(), 0.0, 0.0]), atol=2e-5, rtol=0)


def test_a_prepared_model_is_otherwise_what_it_was() -> None:
    model = make("Mistral", {"sliding_window": 4})
    ours = prepared(model)
    ids = torch.tensor([EXAMPLES[0]["prompt_ids"]])
    score_responses(ours, PackedCollator()(EXAMPLES))
    assert torch.equal(ours(input_ids=ids).logits, model(input_ids=ids).logits)
    generated = [m.generate(ids, max_new_tokens=5, do_sample=False) for m in (ours, model)]
    assert torch.equal(*generated)
    assert ours.config.to_dict() == model.config.to_dict()


def test_a_model_prepared_twice_is_prepared_once() -> None:
    model = make("Llama", {})
    ours = prepared(model)
    assert share_prefixes(ours, "true")
    assert_equal_to_naive(ours, EXAMPLES, model)


def test_a_model_recovers_from_an_interrupted_forward() -> None:
    model = make("Llama", {})
    ours, ids = prepared(model), torch.tensor([[1, 2, 3]])

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    handle = ours.model.layers[1].mlp.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        score_responses(ours, PackedCollator()(EXAMPLES))
    handle.remove()
    assert torch.equal(ours(input_ids=ids).logits, model(input_ids=ids).logits)
    assert_equal_to_naive(ours, EXAMPLES, model)


def test_a_model_whose_attention_is_changed_says_so() -> None:
    ours = prepared(make("Llama", {}))
    ours.config._attn_implementation = "eager"
    with pytest.raises(ValueError, match=r'changed to "eager" after the trainer was made'):
        score_responses(ours, PackedCollator()(EXAMPLES))


def test_a_recomputed_layer_is_right_after_other_forwards() -> None:
    """Gradient checkpointing runs layers again in the backward pass, whatever the model did in between."""
    model = make("Llama", {})
    plain, ours = prepared(model), prepared(model)
    ours.gradient_checkpointing_enable({"use_reentrant": False})
    ours.train()
    batch = PackedCollator()(EXAMPLES)
    score_responses(plain, batch).logps.sum().backward()
    logps = score_responses(ours, batch).logps
    ours(input_ids=torch.tensor([[1, 2, 3]]))
    logps.sum().backward()
    for (name, expected), parameter in zip(plain.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, msg=name)


def test_a_copy_of_a_prepared_model_is_its_own() -> None:
    ours, batch = prepared(make("Llama", {})), PackedCollator()(EXAMPLES)
    other = copy.deepcopy(ours)
    expected = score_responses(ours, batch).logps
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
    ours.config._attn_implementation = "eager"
    torch.testing.assert_close(score_responses(other, batch).logps, expected, atol=0, rtol=0)


# -- Batches ---------------------------------------------------------------------------------------------


def test_a_packed_batch_in_full() -> None:
    rows = [
        {"prompt_ids": [1, 2], "response_ids": [[4, 6], [4, 5], [3], [4, 5, 8]], "scores": [0.0, 1.0, 3.0, 1.0]},
        {"prompt_ids": [], "response_ids": [[7, 8], [7]], "scores": [0.5, -1.0]},
        {"prompt_ids": [6], "response_ids": [[9], []], "scores": [0.5, 2.0]},
    ]
    for row in rows:
        row["from_teacher"] = [True, *[False] * (len(row["scores"]) - 1)]
    expected = {
        "input_ids": torch.tensor([[1, 2, 3, 4, 5, 8, 6, 7, 8, 6, 9]]),
        "position_ids": torch.tensor([[0, 1, 2, 2, 3, 4, 3, 0, 1, 0, 1]]),
        "attention_mask": torch.ones(1, 11, dtype=torch.long),
        "scored_positions": torch.tensor([1, 1, 3, 4, 3, 7, 9]),
        "scored_tokens": torch.tensor([[3, 4, 5, 8, 6, 8, 9]]),
        "member_scores": torch.tensor([1, 4, 1, 2, 0, 1, 2, 3, 5, 6]),
        "member_responses": torch.tensor([0, 0, 1, 1, 2, 3, 3, 3, 4, 6]),
    }
    batch = PackedCollator()(rows)
    tree, groups = batch.pop("tree"), batch.pop("groups")
    assert groups.scores.tolist() == [0.0, 1.0, 3.0, 1.0, 0.5, -1.0, 0.5, 2.0]
    assert groups.ids.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    assert groups.from_teacher.tolist() == [True, False, False, False, True, False, True, False]
    assert groups.scored.tolist() == [2, 2, 1, 3, 1, 0, 1, 0]
    assert groups.lengths.tolist() == [2, 2, 1, 3, 1, 1, 1, 1]
    assert batch.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(batch[name], tensor, rtol=0, atol=0, msg=name)
    assert tree.ends.tolist() == [7, 7, 3, 7, 6, 6, 7, 9, 9, 11, 11]


@pytest.mark.parametrize("seed", range(20))
def test_a_tree_is_every_beginning_once(seed: int) -> None:
    draw = random.Random(seed)
    sequences = [
        [draw.randint(0, 1 + seed % 3) for _ in range(draw.randint(0, 9))] for _ in range(draw.randint(1, 16))
    ]
    found = trie(sequences)
    beginnings = {tuple(one[: end + 1]) for one in sequences for end in range(len(one))}
    assert len(found.tokens) == len(beginnings)
    for sequence, path in zip(sequences, found.paths, strict=True):
        assert found.tokens[path].tolist() == sequence
        assert found.depths[path].tolist() == list(range(len(sequence)))
        if sequence:
            last = path[-1]
            seen = [j for j in range(last + 1) if last < found.ends[j]]
            assert seen == path.tolist()
    tree = Tree(found.ends, found.depths)
    assert [token for start, stop in tree.chains for token in range(start, stop)] == list(range(len(tree)))
    for span in tree.spans:
        tokens = [token for chain in span.chains for token in range(*tree.chains[chain])]
        assert tokens == [j for j in range(span.stop) if span.stop - 1 < found.ends[j]]
        assert len(tokens) == span.depth + span.stop - span.start
    assert sorted(number for batch in tree.batches() for number in batch.spans) == list(range(len(tree.spans)))

"""A batch that is computed in several forwards has the loss, the gradients and the metrics of one that is not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from torch import Tensor

from rrtf_trl import RRTFConfig
from rrtf_trl.training import LossOutput, RankedCollator, imitation_loss
from rrtf_trl.training.forwards import ForwardsCollator, batches_of
from rrtf_trl.training.packing import PackedCollator
from support.tiny_models import make
from support.trainer_checks import SGD, Build, assert_same_weights, both_paths, training_logs, weights

LIMITS = [1, 40, 90, 10_000]  # a sequence each; rows in parts; rows together; all in one


def rows(seed: int, count: int = 5) -> list[dict[str, Any]]:
    """Tokenized rows of 2 to 7 responses that share beginnings, with ties in their scores."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        trunk = [draw.randrange(3, 60) for _ in range(12)]
        responses = [
            [*trunk[: draw.randrange(12)], *(draw.randrange(3, 60) for _ in range(draw.randrange(1, 12)))]
            for _ in range(draw.randrange(2, 8))
        ]
        found.append(
            {
                "prompt_ids": [draw.randrange(3, 60) for _ in range(draw.randrange(1, 15))],
                "response_ids": responses,
                "scores": [float(draw.randrange(3)) for _ in responses],
                "from_teacher": [draw.random() < 0.3 for _ in responses],
                "unscored": [draw.randrange(min(2, len(ids))) for ids in responses],
            }
        )
    return found


@pytest.mark.parametrize("collator", [PackedCollator(), RankedCollator(0, 4)], ids=["packed", "padded"])
@pytest.mark.parametrize("limit", LIMITS)
def test_every_response_is_in_one_forward_and_no_forward_is_larger(collator: Any, limit: int) -> None:
    for seed in range(20):
        examples = rows(seed)
        batch = ForwardsCollator(collator, limit)(examples)
        for one in batches_of(batch):
            alone = len(one["groups"].ids) == 1
            assert one["input_ids"].numel() <= limit or alone
        found: dict[int, list[tuple[float, bool, int]]] = {}
        for forward in batch["forwards"]:
            groups = forward["groups"]
            for group, number in enumerate(groups.numbers):
                own = groups.ids == group
                columns = (groups.scores, groups.from_teacher, groups.scored)
                found[number] = list(zip(*(column[own].tolist() for column in columns), strict=True))
        whole = collator(examples)["groups"]
        for number in range(len(examples)):
            own = whole.ids == number
            columns = (whole.scores, whole.from_teacher, whole.scored)
            assert found[number] == list(zip(*(column[own].tolist() for column in columns), strict=True))


def mine(logps: Tensor, lengths: Tensor, scores: Tensor, group_ids: Tensor, config: RRTFConfig) -> LossOutput:
    """A loss that no pair of responses decides alone."""
    values = logps / lengths
    groups = int(group_ids[-1]) + 1
    total = values.new_zeros(groups).index_add(0, group_ids, (scores + 1) * values.exp())
    sft = imitation_loss(logps, lengths, scores, group_ids, config)
    return LossOutput(-total.log() * total, sft, (values[:1] - values[-1:]).detach())


@both_paths
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss_type": "rrhf", "pair_reduction": "sum", "length_normalization": False},
        {"pairs": "best_vs_rest", "sft_responses": "all", "sft_min_score": 1.0, "sft_reduction": "sum"},
        {"pairs": "teacher_student", "rank_weight": 2.0},
        {"loss_type": "mine"},
    ],
    ids=["rrtf", "rrhf", "best", "teacher", "registered"],
)
def test_gradients_do_not_depend_on_the_limit(
    trainer: Build, llama_path: str, share_prefix: bool, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry_of_losses(), "mine", f"{__name__}:mine")
    gradients: dict[int | None, dict[str, Tensor]] = {}
    losses: dict[int | None, float] = {}
    for limit in [None, *LIMITS]:
        ours = trainer(llama_path, share_prefix=share_prefix, max_tokens_per_forward=limit, **options)
        batch = ours.data_collator(rows(1))
        ours.optimizer = None
        losses[limit] = float(ours.training_step(ours.model, batch, torch.tensor(5)))
        gradients[limit] = {name: parameter.grad for name, parameter in ours.model.named_parameters()}
    largest = max(float(gradient.abs().max()) for gradient in gradients[None].values())
    assert largest > 1e-3
    for limit in LIMITS:
        assert losses[limit] == pytest.approx(losses[None], rel=1e-6, abs=1e-6)
        assert_same_weights(gradients[limit], gradients[None], atol=4e-6 * max(largest, 1))


def registry_of_losses() -> dict[str, str]:
    from rrtf_trl import registry

    return registry.BUILTIN["loss"]


@pytest.mark.slow
@both_paths
@pytest.mark.parametrize("limit", [25, 70])
def test_training_logs_and_weights_do_not_depend_on_the_limit(
    trainer: Build, llama_path: str, ranked: Dataset, share_prefix: bool, limit: int
) -> None:
    options = {
        **SGD,
        "share_prefix": share_prefix,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "per_device_eval_batch_size": 3,
        "max_steps": 3,
        "eval_dataset": ranked,
    }
    one, several = (trainer(llama_path, max_tokens_per_forward=limit, **options) for limit in (None, limit))
    assert len(list(batches_of(several.data_collator(list(several.train_dataset)[:2])))) > 1
    for ours in (one, several):
        ours.train()
        ours.evaluate()
    assert_same_weights(weights(several.model), weights(one.model), atol=4e-6)
    for expected, log in zip(one.state.log_history, several.state.log_history, strict=True):
        timed = {name for name in expected if "runtime" in name or "per_second" in name or name == "total_flos"}
        for name in expected.keys() - timed - {"num_tokens"}:
            assert log[name] == pytest.approx(expected[name], abs=2e-5), name
        # Parts of one row compute their prompt each.
        assert log.get("num_tokens", 0) >= expected.get("num_tokens", 0)


def test_dropout_is_the_same_in_both_forwards_of_a_part(trainer: Build, llama_path: str) -> None:
    lora = LoraConfig(r=4, lora_dropout=0.5, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    ours = trainer(llama_path, peft_config=lora, disable_dropout=False, max_tokens_per_forward=30)
    found: list[tuple[Tensor, Tensor]] = []
    score = ours._score

    def remember(model: Any, batch: dict[str, Any]) -> Any:
        scored = score(model, batch)
        found.append((batch["input_ids"], scored.token_logps.detach()))
        return scored

    ours._score = remember  # type: ignore[method-assign]
    ours.training_step(ours.model, ours.data_collator(rows(3, count=1)), torch.tensor(1))
    half = len(found) // 2
    assert half > 1
    for (tokens, before), (again, after) in zip(found[:half], found[half:], strict=True):
        assert torch.equal(tokens, again)
        torch.testing.assert_close(after, before)
    (forward,) = ours.data_collator(rows(3, count=1))["forwards"]
    assert not torch.equal(score(ours.model, forward["parts"][0]).token_logps, found[0][1])  # there is dropout


def test_a_mixture_of_experts_adds_the_load_balancing_loss_of_each_forward(trainer: Build, tokenizer: Any) -> None:
    model = make("Mixtral", {"vocab_size": len(tokenizer), "num_local_experts": 4, "num_experts_per_tok": 2})
    ours = trainer(
        model, processing_class=tokenizer, router_aux_loss_coef=1.0, rank_weight=0.0, sft_weight=1e-9,
        max_tokens_per_forward=30,
    )  # fmt: skip
    batch = ours.data_collator(rows(3, count=1))
    (forward,) = batch["forwards"]
    loss = ours.training_step(ours.model, batch, torch.tensor(1))
    scored = [ours._score(ours.model, part) for part in forward["parts"]]
    tokens = [part["input_ids"].numel() for part in forward["parts"]]
    expected = sum(float(one.aux_loss) * count for one, count in zip(scored, tokens, strict=True)) / sum(tokens)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    gates = [p.grad for name, p in ours.model.named_parameters() if "gate" in name or "router" in name]
    assert any(grad is not None and grad.abs().max() > 0 for grad in gates)


class Counting(RankedCollator):
    """A collator that extends ours, with a constructor of its own."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer.pad_token_id)
        self.batches = 0

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        self.batches += 1
        return super().__call__(examples)


def test_a_collator_that_extends_ours_is_divided(trainer: Build, llama_path: str, tokenizer: Any) -> None:
    ours, expected = (
        trainer(llama_path, max_tokens_per_forward=limit, data_collator=Counting(tokenizer)) for limit in (40, None)
    )
    for one in (ours, expected):
        one.train()
    assert training_logs(ours)[0]["loss"] == pytest.approx(training_logs(expected)[0]["loss"], abs=1e-5)
    assert expected.data_collator.batches == 1


def test_what_the_limit_does_not_go_with_is_refused(
    trainer: Build, llama_path: str, config: Callable[..., RRTFConfig]
) -> None:
    with pytest.raises(ValueError, match="max_tokens_per_forward` must be at least 1, got 0"):
        config(max_tokens_per_forward=0)
    with pytest.raises(ValueError, match="`compute_metrics` needs the logits of whole batches"):
        trainer(llama_path, max_tokens_per_forward=100, compute_metrics=lambda prediction: {})
    with pytest.raises(ValueError, match="cannot divide the batches of function"):
        trainer(llama_path, max_tokens_per_forward=100, data_collator=lambda examples: {})


def test_a_collator_without_groups_is_named(trainer: Build, llama_path: str) -> None:
    ours = trainer(llama_path, data_collator=lambda examples: {"input_ids": torch.ones(1, 2)}, max_steps=1)
    with pytest.raises(TypeError, match="returned a batch of \\['input_ids'\\] without `groups`"):
        ours.train()

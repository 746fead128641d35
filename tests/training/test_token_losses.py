"""Losses that see tokens, in the trainer: what they get of a batch, packed, padded or in parts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM

from rrtf_trl import RRTFConfig, registry
from rrtf_trl.training import LossInputs, LossOutput, token_loss, with_imitation
from support.trainer_checks import SGD, Build, assert_same_weights, both_paths, training_logs, weights

SEEN: list[LossInputs] = []
ROWS = [
    {
        "prompt": "def f(x):\n",
        "responses": ["    return x + 1\n", "    return x - 1\n", "    pass\n"],
        "scores": [1.0, 0.0, 0.0],
        "token_ids": [None, None, None],
        "logprobs": [None, None, None],
    },
    {
        "prompt": "def g(x, y):\n",
        "responses": ["    return x\n", "    return x * y\n"],
        "scores": [0.0, 1.0],
        "token_ids": [None, None],
        "logprobs": [None, None],
    },
]


@token_loss(needs=("reference_logps", "sampling_logps", "tree", "entropy"))
def seeing(inputs: LossInputs, config: RRTFConfig, *, scale: float = 1.0) -> LossOutput:
    """A loss that reads all that there is, and keeps what it was passed."""
    assert inputs.reference_logps is not None
    assert inputs.tree is not None
    SEEN.append(inputs)
    ratios = inputs.token_logps - inputs.reference_logps
    reward = inputs.scores.to(ratios.dtype)
    advantages = inputs.tree.gains(reward, inputs.group_means(reward))[inputs.tree.nodes]
    terms = (advantages + 0.1) * (ratios + 1).square() * scale
    seen = {"ratios": ratios.detach()}
    return with_imitation(inputs.group_means(inputs.response_sums(terms) / inputs.lengths), inputs, config, seen)


@token_loss(needs=("reference_logps", "tree", "entropy"))
def comparing(inputs: LossInputs, config: RRTFConfig, *, scale: float = 1.0) -> LossOutput:
    """A loss of any rows that reads the reference and the tree."""
    return seeing(inputs, config, scale=scale)


@pytest.fixture(autouse=True)
def _register(monkeypatch: pytest.MonkeyPatch) -> None:
    SEEN.clear()
    for name in ("seeing", "comparing"):
        monkeypatch.setitem(registry.BUILTIN["loss"], name, f"{__name__}:{name}")


def drawn(tokenizer: Any) -> Dataset:
    """Rows whose first response was recorded without its end, the second with it, the others not at all."""
    rows = []
    for row in ROWS:
        ids = [tokenizer(text)["input_ids"] for text in row["responses"]]
        assert all(tokenizer.decode(one) == text for one, text in zip(ids, row["responses"], strict=True))
        recorded = [[-0.25 * (1 + place) for place in range(len(one))] for one in ids]
        recorded[1].append(-9.0)
        rows.append(
            {
                **row,
                "token_ids": [*ids[:2], *[None] * (len(ids) - 2)],
                "logprobs": [*recorded[:2], *[None] * (len(ids) - 2)],
            }
        )
    return Dataset.from_list(rows)


def by_hand(path: str, examples: list[dict[str, Any]]) -> list[list[Tensor]]:
    """The log-probability of each token, one sequence at a time."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()
    found = []
    for example in examples:
        start = len(example["prompt_ids"])
        with torch.no_grad():
            found.append(
                [
                    model(input_ids=torch.tensor([example["prompt_ids"] + ids]))
                    .logits[0, start - 1 : -1]
                    .log_softmax(dim=-1)[range(len(ids)), ids]
                    for ids in example["response_ids"]
                ]
            )
    return found


@both_paths
@pytest.mark.parametrize("limit", [None, 20])
def test_a_loss_gets_all_that_it_needs(
    trainer: Build, llama_path: str, tokenizer: Any, share_prefix: bool, limit: int | None
) -> None:
    ours = trainer(
        llama_path, drawn(tokenizer), loss_type="seeing", share_prefix=share_prefix, max_tokens_per_forward=limit,
        **SGD, per_device_train_batch_size=2, max_steps=2, train_sampling_strategy="sequential", logging_steps=1,
    )  # fmt: skip
    examples = list(ours.train_dataset)
    expected = by_hand(llama_path, examples)
    ours.train()
    assert len(SEEN) == (2 if limit is None else 4)
    for step in (0, 1):
        inputs = SEEN[step : step + 1] if limit is None else SEEN[2 * step : 2 * step + 2]
        order = (
            range(2)
            if limit is None
            else [
                max(range(2), key=lambda n: one.lengths.sum() == sum(map(len, examples[n]["response_ids"])))
                for one in inputs
            ]
        )
        reference = torch.cat([one.reference_logps for one in inputs])
        flat = torch.cat([value for number in order for value in expected[number]])
        torch.testing.assert_close(reference.double(), flat, atol=1e-5, rtol=0)
        now = torch.cat([one.token_logps.detach() for one in inputs])
        if step == 0:
            torch.testing.assert_close(now, reference, atol=1e-5, rtol=0)
        else:
            assert (now - reference).abs().max() > 1e-3  # the policy has moved, the reference has not
        sampling = torch.cat([one.sampling_logps for one in inputs])
        recorded = [
            [*[-0.25 * (1 + place) for place in range(len(ids) - 1)], (math.nan, -9.0)[number]]
            if number < 2
            else [math.nan] * len(ids)
            for example in order
            for number, ids in enumerate(examples[example]["response_ids"])
        ]
        torch.testing.assert_close(sampling, torch.tensor([one for row in recorded for one in row]), equal_nan=True)
        for one in inputs:
            assert one.tree is not None
            assert len(one.tree.nodes) == len(one.token_logps)
    assert {"ratios"} <= training_logs(ours)[0].keys()


@pytest.mark.slow
@both_paths
@pytest.mark.parametrize("limit", [15, 40])
def test_training_by_a_token_loss_does_not_depend_on_the_limit(
    trainer: Build, llama_path: str, ranked: Dataset, share_prefix: bool, limit: int
) -> None:
    options = {
        **SGD, "loss_type": "comparing", "loss_kwargs": {"scale": 2.0}, "share_prefix": share_prefix,
        "per_device_train_batch_size": 4, "max_steps": 3, "eval_dataset": ranked, "per_device_eval_batch_size": 3,
    }  # fmt: skip
    several = trainer(llama_path, max_tokens_per_forward=limit, **options)
    one = trainer(llama_path, **options)
    for ours in (one, several):
        ours.train()
        ours.evaluate()
    assert_same_weights(weights(several.model), weights(one.model), atol=5e-6)
    for name in ("eval_loss", "eval_rank_loss", "eval_ratios"):
        assert several.state.log_history[-1][name] == pytest.approx(one.state.log_history[-1][name], abs=2e-5), name
    assert one.state.log_history[-1]["eval_ratios"] != 0


def test_recorded_tokens_are_cut_and_chosen_as_the_responses_are(
    trainer: Build, llama_path: str, tokenizer: Any
) -> None:
    whole = trainer(llama_path, drawn(tokenizer), loss_type="seeing")
    longest = max(len(row["prompt_ids"]) + len(ids) for row in whole.train_dataset for ids in row["response_ids"])
    cut = trainer(
        llama_path,
        drawn(tokenizer),
        loss_type="seeing",
        max_length=longest - 3,
        truncation_mode="keep_start",
        max_responses=2,
    )
    for row in cut.train_dataset:
        for name in ("sampling_logps", "reference_logps"):
            assert [len(values) for values in row[name]] == [len(ids) for ids in row["response_ids"]], name
            assert len(row["response_ids"]) == 2


@both_paths
@pytest.mark.parametrize("limit", [None, 20])
def test_rows_without_a_recording_are_trained_on_beside_others(
    trainer: Build, llama_path: str, tokenizer: Any, share_prefix: bool, limit: int | None
) -> None:
    # As ranking writes a row whose responses are all a teacher's; each row is a batch.
    rows = [{**row, **({"logprobs": None} if place else {})} for place, row in enumerate(drawn(tokenizer))]
    options = {"share_prefix": share_prefix, "max_tokens_per_forward": limit, "per_device_train_batch_size": 1}
    ours = trainer(llama_path, Dataset.from_list(rows), loss_type="seeing", max_steps=2, **options)
    ours.train()
    sampling = {len(one.lengths): one.sampling_logps for one in SEEN}
    assert sampling[2].isnan().all()
    assert not sampling[3].isnan().all()


def test_the_reference_is_computed_in_the_precision_of_training(trainer: Build, llama_path: str) -> None:
    options = {"bf16": True, "per_device_train_batch_size": 1, "max_steps": 7, "learning_rate": 0.0}
    ours = trainer(llama_path, loss_type="comparing", **options)
    ours.train()
    (apart,) = {float((one.token_logps.detach() - one.reference_logps).abs().max()) for one in SEEN}
    assert apart == 0  # each row is a batch of its own here too


def test_what_cannot_be_compared_with_is_refused(trainer: Build, llama_path: str, ranked: Dataset) -> None:
    with pytest.raises(ValueError, match=r"train data set: .* cannot be computed for a stream"):
        trainer(llama_path, ranked.to_iterable_dataset(), loss_type="dpo_pl", max_steps=1)
    with pytest.raises(ValueError, match=r"'dpo_pl' compares with the policy before training.*a collator of your own"):
        trainer(llama_path, loss_type="dpo_pl", data_collator=lambda examples: {})
    with pytest.raises(ValueError, match=r"the loss 'topr' needs `sampling_logps`.*Sample with `logprobs=true`"):
        trainer(llama_path, loss_type="topr", rank_min_score=1.0)
    ours = trainer(llama_path, loss_type="dpo_pl")
    ours.evaluate(ranked)
    ours.train()
    with pytest.raises(ValueError, match=r"not known any more. Pass the rows to the constructor as `eval_dataset`"):
        ours.evaluate(ranked)
    with pytest.raises(ValueError, match="not known any more"):
        ours.evaluate(ranked.to_iterable_dataset())


def test_a_reference_that_rows_come_with_is_kept(trainer: Build, llama_path: str) -> None:
    first = trainer(llama_path, loss_type="dpo_pl")
    rows = first.train_dataset
    other = rows.map(lambda row: {"reference_logps": [[value - 1 for value in one] for one in row["reference_logps"]]})
    again = trainer(llama_path, other, loss_type="dpo_pl")
    assert again.train_dataset[0]["reference_logps"] == other[0]["reference_logps"]


@pytest.mark.slow
@pytest.mark.parametrize("loss_type", [name for name in registry.BUILTIN["loss"] if name != "topr"])
def test_every_loss_trains(trainer: Build, llama_path: str, loss_type: str) -> None:
    ours = trainer(llama_path, loss_type=loss_type, rank_min_score=1.0, sft_weight=0.0, per_device_train_batch_size=7)
    before = weights(ours.model)
    ours.train()
    (log,) = training_logs(ours)
    assert math.isfinite(log["loss"])
    assert any(not torch.equal(weight, before[name]) for name, weight in weights(ours.model).items())


class OnDevice(torch.Tensor):
    """A tensor that notes where the host asks for its numbers, or for a size that depends on them."""

    asked: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        by_mask = name == "__getitem__" and getattr(args[1], "dtype", None) == torch.bool
        if by_mask or name in (
            "item",
            "tolist",
            "nonzero",
            "masked_select",
            "equal",
            "__bool__",
            "__int__",
            "__float__",
        ):
            cls.asked.append(name)
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.parametrize("limit", [None, 30])
@pytest.mark.parametrize("loss_type", ["rrtf", "rrhf", "list_mle", "lipo", "dpo_pl", "simpo", "asymre", "tree_credit"])
def test_the_host_waits_for_no_number_of_the_loss_and_its_metrics(
    trainer: Build, llama_path: str, loss_type: str, limit: int | None
) -> None:
    ours = trainer(llama_path, loss_type=loss_type, max_tokens_per_forward=limit)
    batch = ours.data_collator(list(ours.train_dataset))
    score = ours._score

    def on_device(model: Any, one: dict[str, Any]) -> Any:
        scored = score(model, one)
        names = ("token_logps", "top1", "entropy", "responses")
        return replace(scored, **{name: getattr(scored, name).as_subclass(OnDevice) for name in names})

    ours._score = on_device  # type: ignore[method-assign]
    OnDevice.asked.clear()
    loss = ours.training_step(ours.model, batch, torch.tensor(7))
    assert OnDevice.asked == []
    assert isinstance(loss, OnDevice)
    assert float(loss) != 0
    assert OnDevice.asked == ["__float__"]  # it does note

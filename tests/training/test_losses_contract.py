"""What every loss gets and may ask for, and what is refused before training."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from rrtf_trl import RRTFConfig, hookimpl
from rrtf_trl.plugins import plugins, register
from rrtf_trl.registry import BUILTIN
from rrtf_trl.training import LossInputs, LossOutput, rrtf_loss, token_loss, with_imitation
from rrtf_trl.training.losses import PrefixTree, least_score, resolve_loss
from support.loss_batches import PASSED, Answer, as_inputs, random_groups

Config = Callable[..., RRTFConfig]
LOSSES = list(BUILTIN["loss"])
OURS = ("rrtf", "rrhf")


@pytest.fixture(autouse=True)
def _forget_losses() -> Iterator[None]:
    yield
    plugins.cache_clear()


def register_loss(loss: Any) -> None:
    class Mine:
        RRTF_CONTRACT = 1

        @staticmethod
        @hookimpl
        def rrtf_losses() -> dict[str, Any]:
            return {"mine": loss}

    register(Mine, "mine")


def nothing(inputs: LossInputs) -> LossOutput:
    return LossOutput(torch.zeros(inputs.groups), torch.zeros(inputs.groups), torch.zeros(0))


# -- Inputs ----------------------------------------------------------------------------------------------


def test_sums_and_means_by_hand() -> None:
    responses = [[-1.0, -2.0], [-4.0], [], [-8.0]]
    group = [Answer([0] * len(logps), logps, logps, logps, 0.0) for logps in responses]
    inputs = as_inputs([group[:3], group[3:]])
    assert inputs.lengths.tolist() == [2, 1, 1, 1]
    assert inputs.logps.tolist() == [-3, -4, 0, -8]
    assert inputs.group_sums(inputs.logps).tolist() == [-7, -8]
    assert inputs.group_means(inputs.lengths.double()).tolist() == pytest.approx([4 / 3, 1])


@pytest.mark.parametrize("count", [1, 3, 6, 9])
def test_the_first_groups_are_those_of_a_smaller_batch(count: int) -> None:
    groups = random_groups(0)

    def parts(one: LossInputs | PrefixTree) -> dict[str, Any]:
        return {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}

    found, expected = parts(as_inputs(groups).first_groups(count)), parts(as_inputs(groups[:count]))
    found |= {f"tree.{name}": value for name, value in parts(found.pop("tree")).items()}
    expected |= {f"tree.{name}": value for name, value in parts(expected.pop("tree")).items()}
    for name in ("entropy", "top1", "on_host"):
        assert found.pop(name) is expected.pop(name) is None
    assert found.pop("groups") == expected.pop("groups") == min(count, 6)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.equal(found[name], values), name


# -- Every built-in loss ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss_type", LOSSES)
def test_every_loss_imitates_and_shows_margins_as_rrtf_does(config: Config, loss_type: str) -> None:
    inputs = as_inputs(random_groups(0))
    for options in ({}, {"pairs": "teacher_student", "sft_reduction": "sum", "length_normalization": False}):
        args = config(loss_type=loss_type, rank_min_score=PASSED, sft_min_score=0.0, **options)
        found = resolve_loss(args)(inputs)
        expected = rrtf_loss(
            inputs.logps, inputs.lengths, inputs.scores, inputs.group_ids, args, from_teacher=inputs.from_teacher
        )
        assert torch.equal(found.sft_loss, expected.sft_loss)
        assert torch.equal(found.margins, expected.margins)
        assert not found.margins.requires_grad
        assert torch.equal(found.rank_loss, expected.rank_loss) is (loss_type in OURS)


@pytest.mark.parametrize("loss_type", LOSSES)
def test_float32_and_float64_scores_do(config: Config, loss_type: str) -> None:
    exact = as_inputs(random_groups(0))
    half = {
        name: getattr(exact, name).float().detach() for name in ("token_logps", "reference_logps", "sampling_logps")
    }
    resolved = resolve_loss(config(loss_type=loss_type, rank_min_score=PASSED))
    expected = resolved(exact).rank_loss
    for scores in (exact.scores, exact.scores.float()):
        found = resolved(dataclasses.replace(exact, scores=scores, **half)).rank_loss
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("loss_type", LOSSES)
def test_only_groups_that_add_nothing_are_left_out(config: Config, loss_type: str) -> None:
    args = config(loss_type=loss_type, rank_min_score=PASSED, sft_min_score=2.0)
    mixed, _, failing, *_ = random_groups(0)
    adds = [bool(loss) for loss in resolve_loss(args)(as_inputs([mixed, failing])).rank_loss]
    is_any = loss_type in ("asymre", "topr")
    assert least_score(args) == (None if is_any else PASSED)
    assert adds == [True, is_any]


@pytest.mark.parametrize("loss_type", LOSSES)
def test_without_rank_min_score_the_least_score_is_that_of_what_passes(config: Config, loss_type: str) -> None:
    learns_from_mixed = loss_type in ("nft", "real", "tree_credit")
    assert least_score(config(loss_type=loss_type, sft_min_score=PASSED)) == (PASSED if learns_from_mixed else None)
    assert least_score(config(loss_type=loss_type, rank_min_score=PASSED)) is None  # the best is imitated


# -- What a loss asks for --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss_type", "missing", "remedy"),
    [
        ("dpo_pl", "reference_logps", "leave `data_collator` out"),
        ("lipo", "reference_logps", "leave `data_collator` out"),
        ("nft", "reference_logps", "leave `data_collator` out"),
        ("real", "reference_logps", "leave `data_collator` out"),
        ("topr", "sampling_logps", "Sample with `logprobs=true`"),
        ("tree_credit", "tree", "leave `data_collator` out"),
    ],
)
def test_a_missing_input_is_named_with_what_to_do(config: Config, loss_type: str, missing: str, remedy: str) -> None:
    resolved = resolve_loss(config(loss_type=loss_type, rank_min_score=PASSED))
    assert resolved.name == loss_type
    assert resolved.needs == (missing,)
    inputs = dataclasses.replace(as_inputs(random_groups(0)), **{missing: None})
    with pytest.raises(ValueError, match=f"The loss '{loss_type}' needs `{missing}`: .*{remedy}"):
        resolved(inputs)


def test_a_loss_of_ones_own_sees_tokens_and_has_options(config: Config) -> None:
    seen: list[Any] = []

    @token_loss(needs=["entropy", "tree"])
    def mine(inputs: LossInputs, config: RRTFConfig, *, power: float = 2.0, names: Any = ()) -> LossOutput:
        seen.append((inputs, config, power, names))
        return with_imitation(inputs.group_sums(inputs.logps) ** power, inputs, config)

    register_loss(mine)
    args = config(loss_type="mine", loss_kwargs='{"power": 3, "names": ["a"]}')
    assert args.loss_kwargs == {"power": 3, "names": ["a"]}
    inputs = dataclasses.replace(as_inputs(random_groups(0)), entropy=torch.ones(1))
    resolved = resolve_loss(args)
    assert set(resolved.needs) == {"entropy", "tree"}
    output = resolved(inputs)
    assert seen == [(inputs, args, 3, ["a"])]
    torch.testing.assert_close(output.rank_loss, inputs.group_sums(inputs.logps) ** 3)
    assert resolve_loss(config(loss_type="mine"))(inputs).rank_loss.min() > 0  # squares


def test_a_loss_of_sums_gets_what_it_got(config: Config) -> None:
    seen: list[Any] = []

    def mine(
        logps: Tensor, lengths: Tensor, scores: Tensor, group_ids: Tensor, config: RRTFConfig, from_teacher: Tensor
    ) -> LossOutput:
        seen.extend([logps, lengths, scores, group_ids, config, from_teacher])
        return LossOutput(torch.ones(6), torch.zeros(6), torch.zeros(0))

    register_loss(mine)
    inputs, args = as_inputs(random_groups(0)), config(loss_type="mine")
    resolved = resolve_loss(args)
    assert resolved.needs == ()
    assert resolved(inputs).rank_loss.tolist() == [1] * 6
    assert seen[4] is args
    expected = (inputs.logps, inputs.lengths, inputs.scores, inputs.group_ids, None, inputs.from_teacher)
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True) if b is not None)


def test_terms_that_are_not_of_groups_are_refused(config: Config) -> None:
    @token_loss()
    def mine(inputs: LossInputs, config: RRTFConfig) -> LossOutput:
        return LossOutput(torch.zeros(6), inputs.logps.mean(), torch.zeros(0))

    register_loss(mine)
    with pytest.raises(ValueError, match=r"'mine' returned `sft_loss` of shape \(\) for 6 groups; .* shape \(6,\)"):
        resolve_loss(config(loss_type="mine"))(as_inputs(random_groups(0)))


def test_a_need_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="can need reference_logps, sampling_logps, tree, entropy, not logits"):
        token_loss(needs=("tree", "logits"))


def test_a_marked_loss_of_other_arguments_is_refused_at_once(config: Config) -> None:
    register_loss(token_loss()(lambda inputs: nothing(inputs)))
    with pytest.raises(TypeError, match=r"'mine' cannot be called as \(inputs, config\)"):
        config(loss_type="mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"loss_type": "dpo_pl", "loss_kwargs": {"bta": 0.1}},
            "'bta', which is no option of the loss 'dpo_pl': it has beta.",
        ),
        ({"loss_type": "simpo", "loss_kwargs": {"tau": 1}}, "'simpo': it has beta, gamma."),
        ({"loss_kwargs": '{"beta": 0.1}'}, "has 'beta', which is no option of the loss 'rrtf': it has none."),
        ({"loss_type": "tree_credit", "loss_kwargs": {"inputs": 1}}, "'tree_credit': it has none."),
        ({"loss_type": "lipo", "loss_kwargs": "beta"}, "must be a dict, as JSON {\"beta\": 0.1}, got 'beta'"),
    ],
)
def test_options_that_a_loss_has_not_are_refused(config: Config, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        config(**options)


def test_an_option_without_default_must_be_set(config: Config) -> None:
    @token_loss()
    def mine(inputs: LossInputs, config: RRTFConfig, *, beta: float) -> LossOutput:
        return nothing(inputs)

    register_loss(mine)
    with pytest.raises(ValueError, match="The loss 'mine' needs its option 'beta': set it in `loss_kwargs`"):
        config(loss_type="mine")
    assert config(loss_type="mine", loss_kwargs={"beta": 0.1}).loss_kwargs == {"beta": 0.1}

"""The off-policy losses against loops over responses and tokens, with gradients worked out by hand where they stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from rrtf_trl import RRTFConfig
from rrtf_trl.training import LossOutput
from rrtf_trl.training.losses import LossInputs, resolve_loss
from support.loss_batches import PASSED, Answer, Group, as_inputs, assert_is, assert_values, random_groups

Config = Callable[..., RRTFConfig]
LENGTHS = pytest.mark.parametrize("length_normalization", [True, False])
SEEDS = pytest.mark.parametrize("seed", [0, 1])


def run(inputs: LossInputs, config: RRTFConfig) -> LossOutput:
    return resolve_loss(config)(inputs)


def share(group: Group) -> float:
    return sum(one.score >= PASSED for one in group) / len(group)


def scale(one: Answer, config: RRTFConfig) -> int:
    return one.length if config.length_normalization else 1


@LENGTHS
@SEEDS
@pytest.mark.parametrize("min_score", ["rank_min_score", "sft_min_score"])
def test_asymre(config: Config, seed: int, length_normalization: bool, min_score: str) -> None:
    groups = random_groups(seed)
    args = config(
        loss_type="asymre",
        loss_kwargs={"delta": -0.2},
        length_normalization=length_normalization,
        **{min_score: PASSED},
    )

    def expected(group: Group) -> float:
        baseline = share(group) - 0.2
        terms = [-((one.score >= PASSED) - baseline) * sum(one.logps) / scale(one, args) for one in group]
        return sum(terms) / len(group)

    inputs = as_inputs(groups)
    assert_is(inputs, run(inputs, args).rank_loss, groups, expected)


@pytest.mark.parametrize("options", [{}, {"rank_min_score": -math.inf}])
def test_where_it_is_not_known_what_passes_asymre_takes_the_scores(config: Config, options: dict[str, Any]) -> None:
    groups = random_groups(0)

    def expected(group: Group) -> float:
        baseline = sum(one.score for one in group) / len(group) - 0.1
        return sum(-(one.score - baseline) * sum(one.logps) / one.length for one in group) / len(group)

    inputs = as_inputs(groups)
    assert_is(inputs, run(inputs, config(loss_type="asymre", **options)).rank_loss, groups, expected)


@LENGTHS
@SEEDS
@pytest.mark.parametrize("baseline", [0.0, 0.3])
def test_topr(config: Config, seed: int, length_normalization: bool, baseline: float) -> None:
    groups = random_groups(seed)
    groups[0][0] = replace(groups[0][0], score=0.0, sampling=[math.nan] * len(groups[0][0].logps))  # not recorded
    groups[1][0] = replace(groups[1][0], sampling=[math.nan] * len(groups[1][0].logps))  # nor here, but this passes
    args = config(
        loss_type="topr",
        loss_kwargs={"baseline": baseline},
        rank_min_score=PASSED,
        length_normalization=length_normalization,
    )
    losses, gradients, tapers = [], [], []
    for group in groups:
        loss, by_token = 0.0, []
        for one in group:
            reward = (1 if one.score >= PASSED else -1) - baseline
            weight = 1.0
            if reward < 0:
                ratio = math.exp(sum(one.logps) - sum(one.sampling))
                weight = 0.0 if math.isnan(ratio) else min(1.0, ratio)
                tapers += [] if math.isnan(ratio) else [weight]
            loss -= weight * reward * sum(one.logps) / scale(one, args) / len(group)
            by_token += [-weight * reward / scale(one, args) / len(group)] * len(one.logps)
        losses.append(loss)
        gradients.append(by_token)
    inputs = as_inputs(groups)
    output = run(inputs, args)
    assert_values(inputs, output.rank_loss, losses, gradients)
    assert output.metrics["taper"].tolist() == pytest.approx(tapers)
    assert 0 < sum(weight < 1 for weight in tapers) < len(tapers)


@LENGTHS
@SEEDS
@pytest.mark.parametrize("epsilon", [1.0, 0.1])
def test_nft(config: Config, seed: int, length_normalization: bool, epsilon: float) -> None:
    groups = random_groups(seed)
    args = config(
        loss_type="nft",
        loss_kwargs={"epsilon": epsilon},
        rank_min_score=PASSED,
        length_normalization=length_normalization,
    )
    losses, gradients, clipped = [], [], []
    for group in groups:
        rate, loss, by_token = share(group), 0.0, []
        for one in group:
            weight = (1 - rate) / scale(one, args) / len(group)
            for logp, reference in zip(one.logps, one.reference, strict=True):
                ratio = math.exp(logp - reference)
                if rate in (0, 1):
                    by_token.append(0.0)
                elif one.score >= PASSED:
                    loss -= weight * math.log(ratio)
                    by_token.append(-weight)
                else:
                    proxy = (1 - rate * ratio) / (1 - rate)
                    loss -= weight * math.log(max(proxy, epsilon))
                    by_token.append(weight * rate * ratio / (1 - rate) / max(proxy, epsilon))
                    clipped.append(proxy < epsilon)
        losses.append(loss)
        gradients.append(by_token)
    inputs = as_inputs(groups)
    output = run(inputs, args)
    assert_values(inputs, output.rank_loss, losses, gradients)
    assert output.metrics["clipped"].tolist() == clipped
    assert 0 < sum(clipped) < len(clipped)


def test_nft_bounds_the_ratio_of_a_token(config: Config) -> None:
    failing = Answer([0], [-0.1], [-60.0], [0.0], 0.0)
    passing = Answer([1], [-0.1], [-60.0], [0.0], 1.0)
    inputs = as_inputs([[failing, passing]])
    loss = run(inputs, config(loss_type="nft", rank_min_score=PASSED)).rank_loss
    assert loss.item() == pytest.approx(-0.5 * 10 / 2)
    (gradient,) = torch.autograd.grad(loss.sum(), inputs.token_logps)
    assert gradient.tolist() == [0, 0]


def test_nft_needs_a_floor(config: Config) -> None:
    with pytest.raises(ValueError, match="`epsilon` of the loss 'nft' must be positive, got 0"):
        run(as_inputs(random_groups(0)), config(loss_type="nft", rank_min_score=PASSED, loss_kwargs={"epsilon": 0}))


@SEEDS
def test_real(config: Config, seed: int) -> None:
    groups = random_groups(seed)
    args = config(loss_type="real", loss_kwargs={"tau": 0.4}, rank_min_score=PASSED)

    def expected(group: Group) -> float:
        if share(group) in (0, 1):
            return 0.0
        sums = {True: 1.0, False: 1.0}
        for one in group:
            mean = sum(one.logps) / one.length - sum(one.reference) / one.length
            passes = one.score >= PASSED
            sums[passes] += math.exp((-mean if passes else mean) / 0.4)
        return math.log(sums[True]) + math.log(sums[False])

    inputs = as_inputs(groups)
    assert_is(inputs, run(inputs, args).rank_loss, groups, expected)


def test_real_does_not_overflow(config: Config) -> None:
    group = [Answer([0], [-0.1], [-900.0], [0.0], 0.0), Answer([1], [-900.0], [-0.1], [0.0], 1.0)]
    loss = run(as_inputs([group]), config(loss_type="real", rank_min_score=PASSED)).rank_loss
    assert loss.item() == pytest.approx(2 * 899.9 / 0.5)


@pytest.mark.parametrize("loss_type", ["topr", "nft", "real"])
def test_what_passes_must_be_known(config: Config, loss_type: str) -> None:
    for options in ({}, {"rank_min_score": -math.inf}):
        with pytest.raises(ValueError, match=f"'{loss_type}' learns from which responses pass: set `rank_min_score`"):
            resolve_loss(config(loss_type=loss_type, **options))

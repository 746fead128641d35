"""The losses of preference learning against loops over responses, and against TRL's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rrtf_trl import RRTFConfig
from rrtf_trl.training import LossOutput
from rrtf_trl.training.losses import LossInputs, resolve_loss
from support.loss_batches import Answer, Group, as_inputs, assert_is, random_groups

Config = Callable[..., RRTFConfig]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def run(inputs: LossInputs, config: RRTFConfig) -> LossOutput:
    return resolve_loss(config)(inputs)


def pairs(group: Group, config: RRTFConfig) -> list[tuple[Answer, Answer]]:
    best = max(one.score for one in group)
    return [
        (better, worse)
        for better, worse in itertools.product(group, group)
        if better.score > worse.score
        and (config.rank_min_score is None or better.score >= config.rank_min_score)
        and (config.pairs != "best_vs_rest" or better.score == best)
    ]


def reduced(terms: list[float], config: RRTFConfig) -> float:
    return sum(terms) / max(len(terms), 1) if config.pair_reduction == "mean" else sum(terms)


def against_reference(one: Answer, beta: float) -> float:
    return beta * sum(logp - reference for logp, reference in zip(one.logps, one.reference, strict=True))


# -- Each loss of a group, from its definition -----------------------------------------------------------


def list_mle(group: Group, config: RRTFConfig, value: Callable[[Answer], float]) -> float:
    total = 0.0
    for first in group:
        if config.rank_min_score is None or first.score >= config.rank_min_score:
            left = [value(other) for other in group if other.score < first.score]
            total -= math.log(math.exp(value(first)) / sum(map(math.exp, [value(first), *left])))
    return total


def lipo(group: Group, config: RRTFConfig, beta: float) -> float:
    order = sorted(group, key=lambda one: -against_reference(one, beta))
    terms = []
    for better, worse in pairs(group, config):
        ranks = [1 + next(i for i, one in enumerate(order) if one is found) for found in (better, worse)]
        change = abs(1 / math.log(1 + ranks[0]) - 1 / math.log(1 + ranks[1]))
        weight = abs((2**better.score - 1) - (2**worse.score - 1)) * change
        margin = against_reference(better, beta) - against_reference(worse, beta)
        terms.append(weight * math.log(1 + math.exp(-margin)))
    return reduced(terms, config)


def simpo(group: Group, config: RRTFConfig, beta: float, gamma: float) -> float:
    def reward(one: Answer) -> float:
        return beta / one.length * sum(one.logps)

    terms = [-math.log(sigmoid(reward(better) - reward(worse) - gamma)) for better, worse in pairs(group, config)]
    return reduced(terms, config)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"rank_min_score": 0.5, "pair_reduction": "sum"},
    {"pairs": "best_vs_rest", "length_normalization": False},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_list_mle_and_dpo_are_likelihoods_of_draws(config: Config, options: dict[str, Any], seed: int) -> None:
    groups = random_groups(seed)
    args = config(loss_type="list_mle", **options)
    inputs = as_inputs(groups)
    assert_is(
        inputs,
        run(inputs, args).rank_loss,
        groups,
        lambda group: list_mle(
            group, args, lambda one: sum(one.logps) / (one.length if args.length_normalization else 1)
        ),
    )
    dpo = config(loss_type="dpo_pl", loss_kwargs={"beta": 0.3}, **options)
    found = run(inputs, dpo).rank_loss
    assert_is(inputs, found, groups, lambda group: list_mle(group, dpo, lambda one: against_reference(one, 0.3)))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_lipo_weights_pairs_by_the_change_of_dcg(config: Config, options: dict[str, Any], seed: int) -> None:
    groups = random_groups(seed)
    args = config(loss_type="lipo", loss_kwargs={"beta": 0.2}, **options)
    inputs = as_inputs(groups)
    assert_is(inputs, run(inputs, args).rank_loss, groups, lambda group: lipo(group, args, 0.2))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_simpo_asks_for_a_margin_between_means(config: Config, options: dict[str, Any], seed: int) -> None:
    groups = random_groups(seed)
    args = config(loss_type="simpo", loss_kwargs={"beta": 1.5, "gamma": 0.7}, **options)
    inputs = as_inputs(groups)
    assert_is(inputs, run(inputs, args).rank_loss, groups, lambda group: simpo(group, args, 1.5, 0.7))


# -- The whole distribution over orders ------------------------------------------------------------------


@pytest.mark.parametrize("loss_type", ["list_mle", "dpo_pl"])
def test_orders_of_different_scores_are_as_likely_as_drawing_first_places(config: Config, loss_type: str) -> None:
    group = random_groups(3)[5]
    args = config(loss_type=loss_type)
    losses = []
    for order in itertools.permutations(range(4)):
        scored = [Answer(**{**vars(one), "score": float(-order[i])}) for i, one in enumerate(group)]
        losses.append(run(as_inputs([scored]), args).rank_loss.item())
    assert sum(math.exp(-loss) for loss in losses) == pytest.approx(1)
    assert len({round(loss, 6) for loss in losses}) == 24


def test_equal_scores_are_not_compared(config: Config) -> None:
    group = [Answer(**{**vars(one), "score": 1.0}) for one in random_groups(0)[0]]
    inputs = as_inputs([group])
    for loss_type in ("list_mle", "lipo", "dpo_pl", "simpo"):
        output = run(inputs, config(loss_type=loss_type))
        assert output.rank_loss.tolist() == [0]
        assert len(output.margins) == 0


def test_before_the_first_step_lipo_ranks_in_the_order_of_the_responses(config: Config) -> None:
    group = [Answer([0], [-1.0], [-1.0], [-1.0], score) for score in (0.0, 1.0, 0.5)]
    found = run(as_inputs([group]), config(loss_type="lipo", pair_reduction="sum")).rank_loss
    places = [1 / math.log(2), 1 / math.log(3), 1 / math.log(4)]
    gains = [1.0, 2.0, math.sqrt(2)]
    expected = sum(abs(gains[i] - gains[j]) * abs(places[i] - places[j]) for i, j in ((1, 0), (2, 0), (1, 2)))
    assert found.item() == pytest.approx(expected * math.log(2))


# -- TRL -------------------------------------------------------------------------------------------------


def test_simpo_of_two_is_that_of_trl(config: Config) -> None:
    cpo = pytest.importorskip("trl.experimental.cpo")
    groups = [group[:2] for group in random_groups(0) if group[0].score > group[1].score]
    assert len(groups) >= 2
    means = torch.tensor([[sum(one.logps) / one.length for one in group] for group in groups], dtype=torch.float64)
    theirs = SimpleNamespace(
        alpha=0.0, beta=2.5, simpo_gamma=1.2, label_smoothing=0.0, loss_type="simpo",
        accelerator=SimpleNamespace(device="cpu"),
    )  # fmt: skip
    expected = cpo.CPOTrainer.cpo_loss(theirs, means[:, 0], means[:, 1])[0]
    args = config(loss_type="simpo", loss_kwargs={"beta": 2.5, "gamma": 1.2})
    torch.testing.assert_close(run(as_inputs(groups), args).rank_loss.detach(), expected)

"""The tree of shared beginnings, and credit for tokens, against comparisons of every two responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rrtf_trl import RRTFConfig
from rrtf_trl.training.losses import prefix_tree, resolve_loss
from support.loss_batches import PASSED, Answer, Group, answer, as_inputs, assert_is, random_groups

Config = Callable[..., RRTFConfig]


def share(group: Group, beginning: list[int], value: Callable[[Answer], float]) -> float:
    """The mean over the responses that begin so."""
    values = [value(one) for one in group if one.ids[: len(beginning)] == beginning]
    return sum(values) / len(values)


def credit(group: Group, value: Callable[[Answer], float], by_length: bool = True) -> float:
    loss = 0.0
    for one in group:
        for token, logp in enumerate(one.logps, start=one.unscored):
            gain = share(group, one.ids[: token + 1], value) - share(group, one.ids[:token], value)
            loss -= gain * logp / (one.length if by_length else 1) / len(group)
    return loss


def with_unscored(seed: int) -> list[Group]:
    """Groups where some responses are scored only from their third token on."""
    import random

    draw = random.Random(seed)
    return [
        *random_groups(seed),
        [answer(draw, float(n % 2), 4, unscored=draw.choice([0, 2])) for n in range(9)],
    ]


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"rank_min_score": PASSED}, lambda one: float(one.score >= PASSED)),
        ({"sft_min_score": PASSED, "length_normalization": False}, lambda one: float(one.score >= PASSED)),
        ({}, lambda one: one.score),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_a_token_is_credited_with_what_it_changes(
    config: Config, options: dict[str, Any], value: Callable[[Answer], float], seed: int
) -> None:
    groups = with_unscored(seed)
    args = config(loss_type="tree_credit", **options)
    inputs = as_inputs(groups)
    by_length = args.length_normalization
    found = resolve_loss(args)(inputs).rank_loss
    assert_is(inputs, found, groups, lambda group: credit(group, value, by_length))


def test_what_a_failing_and_a_passing_response_share_is_not_punished(config: Config) -> None:
    logps = [-1.0, -1.0, -1.0]
    group = [Answer([7, 1, 5], logps, logps, logps, 1.0), Answer([7, 2, 5], logps, logps, logps, 0.0)]
    inputs = as_inputs([group])
    loss = resolve_loss(config(loss_type="tree_credit", rank_min_score=PASSED))(inputs).rank_loss
    (gradient,) = torch.autograd.grad(loss.sum(), inputs.token_logps)
    torch.testing.assert_close(gradient * 2 * 3, torch.tensor([0, -0.5, 0, 0, 0.5, 0], dtype=torch.float64))


# -- The tree --------------------------------------------------------------------------------------------


def test_tree_by_hand() -> None:
    # Group 0:  3 - 6        Group 1: nothing, and 3
    #             - 5 - 5
    tree = prefix_tree([[[3, 6], [3, 5, 5], [3]], [[], [3]]], [[0, 1, 0], [0, 0]])
    assert tree.nodes.tolist() == [0, 3, 1, 2, 0, 4]
    assert tree.parents.tolist() == [-1, 0, 1, 0, -1]
    assert tree.node_groups.tolist() == [0, 0, 0, 0, 1]
    values = torch.tensor([1.0, 2.0, 6.0, 10.0, 20.0])
    assert tree.means(values).tolist() == [3, 2, 2, 1, 20]
    assert tree.gains(values, torch.tensor([3.0, 15.0])).tolist() == [0, -1, 0, -2, 5]


@pytest.mark.parametrize("seed", range(4))
def test_two_tokens_are_one_node_if_and_only_if_the_same_precedes_them(seed: int) -> None:
    groups = with_unscored(seed)
    inputs = as_inputs(groups)
    assert inputs.tree is not None
    beginnings = [
        (number, *one.ids[: token + 1])
        for number, group in enumerate(groups)
        for one in group
        for token in range(one.unscored, len(one.ids))
    ]
    nodes = inputs.tree.nodes.tolist()
    assert len(set(nodes)) < len(nodes)
    assert len(beginnings) == len(nodes)
    assert len(set(zip(nodes, beginnings, strict=True))) == len(set(nodes)) == len(set(beginnings))
    assert [inputs.tree.node_groups[node] for node in nodes] == [beginning[0] for beginning in beginnings]


def test_a_tree_moves_to_a_device() -> None:
    moved = as_inputs(random_groups(0)).tree.to("meta")
    assert moved.nodes.device.type == moved.path_responses.device.type == "meta"

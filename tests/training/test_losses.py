"""The losses against numbers worked out by hand and against a reference that takes one pair at a time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rrtf_trl import RRTFConfig
from rrtf_trl.training import LossOutput, rrtf_loss
from rrtf_trl.training.losses import best_responses, least_score, ordered_pairs

Config = Callable[..., RRTFConfig]

# Two groups, of 3 and 4 responses. The second group's best two are tied, as are its worst two.
#
#   group      0     0     0      1     1      1     1
#   p       -2.0  -3.0  -0.5   -2.0  -1.75  -2.5  -1.5     (logps / lengths)
#
#   pair      margin   margin of sums   weight   teacher-student   best-rest
#   0 > 1      1.0           5.0         0.5                           x
#   0 > 2     -1.5          -2.0         1.0                           x
#   1 > 2     -2.5          -7.0         0.5            x
#   3 > 5      0.5          -1.0         0.75                          x
#   3 > 6     -0.5          -3.0         0.75                          x
#   4 > 5      0.75         -2.0         0.75           x              x
#   4 > 6     -0.25         -4.0         0.75           x              x
LOGPS = torch.tensor([-4.0, -9.0, -2.0, -6.0, -7.0, -5.0, -3.0], dtype=torch.float64)
LENGTHS = torch.tensor([2, 3, 4, 3, 4, 2, 2])
SCORES = torch.tensor([1.0, 0.5, 0.0, 0.75, 0.75, 0.0, 0.0], dtype=torch.float64)
GROUPS = torch.tensor([0, 0, 0, 1, 1, 1, 1])
TEACHER = torch.tensor([False, True, False, False, True, False, False])


def by_hand(config: RRTFConfig) -> LossOutput:
    return rrtf_loss(LOGPS, LENGTHS, SCORES, GROUPS, config, from_teacher=TEACHER)


def exactly(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("pairs", "pair_reduction", "score_weighting", "expected"),
    [
        ("all", "sum", True, (2.75, 0.5625)),
        ("all", "mean", True, (2.75 / 3, 0.140625)),
        ("all", "sum", False, (4.0, 0.75)),
        ("all", "mean", False, (4.0 / 3, 0.1875)),
        ("best_vs_rest", "sum", True, (1.5, 0.5625)),
        ("best_vs_rest", "mean", True, (0.75, 0.140625)),
        ("best_vs_rest", "sum", False, (1.5, 0.75)),
        ("best_vs_rest", "mean", False, (0.75, 0.1875)),
        ("teacher_student", "sum", True, (1.25, 0.1875)),
        ("teacher_student", "mean", True, (1.25, 0.09375)),
        ("teacher_student", "sum", False, (2.5, 0.25)),
        ("teacher_student", "mean", False, (2.5, 0.125)),
    ],
)
def test_rank_loss_by_hand(
    config: Config, pairs: str, pair_reduction: str, score_weighting: bool, expected: tuple[float, float]
) -> None:
    options = config(pairs=pairs, pair_reduction=pair_reduction, score_weighting=score_weighting)
    torch.testing.assert_close(by_hand(options).rank_loss, exactly(*expected))


@pytest.mark.parametrize(
    ("rank_min_score", "pair_reduction", "expected"),
    [
        (0.5, "sum", (2.75, 0.5625)),
        (0.75, "sum", (1.5, 0.5625)),
        (0.75, "mean", (0.75, 0.140625)),
        (1.0, "sum", (1.5, 0.0)),
        (1.0, "mean", (0.75, 0.0)),
        (1.01, "mean", (0.0, 0.0)),
    ],
)
def test_rank_loss_of_pairs_whose_better_response_is_good_enough_by_hand(
    config: Config, rank_min_score: float, pair_reduction: str, expected: tuple[float, float]
) -> None:
    options = config(rank_min_score=rank_min_score, pair_reduction=pair_reduction)
    torch.testing.assert_close(by_hand(options).rank_loss, exactly(*expected))


@pytest.mark.parametrize(
    ("pair_reduction", "score_weighting", "expected"),
    [
        ("sum", True, (5.5, 7.5)),
        ("mean", True, (5.5 / 3, 1.875)),
        ("sum", False, (9.0, 10.0)),
        ("mean", False, (3.0, 2.5)),
    ],
)
def test_rank_loss_of_unnormalised_sums_by_hand(
    config: Config, pair_reduction: str, score_weighting: bool, expected: tuple[float, float]
) -> None:
    options = config(length_normalization=False, pair_reduction=pair_reduction, score_weighting=score_weighting)
    torch.testing.assert_close(by_hand(options).rank_loss, exactly(*expected))


@pytest.mark.parametrize(("pair_reduction", "expected"), [("sum", (4.0, 0.75)), ("mean", (4.0 / 3, 0.1875))])
@pytest.mark.parametrize("score_weighting", [True, False])
def test_rrhf_weighs_every_pair_by_one(
    config: Config, score_weighting: bool, pair_reduction: str, expected: tuple[float, float]
) -> None:
    options = config(loss_type="rrhf", score_weighting=score_weighting, pair_reduction=pair_reduction)
    torch.testing.assert_close(by_hand(options).rank_loss, exactly(*expected))


@pytest.mark.parametrize("loss_type", ["rrtf", "rrhf"])
@pytest.mark.parametrize(
    ("sft_reduction", "sft_min_score", "expected"),
    [
        ("sum", None, (4.0, 7.0)),
        ("mean", None, (2.0, 1.75)),
        ("sum", 0.75, (4.0, 7.0)),
        ("sum", 1.0, (4.0, 0.0)),
        ("mean", 1.0, (2.0, 0.0)),
        ("mean", 1.01, (0.0, 0.0)),
    ],
)
def test_sft_loss_by_hand(
    config: Config,
    loss_type: str,
    sft_reduction: str,
    sft_min_score: float | None,
    expected: tuple[float, float],
) -> None:
    options = config(loss_type=loss_type, sft_reduction=sft_reduction, sft_min_score=sft_min_score)
    torch.testing.assert_close(by_hand(options).sft_loss, exactly(*expected))


@pytest.mark.parametrize(
    ("sft_reduction", "sft_min_score", "expected"),
    [
        ("sum", 0.5, ((4.0 + 9.0) / 2, (6.0 + 7.0) / 2)),
        ("mean", 0.5, ((2.0 + 3.0) / 2, (2.0 + 1.75) / 2)),
        ("mean", 0.0, ((2.0 + 3.0 + 0.5) / 3, (2.0 + 1.75 + 2.5 + 1.5) / 4)),
        ("mean", 1.0, (2.0, 0.0)),
        ("mean", 1.01, (0.0, 0.0)),
    ],
)
def test_all_good_responses_imitated_by_hand(
    config: Config, sft_reduction: str, sft_min_score: float, expected: tuple[float, float]
) -> None:
    options = config(sft_responses="all", sft_reduction=sft_reduction, sft_min_score=sft_min_score)
    torch.testing.assert_close(by_hand(options).sft_loss, exactly(*expected))


def test_length_normalization_leaves_the_sft_loss_alone(config: Config) -> None:
    options = config(length_normalization=False, sft_reduction="sum")
    torch.testing.assert_close(by_hand(options).sft_loss, exactly(4.0, 7.0))


def test_without_sources_the_first_of_the_best_is_imitated(config: Config) -> None:
    loss = rrtf_loss(LOGPS, LENGTHS, SCORES, GROUPS, config(sft_reduction="sum"))
    torch.testing.assert_close(loss.sft_loss, exactly(4.0, 6.0))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (1.0, -1.5, -2.5, 0.5, -0.5, 0.75, -0.25)),
        ({"pairs": "best_vs_rest"}, (1.0, -1.5, 0.5, -0.5, 0.75, -0.25)),
        ({"pairs": "teacher_student"}, (-2.5, 0.75, -0.25)),
        ({"length_normalization": False}, (5.0, -2.0, -7.0, -1.0, -3.0, -2.0, -4.0)),
    ],
)
def test_margins_by_hand(config: Config, options: dict[str, Any], expected: tuple[float, ...]) -> None:
    torch.testing.assert_close(by_hand(config(**options)).margins, exactly(*expected))


def test_gradients_by_hand(config: Config) -> None:
    logps = LOGPS.clone().requires_grad_()
    rank_loss = rrtf_loss(logps, LENGTHS, SCORES, GROUPS, config(pair_reduction="sum")).rank_loss
    rank_loss.sum().backward()
    # Active are 0 > 2, 1 > 2, 3 > 6 and 4 > 6. Each pulls its better response up by weight / length.
    torch.testing.assert_close(logps.grad, exactly(-1.0 / 2, -0.5 / 3, 1.5 / 4, -0.75 / 3, -0.75 / 4, 0.0, 1.5 / 2))


def test_margins_carry_no_gradient(config: Config) -> None:
    loss = rrtf_loss(LOGPS.clone().requires_grad_(), LENGTHS, SCORES, GROUPS, config())
    assert loss.rank_loss.requires_grad
    assert not loss.margins.requires_grad


# -- Against a reference that takes one pair at a time ---------------------------------------------------


def reference(
    logps: Tensor,
    lengths: list[int],
    scores: list[float],
    groups: list[int],
    teacher: list[bool],
    config: RRTFConfig,
) -> tuple[list[Tensor], list[Tensor]]:
    """Every group's ranking and imitation term, straight from the definitions."""
    rank_losses, sft_losses = [], []
    for group in range(max(groups) + 1):
        members = [i for i, g in enumerate(groups) if g == group]
        highest = max(scores[i] for i in members)
        terms = []
        for i, j in itertools.permutations(members, 2):
            if not scores[i] > scores[j]:
                continue
            if config.rank_min_score is not None and scores[i] < config.rank_min_score:
                continue
            if config.pairs == "best_vs_rest" and scores[i] != highest:
                continue
            if config.pairs == "teacher_student" and not (teacher[i] and not teacher[j]):
                continue
            p_i = logps[i] / lengths[i] if config.length_normalization else logps[i]
            p_j = logps[j] / lengths[j] if config.length_normalization else logps[j]
            weight = scores[i] - scores[j] if config.loss_type == "rrtf" and config.score_weighting else 1.0
            terms.append(weight * (p_j - p_i) if p_i < p_j else 0.0 * p_i)
        total = sum(terms, torch.zeros((), dtype=torch.float64))
        rank_losses.append(total / len(terms) if terms and config.pair_reduction == "mean" else total)

        tops = [i for i in members if scores[i] == highest]
        imitated = [next((i for i in tops if teacher[i]), tops[0])] if config.sft_responses == "best" else members
        if config.sft_min_score is not None:
            imitated = [i for i in imitated if scores[i] >= config.sft_min_score]
        nlls = [-logps[i] / (lengths[i] if config.sft_reduction == "mean" else 1) for i in imitated]
        sft_losses.append(sum(nlls, torch.zeros((), dtype=torch.float64)) / max(len(nlls), 1))
    return rank_losses, sft_losses


OPTIONS = [
    dict(zip(("pairs", "pair_reduction", "score_weighting", "length_normalization"), values, strict=True))
    for values in itertools.product(
        ("all", "best_vs_rest", "teacher_student"), ("mean", "sum"), (True, False), (True, False)
    )
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss_type", ["rrtf", "rrhf"])
def test_values_and_gradients_equal_the_reference_on_random_ragged_batches(
    config: Config, loss_type: str, seed: int
) -> None:
    draw = random.Random(seed)
    sizes = [draw.randint(2, 16) for _ in range(5)]
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    lengths = [draw.randint(1, 40) for _ in groups]
    values = [-draw.uniform(0.5, 3.0) * length for length in lengths]
    scores = [draw.choice([-1.0, -0.6, -0.3, 0.2, 1.0]) for _ in groups]  # many ties
    teacher = [draw.random() < 0.4 for _ in groups]
    for i, options in enumerate(OPTIONS):
        args = config(
            loss_type=loss_type,
            sft_reduction=("mean", "sum")[i % 2],
            sft_min_score=(None, 0.5, -0.3)[i % 3],
            rank_min_score=(None, 0.2, -0.6, None, -0.3)[i % 5],
            sft_responses="all" if i % 3 and i % 4 < 2 else "best",
            **options,
        )
        ours = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        theirs = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        loss = rrtf_loss(
            ours,
            torch.tensor(lengths),
            torch.tensor(scores, dtype=torch.float64),
            torch.tensor(groups),
            args,
            from_teacher=torch.tensor(teacher),
        )
        rank, sft = (torch.stack(terms) for terms in reference(theirs, lengths, scores, groups, teacher, args))
        torch.testing.assert_close(loss.rank_loss, rank)
        torch.testing.assert_close(loss.sft_loss, sft)
        (loss.rank_loss.sum() + loss.sft_loss.sum()).backward()
        (rank.sum() + sft.sum()).backward()
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("pair_reduction", ["mean", "sum"])
def test_two_responses_unweighted_is_the_margin_ranking_loss_of_torch(config: Config, pair_reduction: str) -> None:
    draw = torch.Generator().manual_seed(0)
    logps = -torch.rand(64, dtype=torch.float64, generator=draw) * 50
    lengths = torch.randint(1, 30, (64,), generator=draw)
    scores = torch.tensor([1.0, 0.0] * 32, dtype=torch.float64)
    groups = torch.arange(32).repeat_interleave(2)
    loss = rrtf_loss(logps, lengths, scores, groups, config(score_weighting=False, pair_reduction=pair_reduction))
    winners, losers = (logps / lengths)[0::2], (logps / lengths)[1::2]
    expected = torch.nn.functional.margin_ranking_loss(
        winners, losers, torch.ones(32, dtype=torch.float64), margin=0.0, reduction="none"
    )
    assert 5 < (expected > 0).sum() < 27
    torch.testing.assert_close(loss.rank_loss, expected)


@pytest.mark.parametrize("pairs", ["all", "best_vs_rest", "teacher_student"])
@pytest.mark.parametrize("pair_reduction", ["mean", "sum"])
def test_a_group_of_equal_scores_has_rank_loss_zero_and_finite_gradients(
    config: Config, pairs: str, pair_reduction: str
) -> None:
    logps = LOGPS.clone().requires_grad_()
    scores = torch.where(GROUPS == 0, 0.5, SCORES)
    loss = rrtf_loss(
        logps,
        LENGTHS,
        scores,
        GROUPS,
        config(pairs=pairs, pair_reduction=pair_reduction),
        from_teacher=TEACHER,
    )
    loss.rank_loss.sum().backward()
    assert loss.rank_loss[0] == 0
    assert loss.rank_loss[1] > 0
    assert logps.grad is not None
    assert logps.grad[:3].tolist() == [0.0, 0.0, 0.0]
    assert logps.grad.isfinite().all()


def test_a_batch_without_any_pair_still_imitates(config: Config) -> None:
    logps = LOGPS.clone().requires_grad_()
    loss = rrtf_loss(logps, LENGTHS, torch.zeros(7, dtype=torch.float64), GROUPS, config(sft_reduction="sum"))
    (loss.rank_loss + loss.sft_loss).sum().backward()
    assert loss.rank_loss.tolist() == [0.0, 0.0]
    assert loss.margins.numel() == 0
    torch.testing.assert_close(logps.grad, exactly(-1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0))


def test_equal_likelihoods_give_no_loss_and_count_as_not_ranked(config: Config) -> None:
    loss = rrtf_loss(exactly(-2.0, -4.0), torch.tensor([1, 2]), exactly(1.0, 0.0), torch.tensor([0, 0]), config())
    assert loss.rank_loss.tolist() == [0.0]
    assert loss.margins.tolist() == [0.0]


# -- Pairs and the response to imitate -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("all", [(0, 1), (0, 2), (1, 2), (3, 5), (3, 6), (4, 5), (4, 6)]),
        ("best_vs_rest", [(0, 1), (0, 2), (3, 5), (3, 6), (4, 5), (4, 6)]),
        ("teacher_student", [(1, 2), (4, 5), (4, 6)]),
    ],
)
def test_pairs_stay_within_groups_and_leave_ties_out(pairs: str, expected: list[tuple[int, int]]) -> None:
    better, worse = ordered_pairs(SCORES, GROUPS, pairs, TEACHER)
    assert list(zip(better.tolist(), worse.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"sft_min_score": 1.0}, None),  # the others are ranked
        ({"rank_min_score": 1.0}, None),  # the others' best is imitated
        ({"sft_min_score": 1.0, "rank_min_score": 0.5}, 0.5),
        ({"sft_min_score": 1.0, "rank_weight": 0.0}, 1.0),
        ({"rank_min_score": 0.5, "sft_weight": 0.0}, 0.5),
    ],
)
def test_a_group_below_the_least_score_has_no_loss_and_one_at_it_has(
    config: Config, options: dict[str, float], expected: float | None
) -> None:
    args = config(**options)
    assert least_score(args) == expected
    for best in (expected, expected - 0.01) if expected is not None else (-5.0,):
        loss = rrtf_loss(
            exactly(-9.0, -1.0), torch.tensor([1, 1]), exactly(best, best - 1), torch.tensor([0, 0]), args
        )
        total = args.rank_weight * loss.rank_loss + args.sft_weight * loss.sft_loss
        assert (float(total[0]) > 0) is (expected is None or best >= expected)


def test_teacher_student_pairs_need_sources() -> None:
    with pytest.raises(ValueError, match="from_teacher"):
        ordered_pairs(SCORES, GROUPS, "teacher_student")


@pytest.mark.parametrize(
    ("scores", "teacher", "expected"),
    [
        ([0.0, 1.0, 0.5], [False, False, False], 1),  # the best score
        ([1.0, 0.0, 1.0], [False, False, False], 0),  # among equals the first
        ([1.0, 1.0, 1.0], [False, True, True], 1),  # among equals the first teacher
        ([1.0, 0.5, 0.5], [False, True, True], 0),  # a better student before a teacher
        ([-2.0, -1.0, -3.0], [True, False, True], 1),  # negative scores
    ],
)
def test_best_response(scores: list[float], teacher: list[bool], expected: int) -> None:
    best = best_responses(torch.tensor(scores), torch.zeros(3, dtype=torch.long), torch.tensor(teacher))
    assert best.tolist() == [expected]


def test_best_response_of_each_group_in_order() -> None:
    assert best_responses(SCORES, GROUPS, TEACHER).tolist() == [0, 4]

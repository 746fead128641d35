"""Evaluation: pass@k and its intervals, benchmarks, and paired comparison of models."""

from rrtf_trl.statistics.pass_at_k import Estimate, mean_interval, paired_gain, pass_at_k

from .compare import Comparison, Overlap, compare, mcnemar
from .failures import Failure, count_failures
from .gain import before_and_after
from .measurement import (
    Evaluation,
    Measured,
    Measurement,
    OutcomeCounts,
    estimate,
    figures,
    sample_row,
)

__all__ = [
    "Comparison",
    "Estimate",
    "Evaluation",
    "Failure",
    "Measured",
    "Measurement",
    "OutcomeCounts",
    "Overlap",
    "before_and_after",
    "compare",
    "count_failures",
    "estimate",
    "figures",
    "mcnemar",
    "mean_interval",
    "paired_gain",
    "pass_at_k",
    "sample_row",
]

"""Evaluation: pass@k and its intervals, benchmarks, and paired comparison of models."""

from .compare import Comparison, Overlap, compare, mcnemar
from .failures import Failure, count_failures
from .gain import before_and_after
from .measure import Evaluation, Measured, Measurement, estimate, figures, measure
from .pass_at_k import Estimate, mean_interval, paired_gain, pass_at_k

__all__ = [
    "Comparison",
    "Estimate",
    "Evaluation",
    "Failure",
    "Measured",
    "Measurement",
    "Overlap",
    "before_and_after",
    "compare",
    "count_failures",
    "estimate",
    "figures",
    "mcnemar",
    "mean_interval",
    "measure",
    "paired_gain",
    "pass_at_k",
]

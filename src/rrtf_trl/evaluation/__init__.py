"""Evaluation: pass@k, its intervals, and paired comparison."""

from .pass_at_k import Estimate, mean_interval, paired_gain, pass_at_k

__all__ = ["Estimate", "mean_interval", "paired_gain", "pass_at_k"]

"""Training problems that are in what a model is measured by: found, told and left out."""

from .finder import BENCHMARKS, KINDS, Decontaminator, Index, Match

__all__ = ["BENCHMARKS", "KINDS", "Decontaminator", "Index", "Match"]

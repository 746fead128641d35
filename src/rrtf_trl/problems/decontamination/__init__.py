"""Find training problems that are in a benchmark."""

from .finder import BENCHMARKS, KINDS, Decontaminator, Index, Match

__all__ = ["BENCHMARKS", "KINDS", "Decontaminator", "Index", "Match"]

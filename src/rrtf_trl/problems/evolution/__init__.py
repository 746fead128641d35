"""Make new problems from old ones: Evol-Instruct with a teacher, and tests that are voted on and measured."""

from .evolve import Evolution
from .generations import Summary, evolve
from .seeds import Seed, read_seeds

__all__ = ["Evolution", "Seed", "Summary", "evolve", "read_seeds"]

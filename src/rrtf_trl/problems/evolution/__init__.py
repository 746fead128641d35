"""New problems out of old ones: Evol-Instruct through a teacher, with tests that are voted on and measured."""

from .evolve import Evolution
from .generations import Summary, evolve
from .seeds import Seed, read_seeds

__all__ = ["Evolution", "Seed", "Summary", "evolve", "read_seeds"]

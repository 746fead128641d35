"""Responses in the manner of real model families, each with the program that it gives.

They are written for these tests: the forms are the families', the words are not.
"""

from .blocks import BLOCKS
from .bodies import BODIES
from .fences import FENCES
from .plain import PLAIN
from .stdio import STDIO
from .tasks import Case, solves
from .thoughts import THOUGHTS

CASES: list[Case] = [*FENCES, *BLOCKS, *STDIO, *BODIES, *PLAIN, *THOUGHTS]

__all__ = ["CASES", "Case", "solves"]

"""A family of small programming exercises, made here: no download, thousands of them, with tests.

Each is a composition of a source, a filter, a map and a reduction::

    \"\"\"Return the sum of the squares of the even numbers in xs.\"\"\"
    def solve(xs):

:func:`exercises` yields them as problems. :func:`documents` yields answers, right and wrong, from which
``scripts/pretrain_policy.py`` makes the small policy that ships with the package. A fifth of the
compositions are held out: the policy has met their parts, constants and phrases, but never together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import get_args

from rrtf_trl.records import CaseTests, Problem, content_hash

from .answers import SLIP_RATE, STYLES, body, slip
from .cases import cases_for
from .composition import Exercise, Split, compositions

__all__ = ["Split", "documents", "exercises"]


def exercises(split: Split, limit: int | None = None, seed: int = 0) -> Iterator[Problem]:
    """Yield problems of a split, no prompt twice, the same ones in the same order for the same seed.

    A smaller ``limit`` yields the beginning of what a larger one yields.

    Args:
        split: ``train`` or ``heldout``.
        limit: How many; ``None`` for one a composition.
        seed: Decides the order, the constants, the phrases and the inputs of the tests. Whether a
            composition is held out does not depend on it.

    Raises:
        ValueError: If the split is unknown or ``limit`` is negative or more than there are compositions.
    """
    if split not in get_args(Split):
        raise ValueError(f"split: expected one of {', '.join(get_args(Split))}, got {split!r}")
    available = len(compositions(split))
    if limit is None:
        limit = available
    if not 0 <= limit <= available:
        raise ValueError(f"limit: the {split} split has 0 to {available} exercises, got {limit}")
    return _exercises(split, limit, seed)


def documents(count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield prompts with an answer each for pre-training: training compositions only, mistakes included.

    Args:
        count: How many.
        seed: Decides everything about them.
    """
    rng = random.Random(f"documents {seed}")
    for _ in range(count):
        exercise = Exercise.draw(rng.choice(compositions("train")), rng)
        answer = body(exercise.drawn_code(rng), exercise.composition.kind, rng.choice(STYLES))
        yield exercise.prompt, slip(answer, rng) if rng.random() < SLIP_RATE else answer


def _exercises(split: Split, limit: int, seed: int) -> Iterator[Problem]:
    rng = random.Random(f"{split} {seed}")
    seen: set[str] = set()
    while True:
        # Some draws are dropped (their answers are too much alike): another round makes up for them.
        for composition in rng.sample(compositions(split), len(compositions(split))):
            if len(seen) == limit:
                return
            exercise = Exercise.draw(composition, rng)
            problem = _problem(exercise, split, rng)
            if problem is not None and exercise.prompt not in seen:
                seen.add(exercise.prompt)
                yield problem


def _problem(exercise: Exercise, split: Split, rng: random.Random) -> Problem | None:
    reference = exercise.prompt + body(exercise.right_code(), exercise.composition.kind, "comprehension")
    tests = cases_for(exercise, reference, rng)
    if tests is None:
        return None
    return Problem(
        task_id=f"exercises/{content_hash(exercise.prompt)}",
        prompt=exercise.prompt,
        tests=CaseTests(cases=tests, atol=1e-6),
        entry_point="solve",
        reference=reference,
        metadata={"split": split, **exercise.composition.names, "constants": _plain(exercise)},
    )


def _plain(exercise: Exercise) -> dict[str, int | str]:
    """Return the constants by role, for the parts that have one."""
    return {role: drawn["k"] for role, drawn in exercise.constants.items() if drawn}

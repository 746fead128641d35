"""A family of small programming exercises, made here: no download, thousands of them, with tests.

Each is a composition of a source, a filter, a map and a reduction (at the harder levels of two maps and
two filters)::

    \"\"\"Return the sum of the squares of the even numbers in xs.\"\"\"
    def solve(xs):

:func:`exercises` yields them as problems. :func:`documents` yields answers, right and wrong, from which
``scripts/pretrain_policy.py`` makes the small policy that ships with the package. A fifth of the
compositions are held out: the policy has met their parts, constants and phrases, but never together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import get_args

from rrtf_trl.records import CaseTests, Problem, content_hash

from .answers import SLIP_RATE, STYLES, body, slip
from .cases import cases_for
from .composition import LEVELS, Composition, Exercise, Level, Split, compositions, draw_composition

__all__ = ["Level", "Split", "documents", "exercises"]


def exercises(split: Split, limit: int | None = None, seed: int = 0, level: Level = 1) -> Iterator[Problem]:
    """Yield problems of a split, no prompt twice, the same ones in the same order for the same seed.

    A smaller ``limit`` yields the beginning of what a larger one yields.

    Args:
        split: ``train`` or ``heldout``.
        limit: How many; ``None`` for one a composition, at level 1.
        seed: Decides the order, the constants, the phrases and the inputs of the tests. Whether a
            composition is held out does not depend on it.
        level: 1; 2 with a second map, applied to what the first gives; or 3 with a second filter as well.

    Raises:
        ValueError: If the split or the level is unknown, or ``limit`` is negative, more than there are
            compositions at level 1, or ``None`` at another.
    """
    if split not in get_args(Split):
        raise ValueError(f"split: expected one of {', '.join(get_args(Split))}, got {split!r}")
    if level not in LEVELS:
        raise ValueError(f"level: expected one of {', '.join(map(str, LEVELS))}, got {level!r}")
    if level > 1:
        if limit is None or limit < 0:
            raise ValueError(f"limit: say how many exercises of the {split} split at level {level}, got {limit}")
        return _exercises(split, limit, seed, level)
    available = len(compositions(split))
    if limit is None:
        limit = available
    if not 0 <= limit <= available:
        raise ValueError(f"limit: the {split} split has 0 to {available} exercises, got {limit}")
    return _exercises(split, limit, seed, level)


def documents(count: int, seed: int = 0, levels: Sequence[Level] = (1,)) -> Iterator[tuple[str, str]]:
    """Yield prompts with an answer each for pre-training: training compositions only, mistakes included.

    Args:
        count: How many.
        seed: Decides everything about them.
        levels: Of which levels, as many of each.
    """
    rng = random.Random(f"documents {seed}")
    for _ in range(count):
        level = levels[0] if len(levels) == 1 else rng.choice(levels)
        exercise = Exercise.draw(draw_composition("train", level, rng), rng)
        answer = body(exercise.drawn_code(rng), exercise.composition.kind, rng.choice(STYLES))
        yield exercise.prompt, slip(answer, rng) if rng.random() < SLIP_RATE else answer


def _exercises(split: Split, limit: int, seed: int, level: Level) -> Iterator[Problem]:
    rng = random.Random(f"{split} {seed}" if level == 1 else f"{split} {seed} {level}")
    seen: set[str] = set()
    drawn = _drawn(split, level, rng)
    while len(seen) < limit:
        exercise = Exercise.draw(next(drawn), rng)
        problem = _problem(exercise, split, rng)  # or None: its answers are too much alike
        if problem is not None and exercise.prompt not in seen:
            seen.add(exercise.prompt)
            yield problem


def _drawn(split: Split, level: Level, rng: random.Random) -> Iterator[Composition]:
    """Yield compositions without end: at level 1 each of them once, and once again, and so on."""
    while level == 1:
        yield from rng.sample(compositions(split), len(compositions(split)))
    while True:
        yield draw_composition(split, level, rng)


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

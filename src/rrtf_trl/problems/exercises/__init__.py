"""A family of thousands of small programming exercises with tests, generated without a download.

Each is a composition of a source, a filter, a map and a reduction (at the harder levels two filters and two maps)::

    \"\"\"Return the sum of the squares of the even numbers in xs.\"\"\"
    def solve(xs):

:func:`exercises` yields them as problems. :func:`documents` yields answers, right and wrong, from which
``scripts/pretrain_policy.py`` makes the small policy that ships with the package. A fifth of the
compositions are held out: the policy was pre-trained on their parts, constants and phrases, but in other combinations.
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
    """Yield problems of a split with different prompts, the same ones in the same order for the same seed.

    A smaller ``limit`` yields the first problems of a larger one.

    Args:
        split: ``train`` or ``heldout``.
        limit: Number of problems; ``None`` for one per composition, at level 1 only.
        seed: Decides the order, the constants, the phrases and the inputs of the tests, but not which compositions are
            held out.
        level: 1; 2 with a second map, applied to the first one's result; or 3 with a second filter too.

    Raises:
        ValueError: If the split or the level is unknown, or ``limit`` is negative, larger than the number of
            compositions at level 1, or ``None`` at another level.
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
    """Yield (prompt, answer) for pre-training: training compositions only, with right and wrong answers.

    Args:
        count: Number of documents.
        seed: Decides all of them.
        levels: The levels, drawn uniformly.
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
        problem = _problem(exercise, split, rng)
        if problem is not None and exercise.prompt not in seen:
            seen.add(exercise.prompt)
            yield problem


def _drawn(split: Split, level: Level, rng: random.Random) -> Iterator[Composition]:
    """Yield compositions without end; at level 1 all of them in random order, again and again."""
    while level == 1:
        yield from rng.sample(compositions(split), len(compositions(split)))
    while True:
        yield draw_composition(split, level, rng)


def _problem(exercise: Exercise, split: Split, rng: random.Random) -> Problem | None:
    """Return an exercise as a problem, or ``None`` if its tests' expected values are too similar."""
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
        metadata={"split": split, **exercise.composition.names, "constants": exercise.k_by_role},
    )

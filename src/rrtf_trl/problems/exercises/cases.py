"""Test cases for an exercise: inputs that distinguish mistakes from the right answer, with expected values."""

from __future__ import annotations

import json
import random
from typing import Any

from .composition import Exercise

MAX_CASES = 13
MIN_DISTINCT = 4
LARGEST_INT = 2**53
"""Not every reader of JSON keeps larger integers exact, so cases that expect one are left out."""

WORDS = [
    "a", "ant", "area", "eat", "eve", "igloo", "is", "it", "Kite", "level", "Moss", "noon", "oar", "orbit",
    "otter", "Pond", "roast", "rose", "Rust", "sister", "sit", "stars", "tea", "tot",
]  # fmt: skip
LONG_ENOUGH = 9
"""Larger than every constant, so that a range of this length has numbers below and above it."""


def cases_for(exercise: Exercise, program: str, rng: random.Random) -> list[dict[str, Any]] | None:
    """Return the cases for an exercise, or ``None`` if its expected values are too similar.

    Args:
        exercise: The exercise.
        program: The right answer as a whole program; it is run here.
        rng: Draws the inputs.
    """
    namespace: dict[str, Any] = {}
    exec(program, namespace)  # trusted: made from our own tables
    found: list[dict[str, Any]] = []
    distinct: set[str] = set()
    seen: set[str] = set()
    for args in _inputs(exercise, rng):
        key = json.dumps(args)
        if key in seen or len(found) == MAX_CASES:
            continue
        seen.add(key)
        expected = namespace["solve"](*json.loads(key))
        numbers = expected if isinstance(expected, list) else [expected]
        if not any(isinstance(number, int) and abs(number) > LARGEST_INT for number in numbers):
            found.append({"args": args, "expected": expected})
            distinct.add(json.dumps(expected))
    return found if len(distinct) >= MIN_DISTINCT and len(found) >= MAX_CASES - 3 else None


def _inputs(exercise: Exercise, rng: random.Random) -> list[list[Any]]:
    """Return more inputs than needed, the most revealing first: empty, one element, the constants +-1."""
    constants = exercise.k_by_role.values()
    ks = [k for k in constants if isinstance(k, int)]
    match exercise.composition.source.name:
        case "list":
            return [[xs] for xs in _number_lists(ks, rng)]
        case "one_to_n" | "zero_to_n":
            return [[n] for n in _range_ends(ks, rng)]
        case "a_to_b":
            return _bounds(ks, rng)
        case "digits":
            return [[n] for n in _with_digits(ks, rng)]
    lists = _word_lists(ks, [k for k in constants if isinstance(k, str)], rng)
    if exercise.composition.source.name == "word_list":
        return [[words] for words in lists]
    # Every other text has more than one space between its words.
    return [[("  " if index % 2 else " ").join(words)] for index, words in enumerate(lists)]


def _range_ends(ks: list[int], rng: random.Random) -> list[int]:
    around = [k + step for k in ks for step in (-1, 0, 1)]
    return [0, 1, *around[:6], *rng.sample(range(LONG_ENOUGH, 21), 12)]


def _number_lists(ks: list[int], rng: random.Random) -> list[list[int]]:
    lists = [[], [rng.choice(ks or [3])]]
    for k in ks:
        around = [k - 1, k, k + 1]
        rng.shuffle(around)
        lists.append(around)
    lists += [[0, 1, -1], [-rng.randint(11, 29)]]
    for _ in range(12):
        some = [rng.randint(-12, 12) for _ in range(rng.randint(3, 7))] + rng.sample(ks, min(len(ks), 2))
        some += [rng.choice(some), rng.randint(13, 60)]
        rng.shuffle(some)
        lists.append(some)
    return lists


def _bounds(ks: list[int], rng: random.Random) -> list[list[int]]:
    pairs = [[3, 2], [rng.choice(ks or [3])] * 2, [-1, 1]]
    pairs += [[k - 1, k + 1] for k in ks]
    for _ in range(14):
        low = rng.randint(-8, 8)
        pairs.append([low, low + rng.randint(4, 12)])
    return pairs


def _with_digits(ks: list[int], rng: random.Random) -> list[int]:
    numbers = [0, rng.choice(ks or [7])]
    numbers += [int(f"{k - 1}{k}{min(k + 1, 9)}") for k in ks]
    for _ in range(14):
        digits = [str(rng.randint(0, 9)) for _ in range(rng.randint(2, 5))] + [str(k) for k in ks]
        rng.shuffle(digits)
        numbers.append(int("".join(digits)))
    return numbers


def _word_lists(ks: list[int], letters: list[str], rng: random.Random) -> list[list[str]]:
    lists: list[list[str]] = [[], [rng.choice(WORDS)]]
    revealing = [word for word in WORDS if any(len(word) in (k - 1, k, k + 1) for k in ks)]
    revealing += [word for word in WORDS if any(letter in word for letter in letters)]
    for _ in range(16):
        some = rng.sample(WORDS, rng.randint(3, 6))
        some += rng.sample(revealing, min(len(revealing), 2))
        some.append(rng.choice(some))
        rng.shuffle(some)
        lists.append(some)
    lists.insert(2, ["", rng.choice(WORDS), ""])
    return lists

"""Find training problems that are in a benchmark."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rrtf_trl.errors import UserError
from rrtf_trl.records import Problem

from ..files import ProblemFile
from .programs import checks, name_parts, shapes, signature
from .prose import ngrams, words

KINDS = ("ngram", "signature", "ast", "tests")
BENCHMARKS = {"humaneval": "humaneval*.jsonl*", "mbpp": "mbpp*.jsonl*"}
"""Names of benchmarks, and patterns of their files in the folder RRTF_DATA_DIR, matched in any case."""

_SAME_NAME = 3
"""A function's name is no evidence if more problems of the benchmarks have it."""
_FEWEST_GRAMS = 3
"""Fewer shared n-grams are no evidence."""
_SAME_TOPIC = 0.25
"""A name of one specific word is evidence only if the prompts' words have this Jaccard similarity."""


@dataclass(frozen=True)
class Match:
    """A training problem that seems to be in a benchmark, with the evidence.

    Args:
        task_id: The training problem.
        benchmark: ``heldout``, a benchmark's name, or a file.
        benchmark_task_id: The benchmark's problem.
        kind: ``ngram``, ``signature``, ``ast`` or ``tests``.
        score: For ``ngram`` the fraction of the shorter text's n-grams that both have; for ``tests`` the number of
            shared tests; else 1.
        evidence: The shared words, the function's signature, or a shared test.
    """

    task_id: str
    benchmark: str
    benchmark_task_id: str
    kind: str
    score: float
    evidence: str

    def to_json(self) -> dict[str, Any]:
        """Return the match as a row."""
        return asdict(self)


class Decontaminator:
    """Finds training problems in benchmarks.

    Args:
        against: Benchmarks by name (``humaneval``, ``mbpp``: files in the folder that the environment variable
            RRTF_DATA_DIR names) or by file. A name without a file is skipped; a missing file is an error.
        kinds: The kinds of evidence: ``ngram`` compares the words of the prompts, ``signature`` the function's name
            and number of parameters, ``ast`` the reference programs without their names, ``tests`` the calls with
            their expected values.
        n: Words of an n-gram; common words do not count.
        overlap: The fraction of the shorter prompt's n-grams that both must have, and at least three; a shorter prompt
            must be part of the other as a whole.
        smallest_program: Fewest nodes of the syntax tree of a program that is compared by its shape.
        shared_tests: Number of tests that both must have.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        against: list[str] | None = None,
        kinds: list[str] | None = None,
        n: int = 4,
        overlap: float = 0.6,
        smallest_program: int = 30,
        shared_tests: int = 2,
    ) -> None:
        self.against = list(BENCHMARKS) if against is None else list(against)
        self.kinds = list(KINDS) if kinds is None else list(kinds)
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown:
            raise ValueError(f"kinds must be among {', '.join(KINDS)}, got {', '.join(unknown)}")
        if n < 1 or not 0 < overlap <= 1 or shared_tests < 1:
            raise ValueError("n and shared_tests must be at least 1, and overlap in (0, 1]")
        self.n = n
        self.overlap = overlap
        self.smallest_program = smallest_program
        self.shared_tests = shared_tests

    def index(self, heldout: Iterable[Problem] = ()) -> Index:
        """Return an index of the benchmarks and of held-out problems.

        Raises:
            InputError: If a file cannot be read.
            UserError: If an entry of ``against`` is neither a benchmark's name nor a file.
        """
        index = Index(self)
        for problem in heldout:
            index.add("heldout", problem)
        for name in self.against:
            path = find_benchmark(name)
            if path is None:
                index.missing.append(name)
                continue
            for problem in ProblemFile(path):
                index.add(name, problem)
        return index


class Index:
    """The benchmarks' problems by n-gram, signature, shape and test; its size does not depend on the training data."""

    def __init__(self, options: Decontaminator) -> None:
        self.options = options
        self.names: Counter[str] = Counter()
        self.missing: list[str] = []
        self._problems: list[tuple[str, str]] = []  # benchmark and task_id, by number
        self._texts: list[list[str]] = []
        self._gram_counts: list[int] = []
        self._numbers: dict[str, defaultdict[Any, list[int]]] = {kind: defaultdict(list) for kind in KINDS}

    def what_is_missing(self) -> str:
        """Return which benchmarks have no file on this machine and what to do; empty if all have one."""
        if not self.missing:
            return ""
        files = ", ".join(BENCHMARKS[name] for name in self.missing)
        return f"no file of {', '.join(self.missing)}: set RRTF_DATA_DIR to a folder with {files}"

    def add(self, benchmark: str, problem: Problem) -> None:
        """Add a problem of a benchmark."""
        number = len(self._problems)
        self._problems.append((benchmark, problem.task_id))
        self.names[benchmark] += 1
        tokens = words(problem.prompt)
        grams = ngrams(tokens, self.options.n)
        self._texts.append(tokens)
        self._gram_counts.append(len(grams))
        found = signature(problem)
        keys: dict[str, Iterable[Any]] = {
            "ngram": grams,
            "signature": [] if found is None else [found],
            "ast": shapes(problem, self.options.smallest_program),
            "tests": checks(problem.tests, problem.entry_point),
        }
        for kind in KINDS:
            for key in keys[kind]:
                self._numbers[kind][key].append(number)

    def matches(self, problem: Problem) -> list[Match]:
        """Return the benchmark problems that match a training problem, each once for each kind of evidence."""
        finders = {
            "ngram": self._by_ngrams,
            "signature": self._by_signature,
            "ast": self._by_shape,
            "tests": self._by_tests,
        }
        return [
            Match(problem.task_id, *self._problems[number], kind, score, evidence)
            for kind in self.options.kinds
            for number, score, evidence in finders[kind](problem)
        ]

    def _sharing(self, kind: str, keys: set[Any]) -> dict[int, list[Any]]:
        """Return the numbers of the benchmark problems that have any of the keys, with those that they have."""
        shared: defaultdict[int, list[Any]] = defaultdict(list)
        for key in sorted(keys):
            for number in self._numbers[kind].get(key, ()):
                shared[number].append(key)
        return shared

    def _by_ngrams(self, problem: Problem) -> Iterator[tuple[int, float, str]]:
        tokens = words(problem.prompt)
        grams = ngrams(tokens, self.options.n)
        for number, common in self._sharing("ngram", grams).items():
            fraction = len(common) / min(len(grams), self._gram_counts[number])
            # A short text that is part of another needs only two n-grams.
            enough = fraction >= self.options.overlap and len(common) >= (2 if fraction == 1 else _FEWEST_GRAMS)
            if enough or tokens == self._texts[number]:
                yield number, round(fraction, 3), "; ".join(" ".join(gram) for gram in common[:5])

    def _by_signature(self, problem: Problem) -> Iterator[tuple[int, float, str]]:
        found = signature(problem)
        numbers = self._numbers["signature"].get(found, [])
        if found is None or len(numbers) > _SAME_NAME:
            return
        own = set(words(problem.prompt))
        for number in numbers:
            other = set(self._texts[number])
            similarity = len(own & other) / max(len(own | other), 1)
            if similarity >= _SAME_TOPIC or len(name_parts(str(problem.entry_point))) > 1:
                yield number, 1.0, f"{problem.entry_point} with {found[1]} parameters"

    def _by_shape(self, problem: Problem) -> Iterator[tuple[int, float, str]]:
        for number in sorted(self._sharing("ast", shapes(problem, self.options.smallest_program))):
            yield number, 1.0, "the reference is the same program except for its names"

    def _by_tests(self, problem: Problem) -> Iterator[tuple[int, float, str]]:
        for number, common in self._sharing("tests", checks(problem.tests, problem.entry_point)).items():
            if len(common) >= self.options.shared_tests:
                yield number, float(len(common)), common[0][:200]


def find_benchmark(name: str) -> Path | None:
    """Return the file of a benchmark, or ``None`` if a known benchmark has none on this machine.

    Raises:
        UserError: If the name is neither a known benchmark nor a file.
    """
    if name in BENCHMARKS:
        folder = os.environ.get("RRTF_DATA_DIR")
        pattern = BENCHMARKS[name]
        files = sorted(Path(folder).iterdir()) if folder and Path(folder).is_dir() else []
        return next((path for path in files if Path(path.name.lower()).match(pattern)), None)
    if not Path(name).is_file():
        raise UserError(f"{name} is neither a file nor one of {', '.join(BENCHMARKS)}")
    return Path(name)

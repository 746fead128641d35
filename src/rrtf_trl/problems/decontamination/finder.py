"""Find training problems that are in what a model is measured by."""

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
"""Names of benchmarks, and the names of their files in the folder RRTF_DATA_DIR, in any case."""

_SAME_NAME = 3
"""A function's name that more problems of a benchmark share tells nothing."""
_FEWEST_GRAMS = 3
"""Fewer shared n-grams tell nothing."""
_SAME_TOPIC = 0.25
"""A name of one telling word counts where the prompts share this much of their words (Jaccard)."""


@dataclass(frozen=True)
class Match:
    """A training problem that is in a benchmark, and why it seems so.

    Args:
        task_id: The training problem.
        benchmark: Where it was found: ``heldout``, a benchmark's name, or a file.
        benchmark_task_id: The problem there.
        kind: ``ngram``, ``signature``, ``ast`` or ``tests``.
        score: The share of the shorter text's n-grams that both have; for ``tests`` how many are shared; else 1.
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
    """Looks for training problems in benchmarks.

    Args:
        against: Benchmarks by name (``humaneval``, ``mbpp``: files in the folder that the environment variable
            RRTF_DATA_DIR names) or by file. A name whose file is not there is passed over, a file is not.
        kinds: What counts: ``ngram`` compares the words of the prompts, ``signature`` the function's name and
            number of parameters, ``ast`` the reference programs without their names, ``tests`` the calls with
            what is expected.
        n: Words of an n-gram; common words do not count.
        overlap: The share of the shorter prompt's n-grams that both must have, and at least three; a shorter prompt
            must stand in the other as a whole.
        smallest_program: Nodes of the syntax tree that a program must have to be told by its shape.
        shared_tests: Tests that both must have.

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
            raise ValueError(f"kinds must be of {', '.join(KINDS)}, got {', '.join(unknown)}")
        if n < 1 or not 0 < overlap <= 1 or shared_tests < 1:
            raise ValueError("n and shared_tests must be at least 1, and overlap in (0, 1]")
        self.n = n
        self.overlap = overlap
        self.smallest_program = smallest_program
        self.shared_tests = shared_tests

    def index(self, heldout: Iterable[Problem] = ()) -> Index:
        """Return what to look problems up in: the benchmarks, and held-out problems.

        Raises:
            InputError: If a file cannot be read.
            UserError: If a benchmark's name stands for no file and is no file.
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
    """Benchmarks, by what their problems can be told by. Its size is that of the benchmarks."""

    def __init__(self, options: Decontaminator) -> None:
        self.options = options
        self.names: Counter[str] = Counter()
        self.missing: list[str] = []
        self._problems: list[tuple[str, str]] = []  # benchmark and task_id, by number
        self._grams: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        self._words: list[list[str]] = []
        self._gram_counts: list[int] = []
        self._signatures: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        self._shapes: defaultdict[str, list[int]] = defaultdict(list)
        self._checks: defaultdict[str, list[int]] = defaultdict(list)

    def what_is_missing(self) -> str:
        """Return which benchmarks have no file here, and what to do; nothing where all have one."""
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
        self._words.append(tokens)
        self._gram_counts.append(len(grams))
        for gram in grams:
            self._grams[gram].append(number)
        if (found := signature(problem)) is not None:
            self._signatures[found].append(number)
        for shape in shapes(problem, self.options.smallest_program):
            self._shapes[shape].append(number)
        for check in checks(problem.tests, problem.entry_point):
            self._checks[check].append(number)

    def matches(self, problem: Problem) -> list[Match]:
        """Return where a training problem is found, each place and kind once."""
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

    def _by_ngrams(self, problem: Problem) -> Iterator[tuple[int, float, str]]:
        tokens = words(problem.prompt)
        grams = ngrams(tokens, self.options.n)
        shared: defaultdict[int, list[tuple[str, ...]]] = defaultdict(list)
        for gram in sorted(grams):
            for number in self._grams.get(gram, ()):
                shared[number].append(gram)
        for number, common in shared.items():
            share = len(common) / min(len(grams), self._gram_counts[number])
            # The whole of a short text inside another is enough, if it is more than one n-gram.
            enough = share >= self.options.overlap and len(common) >= (2 if share == 1 else _FEWEST_GRAMS)
            if enough or tokens == self._words[number]:
                yield number, round(share, 3), "; ".join(" ".join(gram) for gram in common[:5])

    def _by_signature(self, problem: Problem) -> Iterator[tuple[int, float, str]]:
        found = signature(problem)
        numbers = self._signatures.get(found, []) if found is not None else []
        if found is None or len(numbers) > _SAME_NAME:
            return
        mine = set(words(problem.prompt))
        for number in numbers:
            theirs = set(self._words[number])
            alike = len(mine & theirs) / max(len(mine | theirs), 1)
            if alike >= _SAME_TOPIC or len(name_parts(str(problem.entry_point))) > 1:
                yield number, 1.0, f"{problem.entry_point} with {found[1]} parameters"

    def _by_shape(self, problem: Problem) -> Iterator[tuple[int, float, str]]:
        numbers = {n for shape in shapes(problem, self.options.smallest_program) for n in self._shapes.get(shape, ())}
        for number in sorted(numbers):
            yield number, 1.0, "the reference is the same program but for its names"

    def _by_tests(self, problem: Problem) -> Iterator[tuple[int, float, str]]:
        shared: defaultdict[int, list[str]] = defaultdict(list)
        for check in sorted(checks(problem.tests, problem.entry_point)):
            for number in self._checks.get(check, ()):
                shared[number].append(check)
        for number, common in shared.items():
            if len(common) >= self.options.shared_tests:
                yield number, float(len(common)), common[0][:200]


def find_benchmark(name: str) -> Path | None:
    """Return the file of a benchmark, or ``None`` where a known one is not there.

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

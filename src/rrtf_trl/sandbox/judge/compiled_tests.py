"""What a worker keeps of a problem: its tests as scripts, and what its reference showed of them."""

from __future__ import annotations

import random
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

from . import suites
from .pytest_source import read_files
from .script import Script
from .source import TestSource
from .staging import stage


class Needs(NamedTuple):
    """What a reference needs that no program gets without one.

    Args:
        operations: The operations in which its answers are objects.
        in_place: Whether it fails only since its tests look at variables as they were.
        live: Variables that it changes, while the judge goes on with their values.
    """

    operations: set[int]
    in_place: bool
    live: set[str]


class CompiledTests:
    """The tests of one problem.

    Args:
        body: What :func:`..job.suite_body` encodes.
        digest: A hash of the whole body, from which random numbers are seeded: always the same, and unknown to
            programs, which see none of the tests.

    Attributes:
        runs: How many programs were judged.
        count: How many tests of pytest files the reference passes; -1 before it was run.
        own_process: Whether the tests need a process of their own.
        revealed: The operations that programs may apply although they thereby learn values of the tests
            (:class:`.splitting.Splitter`), since the reference's answers are objects there.
        in_place: Whether tests see variables as the program left them alone: the reference passes only so.
        live: Variables of the tests that live in the program's process, since the reference changes them.
    """

    def __init__(self, body: dict[str, Any], digest: bytes) -> None:
        self.kind: str = body["kind"]
        self.data: dict[str, Any] = body["tests"]
        self.entry: str | None = body["entry_point"]
        self.context_source: str = body["context"]
        self.weak: bool = body["trust"] == "weak"
        self.seed = int.from_bytes(digest[:8], "big")
        self.runs = 0
        self.count = -1
        self.revealed: set[int] = set()
        self.in_place = False
        self.live: set[str] = set()
        self._asked_reference = not self.context_source
        self._source: TestSource | None = None
        self._script: tuple[Script, bytes] | None = None
        if self.kind == "pytest" and not self.weak:
            self._source = read_files(self.data["files"])
        elif self.is_suite and self.kind != "cases":
            context = suites.Context(self.context_source, self.entry, body.get("helpers", []))
            if self.kind == "check":
                self._source = suites.read_check(self.data, str(self.entry), context)
            else:
                self._source = suites.read_asserts(self.data, self.entry, context)

        self.own_process = self.kind == "pytest" and self._source is None

    @property
    def is_suite(self) -> bool:
        """Whether these tests are staged: all but whole programs, weakly judged ones, and files that need pytest."""
        if self.kind == "pytest":
            return self._source is not None
        return not self.weak and self.kind in ("check", "asserts", "cases")

    def count_is(self, count: int) -> None:
        """Note how many tests pytest finds in the files, 0 if that is not known: all of them must have been read."""
        self.count = count
        if self._source is not None and count and len(self._source.units) != count:
            self._source, self.own_process = None, True

    @property
    def must_define(self) -> bool:
        """Whether a program without the entry point fails before any test."""
        return self.kind in ("check", "cases")

    @property
    def names(self) -> list[str]:
        """The names that a program has to define."""
        if self._source is None:
            return [str(self.entry)]
        return sorted(self._source.program, key=lambda name: (name != self.entry, name))

    def script(self) -> tuple[Script, bytes]:
        """Return what a program's process has to run, as it is and encoded; raises :class:`.faults.BadTests`."""
        if self._script is None:
            if self._source is None:
                script = suites.script_of_cases(self.data, str(self.entry))
            else:
                seed_random(self.seed)
                script = stage(self._source, self.revealed, self.live, lambda: suites.new_scope("rrtf_tests"))
            self._script = script, script.encode()
        return self._script

    def learn(self, needed: Callable[[], Needs]) -> bool:
        """Ask the reference, once, what its answers need; return whether programs should be judged again.

        Args:
            needed: Runs the reference against these tests.
        """
        if self._asked_reference:
            return False
        self._asked_reference = True
        learned = False
        for _ in range(_MOST_ROUNDS):
            found = needed()
            if found.operations <= self.revealed and found.in_place <= self.in_place and found.live <= self.live:
                break
            learned = True
            self.revealed |= found.operations
            self.in_place |= found.in_place
            self.live |= found.live
            self._script = None
        return learned

    def reference(self) -> types.ModuleType | None:
        """Return the context as a module; None if there is none."""
        if not self.context_source:
            return None
        module = types.ModuleType("solution")
        suites.run_trusted(suites.compile_trusted(self.context_source, "context"), module.__dict__, "context")
        return module


_MOST_ROUNDS = 20


def seed_random(seed: int) -> None:
    """Seed random and NumPy, so that the same program always gets the same tests."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)

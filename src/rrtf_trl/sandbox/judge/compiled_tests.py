"""What a worker keeps of a problem: its compiled tests, and the facts that their rehearsal found."""

from __future__ import annotations

import random
import sys
import types
from typing import Any

from . import suites
from .rehearsal import rehearse
from .trace import Facts


class CompiledTests:
    """The compiled tests of one problem.

    Args:
        body: What :func:`..job.suite_body` encodes.
        digest: A hash of the whole body, from which random numbers are seeded: always the same, and unknown to
            programs, which see none of the tests.

    Attributes:
        runs: How many programs were judged.
        count: How many tests of pytest files the reference passes; -1 before it was run.
        own_process: Whether the tests need a process of their own.
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
        self.own_process = self.kind == "pytest"
        self._facts: Facts | None = None
        self.suite: suites.Suite | None = None
        if not self.weak and self.kind in ("check", "asserts", "cases"):
            context = suites.Context(self.context_source, self.entry)
            if self.kind == "check":
                self.suite = suites.CheckSuite(self.data, str(self.entry), context, self.facts)
            elif self.kind == "asserts":
                self.suite = suites.AssertSuite(self.data, self.entry, context, self.facts)
            else:
                self.suite = suites.CaseSuite(self.data, str(self.entry), context)

    def facts(self) -> Facts:
        """Return the facts of a rehearsal, which runs on the first call."""
        if self._facts is None:
            self._facts = Facts()  # for calls of this method during the rehearsal
            if self.suite is not None:
                state, modules = random.getstate(), {name: sys.modules.get(name) for name in suites.SCOPES}
                try:
                    self._facts = rehearse(self.suite, lambda: seed_random(self.seed))
                finally:
                    random.setstate(state)
                    sys.modules.update({name: module for name, module in modules.items() if module is not None})
        return self._facts

    def reference(self) -> types.ModuleType | None:
        """Return the context as a module; None if there is none."""
        if not self.context_source:
            return None
        module = types.ModuleType("solution")
        suites.run_trusted(suites.compile_trusted(self.context_source, "context"), module.__dict__, "context")
        return module


def seed_random(seed: int) -> None:
    """Seed random and NumPy, so that the same program always gets the same tests."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)

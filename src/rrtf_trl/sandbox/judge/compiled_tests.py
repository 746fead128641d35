"""What a worker knows of a problem: its tests, compiled once, and what their rehearsal showed."""

from __future__ import annotations

import random
import sys
import types
from typing import Any

from . import suites
from .rehearsal import rehearse
from .trace import Facts


class CompiledTests:
    """The tests of one problem, compiled, and what their rehearsal showed."""

    def __init__(self, body: dict[str, Any], digest: bytes) -> None:
        self.kind: str = body["kind"]
        self.data: dict[str, Any] = body["tests"]
        self.entry: str | None = body["entry_point"]
        self.context_source: str = body["context"]
        self.weak: bool = body["trust"] == "weak"
        # Of all that the problem is: the same each time, and not to be guessed by a program, which sees none of it.
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
        """Rehearse once, at the first time of asking."""
        if self._facts is None:
            self._facts = Facts()  # what the rehearsal itself is to know
            if self.suite is not None:
                state, modules = random.getstate(), {name: sys.modules.get(name) for name in suites.SCOPES}
                try:
                    self._facts = rehearse(self.suite, lambda: start_chance(self.seed))
                finally:
                    random.setstate(state)
                    sys.modules.update({name: module for name, module in modules.items() if module is not None})
        return self._facts

    def reference(self) -> types.ModuleType | None:
        """The context as a module, where there is one."""
        if not self.context_source:
            return None
        module = types.ModuleType("solution")
        suites.run_trusted(suites.compile_trusted(self.context_source, "context"), module.__dict__, "context")
        return module


def start_chance(seed: int) -> None:
    """Put random numbers back to their start, so that the same program meets the same tests."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)

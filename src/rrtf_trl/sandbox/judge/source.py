"""The tests of a problem as source, before they are staged (:mod:`.staging`)."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any


@dataclass
class TestSource:
    """The tests of one problem, as source.

    Args:
        setup: Statements before the tests.
        units: The tests' labels and statements.
        argument: For a ``check``, whose statements are the body of a function, the name by which it knows the entry
            point; else empty.
        program: The names that the program defines for the tests.
        entry: The function or class that is judged.
        helpers: The trusted code beside the tests.
        scope: What that code defines and the tests may use.
        in_function: Whether the statements of a unit are the body of a function.
        patches: Names of the program's own that the tests may bind anew, as they share its globals.
        has_reference: Whether there is a reference, by which the tests can be tried.
        functions: What the reference defines as functions, and not as classes.
    """

    setup: list[ast.stmt]
    units: list[tuple[str, str, list[ast.stmt]]]
    argument: str
    program: set[str]
    entry: str | None
    helpers: list[ast.stmt] = field(default_factory=list)
    scope: dict[str, Any] = field(default_factory=dict)
    in_function: bool = False
    patches: set[str] = field(default_factory=set)
    has_reference: bool = False
    functions: set[str] = field(default_factory=set)

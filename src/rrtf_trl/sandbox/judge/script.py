"""What a problem's tests send to a program's process, and what the judge makes of the answers: made once a problem."""

from __future__ import annotations

import ast
import marshal
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..common import codec
from .evaluation import Evaluate
from .parts import Part


@dataclass
class Check:
    """One assertion.

    Args:
        test: Its expression, for messages; None where it has none.
        evaluate: What :func:`.evaluation.compile_part` binds.
        part: The expression, split; None where it needs nothing of the program's process.
        hoisted: What the judge put into the code of its atoms, by name.
        looked_at: Names of the tests' variables that the program may have changed, whose values follow in its answer.
        before: Their values before the program could change them.
        expected: Returns what it expects, for messages; None where that is not known.
        late: Names of the judge's variables that it needs as they are when it is reported.
        steady: Whether it only asks whether the variables are as they were: the judge went on with their values.
        rebinds: Whether it is none: from here on the judge's variables have the values in ``before``.
    """

    test: ast.expr | None
    evaluate: Evaluate
    part: Part | None = None
    hoisted: dict[str, ast.expr] = field(default_factory=dict)
    looked_at: list[str] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    expected: Callable[[], str] | None = None
    late: list[str] = field(default_factory=list)
    steady: bool = False
    rebinds: bool = False

    @property
    def source(self) -> str:
        """The assertion's text; empty where there is none."""
        return "" if self.test is None else ast.unparse(self.test)


@dataclass
class Operator:
    """An operator in a statement that the program's process executes, which the judge applies again.

    Args:
        number: Its number, see :class:`.parts.Operation`.
        apply: The operator.
        known: By position, the operands that are the tests' own, encoded.
    """

    number: int
    apply: Callable[..., Any]
    known: dict[int, bytes]


@dataclass
class Unit:
    """Tests that end together where an exception is raised: a ``check``, one statement of ``asserts``, one case.

    Args:
        label: Its name, for messages.
        text: Its source, for messages.
        code: What the program's process executes; None where that is nothing.
        order: The indices of the checks that it answers one after another.
        required: How many of them must be answered unless an exception is raised: the code may return after these.
        failure: An exception that the tests themselves raise, after these checks; None where they raise none.
        reports_end: Whether its end is reported, as its last statement is no check.
        controlled: Whether it has checks inside of a function, a loop or a ``try`` that the program controls.
    """

    label: str
    text: str
    code: types.CodeType | None
    order: list[int] = field(default_factory=list)
    required: int = 0
    failure: BaseException | None = None
    reports_end: bool = True
    controlled: bool = False


@dataclass
class Script:
    """The tests of one problem for any program.

    Args:
        units: In the order in which they run; the first is the setup, which is no test.
        checks: All assertions.
        values: The values that the units' code refers to, by index.
        calls: Whether the code uses the program at all.
        operators: Those in statements that the program's process executes.
        judged: Whether any check compares with data of the tests, and not answers with each other.
    """

    units: list[Unit]
    checks: list[Check]
    values: list[Any]
    calls: bool
    operators: list[Operator] = field(default_factory=list)
    judged: bool = True

    def encode(self) -> bytes:
        """Return code and values as bytes, for a process that runs the same interpreter."""
        plain: list[Any] = []
        packed: list[Any] = []
        for index, value in enumerate(self.values):
            plain.append(value if _can_marshal(value, 0) else None)
            if plain[-1] is not value:
                packed.append([index, codec.pack(value)])
        units = [(unit.code, unit.reports_end) for unit in self.units if unit.code is not None]
        return marshal.dumps((units, plain, codec.dump(packed)))


_SCALARS = (type(None), bool, int, float, complex, str, bytes)
_MOST_DEPTH = 500


def _can_marshal(value: Any, depth: int) -> bool:
    """Return whether marshal keeps a value and its type; it takes an array for its bytes."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if depth > _MOST_DEPTH or kind not in (list, tuple, dict, set, frozenset):
        return False
    items = [*value.keys(), *value.values()] if kind is dict else value
    return all(_can_marshal(item, depth + 1) for item in items)


def compile_unit(body: list[ast.stmt], name: str) -> types.CodeType:
    """Compile what the program's process executes."""
    tree = ast.Module(body=body, type_ignores=[])
    return compile(ast.fix_missing_locations(tree), f"<{name}>", "exec", dont_inherit=True)

"""The parts of a split assertion (:mod:`.splitting`): what the program's process evaluates, and operations on it."""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass
class Atom:
    """An expression that the program's process evaluates.

    Args:
        code: The expression.
        by_program: Whether its value is a truth of the program's objects, and no answer of a function.
    """

    code: ast.expr
    by_program: bool = False


@dataclass
class Operation:
    """An operation on values of the program.

    Args:
        code: The operation, with the names ``operand(0)``, ``operand(1)``, … for its operands.
        operands: What it is applied to.
        native: Whether the program's process may apply it where an operand is no plain data.
        exact: Whether an instance of a subclass of a plain type is an object here, as for ``type(x)``.
        mixed: Whether it may be applied there to an object together with plain data, by which the object would learn
            what to equal.
        number: Of the operation among those of its tests, by its place in their source.
        lazy: Whether an operand may go unevaluated, as for ``and``.
        reveals: Whether the code that the program's process gets for it holds values of the tests.
        has_data: Whether it applies something to data of the tests.
        decides: Whether the program decides where its process applies it, since its result is a truth.
        transparent: Whether it is left to the judge in any case, so that only its one operand is reported.
    """

    code: ast.expr
    operands: list[Atom | Operation]
    native: bool
    exact: bool
    mixed: bool
    number: int
    lazy: bool = False
    reveals: bool = False
    has_data: bool = False
    decides: bool = False
    transparent: bool = False


Part = Atom | Operation


def has_data(part: Part) -> bool:
    """Return whether the judge decides an expression by data of the tests, and not by answers alone."""
    return isinstance(part, Operation) and (part.has_data or any(map(has_data, part.operands)))


def decided_there(part: Part) -> bool:
    """Return whether the program decides something where its process evaluates all of an expression."""
    if isinstance(part, Atom):
        return part.by_program
    return part.decides or part.reveals or any(map(decided_there, part.operands))


def compares_answers(part: Part) -> bool:
    """Return whether an expression compares answers with each other."""
    if isinstance(part, Atom):
        return False
    return (part.decides and len(part.operands) > 1) or any(map(compares_answers, part.operands))


def operand(index: int) -> str:
    """Return the name by which an operation refers to an operand."""
    return f"_operand_{index}"


def hoisted(index: int) -> str:
    """Return the name by which code for the program's process refers to a value that the judge evaluates."""
    return f"_hoisted_{index}"

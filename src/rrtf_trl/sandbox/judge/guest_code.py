"""Makes the code that a program's process executes of the tests: see :mod:`..guest.script` for what it calls."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from .names import rebuilt
from .parts import Atom, Part, operand

Operator = ast.Compare | ast.BinOp


def call(function: str, arguments: list[ast.expr]) -> ast.expr:
    """Return a call of a function by name."""
    return ast.Call(ast.Name(function, ast.Load()), arguments, [])


def name(text: str) -> ast.expr:
    """Return a name that is read."""
    return ast.Name(text, ast.Load())


def function(text: str, parameters: list[str], body: list[ast.stmt]) -> ast.stmt:
    """Return the definition of a function."""
    return ast.FunctionDef(text, _parameters(parameters), body or [ast.Pass()], [], None, None)


def _parameters(names: list[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(one) for one in names], None, [], [], None, [])


def _lambda(names: list[str], body: ast.expr) -> ast.expr:
    return ast.Lambda(_parameters(names), body)


def reports_of(part: Part, truth: bool) -> ast.expr:
    """Return the code by which the program's process reports the values of a split expression.

    Args:
        part: The expression.
        truth: Whether only its truth counts, which only the program's process can find of an object.
    """
    if isinstance(part, Atom):
        return call("_rrtf_truth", [part.code]) if truth else part.code
    is_logical = part.lazy or (isinstance(part.code, ast.UnaryOp) and isinstance(part.code.op, ast.Not))
    operands = [reports_of(one, is_logical) for one in part.operands]
    if part.transparent:
        return operands[0]
    native: ast.expr = ast.Constant(None)
    if part.native:
        native = _lambda([operand(index) for index in range(len(operands))], part.code)
    if part.lazy:
        operands = [_lambda([], one) for one in operands]
    how = ast.Tuple([ast.Constant(one) for one in (part.exact, part.lazy, part.mixed)], ast.Load())
    code = call("_rrtf_apply", [how, native, *operands])
    return call("_rrtf_truth", [code]) if truth and part.native else code


def operator_of(node: Operator) -> ast.expr:
    """Return a function that applies an operator to its operands."""
    count = len(node.comparators) + 1 if isinstance(node, ast.Compare) else 2
    names = [operand(index) for index in range(count)]
    first, *more = map(name, names)
    return _lambda(names, rebuilt(node, left=first, **_others(node, more)))


def operands_of(node: Operator) -> list[ast.expr]:
    """Return what an operator is applied to."""
    return [node.left, *(node.comparators if isinstance(node, ast.Compare) else [node.right])]


def _others(node: Operator, values: list[ast.expr]) -> dict[str, Any]:
    return {"comparators": values} if isinstance(node, ast.Compare) else {"right": values[0]}


def with_values(node: Any, values: dict[str, ast.expr]) -> Any:
    """Return a tree in which other expressions stand for some names."""
    if isinstance(node, ast.Name):
        return values.get(node.id, node)
    if not isinstance(node, ast.AST):
        return node
    changes: dict[str, Any] = {}
    for one in node._fields:
        inner = getattr(node, one, None)
        if isinstance(inner, list):
            changes[one] = [with_values(item, values) for item in inner]
        elif isinstance(inner, ast.expr | ast.keyword | ast.arguments):
            changes[one] = with_values(inner, values)
    return rebuilt(node, **changes)


class Reporter(ast.NodeTransformer):
    """Prepares a statement for the program's process; changes the tree.

    Assertions become reports of their values; operators that an object of the program could decide become guarded
    calls; handlers of all exceptions say which one they caught.

    Args:
        check: Returns the report for an assertion.
        guard: Returns the guarded call for an operator; the operator where it needs no guard.
    """

    def __init__(self, check: Callable[[ast.expr], ast.expr], guard: Callable[[Operator], ast.expr]) -> None:
        self._check = check
        self._guard = guard

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Replace an assertion."""
        return ast.copy_location(ast.Expr(self._check(node.test)), node)

    def _operator(self, node: Operator) -> ast.AST:
        guarded = self._guard(node)
        if guarded is node:
            return self.generic_visit(node)
        assert isinstance(guarded, ast.Call)
        guarded.args[3:] = [self.visit(one) for one in guarded.args[3:]]
        return guarded

    visit_Compare = _operator
    visit_BinOp = _operator

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """Have a handler of all exceptions say what it caught."""
        self.generic_visit(node)
        if node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "BaseException"):
            node.body.insert(0, ast.Expr(call("_rrtf_caught", [])))
        return node

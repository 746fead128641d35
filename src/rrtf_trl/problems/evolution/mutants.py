"""Mutants: copies of a program with one fault each. The strength of tests is the fraction that they kill."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterator

from rrtf_trl.records import content_hash

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}

Change = Callable[[], None]


def mutants(code: str, limit: int) -> list[str]:
    """Return programs that differ from ``code`` by one fault, the same ones for the same ``code``.

    Faults are: another comparison or operator, ``and`` for ``or``, a condition negated or dropped, a number one off, a
    boolean or string changed, ``None`` returned, a statement left out.

    Args:
        code: A Python program; the faults are in its functions.
        limit: Most mutants; if there are more, a fixed random choice.

    Raises:
        SyntaxError: If ``code`` is not Python.
    """
    tree = ast.parse(code)
    original = ast.unparse(tree)
    places = [
        (index, number)
        for index, (node, inside) in enumerate(_walk(tree))
        if inside
        for number in range(len(list(_changes(node))))
    ]
    random.Random(content_hash(original)).shuffle(places)
    found: dict[str, None] = {}
    for index, number in places:
        if len(found) == limit:
            break
        faulty = copy.deepcopy(tree)
        node = next(node for place, (node, _) in enumerate(_walk(faulty)) if place == index)
        list(_changes(node))[number]()
        text = ast.unparse(ast.fix_missing_locations(faulty))
        if text != original:
            found[text + "\n"] = None
    return list(found)


def _walk(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node and whether it is in a function's body, except docstrings."""
    yield node, inside
    for name, field in ast.iter_fields(node):
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST) and not _is_docstring(child):
                within = inside or (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name == "body")
                yield from _walk(child, within)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _changes(node: ast.AST) -> Iterator[Change]:
    """Yield the faults that a node can have, each as a function that changes the node."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        yield _setter(node.ops, 0, _COMPARISONS[type(node.ops[0])]())
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        yield _assigner(node, "op", _OPERATORS[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _assigner(node, "op", ast.And() if isinstance(node.op, ast.Or) else ast.Or())
    elif isinstance(node, ast.Constant):
        for value in _other_values(node.value):
            yield _assigner(node, "value", value)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield _assigner(node, "value", ast.Constant(None))
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield _assigner(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.comprehension):
        for index in range(len(node.ifs)):
            yield _setter(node.ifs, index, ast.Constant(True))
    for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
        if isinstance(body, list):
            for index, statement in enumerate(body):
                if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr) and not _is_docstring(statement):
                    yield _setter(body, index, ast.Pass())


def _other_values(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, float):
        return [value + 1.0]
    if isinstance(value, str):
        return ["" if value else "x"]
    return []


def _setter(
    items: list[object] | list[ast.cmpop] | list[ast.expr] | list[ast.stmt], index: int, value: object
) -> Change:
    return lambda: items.__setitem__(index, value)  # type: ignore[call-overload]


def _assigner(node: ast.AST, name: str, value: object) -> Change:
    return lambda: setattr(node, name, value)

"""Programs that differ from a right one in one operator, constant or statement."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator

_COMPARE: dict[type, list[type]] = {
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}
_ARITHMETIC: dict[type, list[type]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Add],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
}
_CALLS = {
    "list": "tuple",
    "sorted": "list",
    "max": "min",
    "min": "max",
    "any": "all",
    "all": "any",
    "reversed": "list",
}


def mutants(source: str, count: int, chance: random.Random) -> list[str]:
    """Return up to ``count`` different programs that are wrong in one place, or only look so."""
    tree = ast.parse(source)
    changes = list(_changes(tree, chance))
    chance.shuffle(changes)
    found: list[str] = []
    for change in changes:
        undo = change()
        text = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
        undo()
        if text not in found and text != ast.unparse(tree) + "\n":
            found.append(text)
        if len(found) == count:
            break
    return found


Change = Callable[[], Callable[[], None]]
"""Makes a change; returns what undoes it."""


def _changes(tree: ast.Module, chance: random.Random) -> Iterator[Change]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
            yield _set(node, "ops", [chance.choice(_COMPARE[type(node.ops[0])])(), *node.ops[1:]])
        elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
            yield _set(node, "op", chance.choice(_ARITHMETIC[type(node.op)])())
        elif isinstance(node, ast.BoolOp):
            yield _set(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | str):
            yield _set(node, "value", _other(node.value, chance))
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            yield _set(node, "test", ast.UnaryOp(ast.Not(), node.test))
        elif isinstance(node, ast.Return) and node.value is not None:
            yield _set(
                node, "value", chance.choice([ast.Constant(None), ast.Constant(0), ast.List([node.value], ast.Load())])
            )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            yield _set(node.func, "id", _CALLS[node.func.id])
        elif isinstance(node, ast.Raise) and node.exc is not None:
            yield _set(node, "exc", ast.Name(chance.choice(["ValueError", "Exception", "KeyError"]), ast.Load()))
        elif (
            isinstance(node, ast.Call)
            and len(node.args) == 2
            and not any(isinstance(a, ast.Starred) for a in node.args)
        ):
            yield _set(node, "args", node.args[::-1])
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and not isinstance(node, ast.Module):
                for at, one in enumerate(body):
                    if not isinstance(one, ast.Import | ast.ImportFrom):
                        yield _set(node, name, [*body[:at], ast.Pass(), *body[at + 1 :]])


def _other(value: int | str | bool, chance: random.Random) -> int | str | bool:
    if isinstance(value, bool):
        return not value
    return value + chance.choice([1, -1]) if isinstance(value, int) else value + "x"


def _set(node: ast.AST, name: str, value: object) -> Change:
    def change() -> Callable[[], None]:
        before = getattr(node, name)
        setattr(node, name, value)
        return lambda: setattr(node, name, before)

    return change

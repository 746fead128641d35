"""Read test cases from a teacher's reply, as data.

A model's text is never run as a test, since tests run with the caller's rights. Assert statements are parsed; those
that compare a call with literal arguments to a literal value become cases.
"""

from __future__ import annotations

import ast
import json
import math
import re
from typing import Any

from ..syntax import parsed

_FENCE = re.compile(r"^[ \t]*```[ \t]*[\w+-]*[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_LONGEST = 2000
"""Most characters of a case."""


def fenced(text: str) -> str:
    """Return the code of the first fenced block, or the whole text if there is none."""
    block = _FENCE.search(text)
    return (block.group(1) if block else text).rstrip() + "\n"


def cases_of(text: str, entry_point: str, limit: int) -> list[dict[str, Any]]:
    """Return the cases in a reply: different dicts of ``args``, ``kwargs`` and ``expected``.

    They come from ``assert f(1) == 2``, ``assert 2 == f(1)``, ``assert f(1) is True``, ``assert f(1)`` and
    ``assert not f(1)``, with literals of JSON's types. Everything else is skipped.

    Args:
        text: The reply.
        entry_point: The function's name.
        limit: Most cases.
    """
    found: dict[str, dict[str, Any]] = {}
    for statement in _statements(fenced(text)):
        case = _case(statement.test, entry_point)
        if case is not None and len(key := json.dumps(case, sort_keys=True)) <= _LONGEST:
            found.setdefault(key, case)
    return list(found.values())[:limit]


def _statements(code: str) -> list[ast.Assert]:
    """Return the assert statements of a program; if it cannot be parsed, those of its lines that can."""
    whole = parsed(code)
    trees = [whole] if whole else [parsed(line.strip()) for line in code.splitlines()]
    return [node for tree in trees if tree for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def _case(test: ast.expr, entry_point: str) -> dict[str, Any] | None:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _call(test.operand, entry_point, ast.Constant(False))
    if isinstance(test, ast.Call):
        return _call(test, entry_point, ast.Constant(True))
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is):
        left, right = test.left, test.comparators[0]
        return _call(left, entry_point, right) or _call(right, entry_point, left)
    return None


def _call(node: ast.expr, entry_point: str, expected: ast.expr) -> dict[str, Any] | None:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == entry_point):
        return None
    if any(keyword.arg is None for keyword in node.keywords):  # **kwargs
        return None
    try:
        case: dict[str, Any] = {"args": [_value(argument) for argument in node.args], "expected": _value(expected)}
        kwargs = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return case | ({"kwargs": kwargs} if kwargs else {})


def _value(node: ast.expr) -> Any:
    """Return a literal of JSON's types; raise :class:`ValueError` for any other expression."""
    value = ast.literal_eval(node)
    if not _is_plain(value):
        raise ValueError("not of JSON's types")
    return value


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 2**63
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, str)

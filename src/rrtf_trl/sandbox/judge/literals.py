"""The values of literals in the tests' source."""

from __future__ import annotations

import ast
from typing import Any


def literal(node: ast.expr) -> tuple[Any] | None:
    """Return the value of a literal; None for other expressions. Faster than :func:`ast.literal_eval`."""
    try:
        return _literal(node)
    except TypeError:  # a list in a set
        return None


def _literal(node: ast.expr | None) -> tuple[Any] | None:
    if isinstance(node, ast.Constant):
        return (node.value,)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        items = [_literal(one) for one in node.elts]
        if None in items:
            return None
        values = [item[0] for item in items if item is not None]
        kind: Any = list if isinstance(node, ast.List) else tuple if isinstance(node, ast.Tuple) else set
        return (values if kind is list else kind(values),)
    if isinstance(node, ast.Dict):
        pairs = [(_literal(key), _literal(value)) for key, value in zip(node.keys, node.values, strict=True)]
        if any(key is None or value is None for key, value in pairs):
            return None
        return ({key[0]: value[0] for key, value in pairs if key is not None and value is not None},)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = node.operand
        if isinstance(inner, ast.Constant) and type(inner.value) in (int, float, complex):
            return (-inner.value,)  # type: ignore[operator]
    return None

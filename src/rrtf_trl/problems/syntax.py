"""Parse code that may be anything: published programs and prompts, responses of models."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator


def parsed(code: str) -> ast.Module | None:
    """Return the syntax tree of a program, or ``None`` if it is not Python or is nested too deep."""
    try:
        with warnings.catch_warnings(action="ignore"):  # published code has escapes such as \w
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def functions(code: str) -> Iterator[ast.FunctionDef]:
    """Yield the top-level functions of a program; none if it is not Python."""
    tree = parsed(code)
    yield from (node for node in (tree.body if tree else ()) if isinstance(node, ast.FunctionDef))

"""Blocks of the tests that expect an exception: ``with pytest.raises(ValueError): f(-1)``.

Where the expected class is none of the program's own, the program's process reports which exception ended the block,
and is not sent which one is expected.
"""

from __future__ import annotations

import ast
import re
import sys
from typing import Any

from .evaluation import Evaluate, Scope, Seen, report
from .names import clone

RAISES = "_rrtf_raises"
"""What stands for ``pytest.raises`` and ``assertRaises`` in the tests."""


class NotRaised(AssertionError):
    """A block ended in another exception than the expected one, or in none."""


def with_raises(node: ast.stmt) -> ast.stmt:
    """Return a statement with ``pytest.raises`` replaced, where its form is known."""
    found: ast.stmt = _Converter().visit(clone(node))
    return ast.fix_missing_locations(found)


class _Converter(ast.NodeTransformer):
    def visit_With(self, node: ast.With) -> ast.AST:
        self.generic_visit(node)
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.raises" and is_of_block(call):
                call.func = ast.copy_location(ast.Name(RAISES, ast.Load()), call.func)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        call = node.value
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.raises" and len(call.args) > 1:
            return block_of(call, node)
        return self.generic_visit(node)


def is_of_block(call: ast.Call) -> bool:
    """Return whether a call of ``raises`` has the arguments of one that is used by ``with``."""
    return len(call.args) == 1 and all(word.arg == "match" for word in call.keywords)


def block_of(call: ast.Call, node: ast.stmt) -> ast.With:
    """Return the block for ``raises(ValueError, f, -1)``."""
    body = ast.Expr(ast.Call(call.args[1], call.args[2:], call.keywords))
    item = ast.withitem(ast.Call(ast.Name(RAISES, ast.Load()), [call.args[0]], []))
    return ast.copy_location(ast.With([item], [body]), node)


def expected_by(node: ast.stmt) -> ast.Call | None:
    """Return the call of ``raises`` of a block in which nothing else is decided; None for other statements."""
    if not isinstance(node, ast.With) or len(node.items) != 1:
        return None
    call = node.items[0].context_expr
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == RAISES):
        return None
    kinds = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Pass)
    return call if is_of_block(call) and all(isinstance(one, kinds) for one in node.body) else None


def _standard_class(identity: list[str]) -> type | None:
    """Return a standard exception class by its module and name; None for others."""
    found = getattr(sys.modules.get(identity[0]), identity[1], None) if identity[0] != "solution" else None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def evaluator(kinds: Any, match: str | None, own_module: str) -> Evaluate | None:
    """Return what decides by a report; None where the expected classes are none.

    Args:
        kinds: The expected class, or several.
        match: A pattern that the exception's text has to match; None for any text.
        own_module: The name of the tests' module in the judge.
    """
    classes = kinds if isinstance(kinds, tuple) else (kinds,)
    if not classes or not all(isinstance(one, type) and issubclass(one, BaseException) for one in classes):
        return None
    expected = [["solution" if one.__module__ == own_module else one.__module__, one.__name__] for one in classes]
    shown = " or ".join(one.__name__ for one in classes)

    def evaluate(tree: Any, values: Scope, seen: Seen) -> bool:
        found = report(tree, seen)
        if found is None:
            raise NotRaised(f"it did not raise {shown}")
        names, text = found
        kinds = list(filter(None, map(_standard_class, names)))
        # A class of several standard ones, none of which is the base of all others, may be made to be any of them.
        seen.by_program |= not all(issubclass(kinds[0], one) for one in kinds)
        if not any(one in names for one in expected):
            raise NotRaised(f"it raised {names[0][1]}: {text[:100]}; expected {shown}")
        if match is not None and not re.search(match, text):
            raise NotRaised(f"{text[:100]!r} does not match {match!r}")
        return True

    return evaluate

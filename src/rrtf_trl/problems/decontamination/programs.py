"""Compare programs and tests by structure, ignoring names, comments and layout."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator
from typing import Any

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, Problem, Tests, content_hash

from .. import syntax

_GENERIC_NAMES = """f g func function foo bar solve solution answer main run test check candidate compute calculate
process method task program result find get is has to of from in the a by and with make do return give"""
_GENERIC = frozenset(_GENERIC_NAMES.split())


def name_parts(name: str) -> list[str]:
    """Return the specific words of a function's name: ``max`` and ``run`` for ``findMaxRun`` and ``find_max_run``."""
    parts = re.findall(r"[a-z]+|[A-Z][a-z]*|[A-Z]+(?![a-z])", name)
    return [part.lower() for part in parts if part.lower() not in _GENERIC]


def signature(problem: Problem) -> tuple[str, int] | None:
    """Return the name of a problem's function, in lower case without underscores, and its number of parameters.

    ``None`` if there is no function, its parameters are not known, or its name has only generic words.
    """
    name = problem.entry_point
    if name is None or not name_parts(name):
        return None
    for text in (problem.reference or "", problem.prompt if isinstance(problem.prompt, str) else ""):
        for code in (text, text + "\n    pass\n"):
            for node in functions(code):
                if node.name == name:
                    count = len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs)
                    return re.sub(r"[^a-z0-9]", "", name.lower()), count
    return None


def shapes(problem: Problem, smallest: int) -> set[str]:
    """Return a hash of the shape of each function of a problem's reference that has at least ``smallest`` nodes."""
    found = set()
    for function in functions(problem.reference or ""):
        with contextlib.suppress(RecursionError):  # no reference is nested that deep
            anonymous = _Anonymous().visit(function)
            if sum(1 for _ in ast.walk(anonymous)) >= smallest:
                found.add(content_hash(ast.dump(anonymous)))
    return found


def checks(tests: Tests, entry_point: str | None) -> set[str]:
    """Return the calls of a problem's tests with the expected values, as text without the function's name.

    Calls with only short numbers and empty values are left out, as too unspecific.
    """
    if isinstance(tests, CaseTests):
        rows = [(case["args"], case.get("kwargs", {}), case["expected"]) for case in tests.cases]
        return set(filter(_is_specific, map(repr, rows)))
    texts = tests.asserts if isinstance(tests, AssertTests) else [tests.check] if isinstance(tests, CheckTests) else []
    found: set[str] = set()
    for statement in (node for text in texts for node in _asserts(text)):
        with contextlib.suppress(RecursionError):
            text = ast.unparse(_Renamed({entry_point, "candidate"}).visit(statement.test))
            if "_function_" in text and _is_specific(text):
                found.add(text)
    return found


def functions(code: str) -> Iterator[ast.FunctionDef]:
    """Yield the top-level functions of a program and the methods of its classes; none if it is not Python."""
    tree = syntax.parsed(code)
    for node in tree.body if tree else []:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (part for part in node.body if isinstance(part, ast.FunctionDef))


def _asserts(code: str) -> Iterator[ast.Assert]:
    tree = syntax.parsed(code)
    yield from (node for node in (ast.walk(tree) if tree else ()) if isinstance(node, ast.Assert))


def _is_specific(text: str) -> bool:
    return len(re.sub(r"[^\w]", "", text.replace("_function_", ""))) >= 8


class _Anonymous(ast.NodeTransformer):
    """Numbers the names that a function binds, and drops everything that does not change its behaviour."""

    def __init__(self) -> None:
        self.numbers: dict[str, str] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        """Drop the decorators, annotations and docstring, and number the names."""
        if not self.numbers:
            nodes = list(ast.walk(node))
            bound = [part.arg for part in nodes if isinstance(part, ast.arg)]
            bound += [part.id for part in nodes if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
            bound += [part.name for part in nodes if isinstance(part, ast.FunctionDef)]
            for name in bound:
                self.numbers.setdefault(name, f"_{len(self.numbers)}")
        body = node.body
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and len(body) > 1:
            body = body[1:]
        node.name = self.numbers.get(node.name, "_")
        node.args = self.visit(node.args)
        node.body = [self.visit(statement) for statement in body]
        node.decorator_list = []
        node.returns = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Make an annotated assignment a plain one."""
        self.generic_visit(node)
        return node if node.value is None else ast.Assign(targets=[node.target], value=node.value)

    def visit_arg(self, node: ast.arg) -> Any:
        """Number a parameter."""
        return ast.arg(arg=self.numbers.get(node.arg, node.arg), annotation=None)

    def visit_Name(self, node: ast.Name) -> Any:
        """Number a name that the function binds; keep others, as those of built-ins."""
        return ast.Name(id=self.numbers.get(node.id, node.id), ctx=node.ctx)


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: set[str | None]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> Any:
        return ast.Name(id="_function_", ctx=node.ctx) if node.id in self.names else node

"""Programs and tests by their structure: the same, whatever the names, the comments and the layout."""

from __future__ import annotations

import ast
import contextlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, Problem, Tests, content_hash

_GENERIC_NAMES = """f g func function foo bar solve solution answer main run test check candidate compute calculate
process method task program result find get is has to of from in the a by and with make do return give"""
_GENERIC = frozenset(_GENERIC_NAMES.split())


def name_parts(name: str) -> list[str]:
    """Return the telling words of a function's name: ``findMaxRun`` and ``find_max_run`` give ``max``, ``run``."""
    parts = re.findall(r"[a-z]+|[A-Z][a-z]*|[A-Z]+(?![a-z])", name)
    return [part.lower() for part in parts if part.lower() not in _GENERIC]


def signature(problem: Problem) -> tuple[str, int] | None:
    """Return the name of a problem's function, in one spelling, and how many parameters it has.

    ``None`` where there is no function, its parameters are not known, or its name says nothing.
    """
    name = problem.entry_point
    if name is None:
        return None
    spelled = re.sub(r"[^a-z0-9]", "", name.lower())
    if not name_parts(name):
        return None
    texts = [problem.reference or "", problem.prompt if isinstance(problem.prompt, str) else ""]
    for text in texts:
        for code in (text, text + "\n    pass\n"):
            for node in functions(code):
                if node.name == name:
                    count = len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs)
                    return spelled, count
    return None


def shapes(problem: Problem, smallest: int) -> set[str]:
    """Return a hash of the shape of each function of a problem's reference that has at least ``smallest`` nodes."""
    found = set()
    for function in functions(problem.reference or ""):
        with contextlib.suppress(RecursionError):  # a program nested so deep is nobody's answer
            anonymous = _Anonymous().visit(function)
            if sum(1 for _ in ast.walk(anonymous)) >= smallest:
                found.add(content_hash(ast.dump(anonymous)))
    return found


def checks(tests: Tests, entry_point: str | None) -> set[str]:
    """Return the calls of a problem's tests with what is expected, as text without the function's name.

    Calls with nothing but short numbers and empty values say little and are left out.
    """
    found: set[str] = set()
    if isinstance(tests, AssertTests):
        statements = [node for text in tests.asserts for node in _asserts(text)]
    elif isinstance(tests, CheckTests):
        statements = list(_asserts(tests.check))
    elif isinstance(tests, CaseTests):
        rows = [(case["args"], case.get("kwargs", {}), case["expected"]) for case in tests.cases]
        return {repr(row) for row in rows if _tells_much(repr(row))}
    else:
        return found
    for statement in statements:
        try:
            text = ast.unparse(_Renamed({entry_point, "candidate"}).visit(statement.test))
        except RecursionError:
            continue
        if "_function_" in text and _tells_much(text):
            found.add(text)
    return found


def functions(code: str) -> Iterator[ast.FunctionDef]:
    """Yield the top-level functions of a program, and the methods of its classes; none where it is no Python."""
    tree = _parsed(code)
    for node in tree.body if tree is not None else []:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (part for part in node.body if isinstance(part, ast.FunctionDef))


def _parsed(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # published answers have escapes such as \w
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _asserts(code: str) -> Iterator[ast.Assert]:
    tree = _parsed(code)
    if tree is not None:
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.Assert))


def _tells_much(text: str) -> bool:
    return len(re.sub(r"[^\w]", "", text.replace("_function_", ""))) >= 8


class _Anonymous(ast.NodeTransformer):
    """Numbers the names that a function binds, and drops what does not change what it does."""

    def __init__(self) -> None:
        self.numbers: dict[str, str] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        """Forget name, decorators, annotations and docstring; then the names inside."""
        if not self.numbers:
            bound = [a.arg for a in ast.walk(node) if isinstance(a, ast.arg)]
            bound += [
                name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
            ]
            bound += [inner.name for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef)]
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
        """An annotated assignment is an assignment."""
        self.generic_visit(node)
        return node if node.value is None else ast.Assign(targets=[node.target], value=node.value)

    def visit_arg(self, node: ast.arg) -> Any:
        """Number a parameter."""
        return ast.arg(arg=self.numbers.get(node.arg, node.arg), annotation=None)

    def visit_Name(self, node: ast.Name) -> Any:
        """Number a name that the function binds; others are the language's."""
        return ast.Name(id=self.numbers.get(node.id, node.id), ctx=node.ctx)


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: set[str | None]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> Any:
        return ast.Name(id="_function_", ctx=node.ctx) if node.id in self.names else node

"""Reads pytest and unittest files as sources to be staged (:mod:`.staging`), where they are simple enough.

What they may use: test functions and classes, ``parametrize`` over lists that are written out, plain fixtures,
``setup_method`` and ``setUp``, ``pytest.raises``, and unittest's assertions, which become ``assert`` statements. Files
that use more are run by pytest itself (:mod:`.file_tests`).
"""

from __future__ import annotations

import ast
import itertools
import unittest
from collections.abc import Iterator

from .names import clone, loaded, stored
from .raising import RAISES, block_of, is_of_block, with_raises
from .source import TestSource

_COMPARES: dict[str, ast.cmpop] = {
    **dict.fromkeys(("Equal", "ListEqual", "DictEqual", "TupleEqual", "SetEqual", "MultiLineEqual"), ast.Eq()),
    **{"NotEqual": ast.NotEq(), "Is": ast.Is(), "IsNot": ast.IsNot(), "In": ast.In(), "NotIn": ast.NotIn()},
    **{"Greater": ast.Gt(), "GreaterEqual": ast.GtE(), "Less": ast.Lt(), "LessEqual": ast.LtE()},
}  # fmt: skip
_CASE = set(dir(unittest.TestCase)) - set(dir(object)) - {"setUp", "subTest"}
"""What test classes of unittest have, which are staged without their base class."""


_LEFT_OUT = {"pytest", "unittest", "TestCase"}
"""Names of which nothing is left when a file has been read."""


class _TooMuch(Exception):
    """The files use more than is staged."""


def read_files(files: dict[str, str]) -> TestSource | None:
    """Return the files' tests as a source; None where they use more than is staged."""
    try:
        reader = _Reader()
        line = 0
        for name, text in files.items():
            short = name.rpartition("/")[2]
            if not (short.startswith("test_") or short.endswith("_test.py")) or not short.endswith(".py"):
                return None
            reader.read(name, ast.increment_lineno(ast.parse(text), line))
            line += text.count("\n") + 2
    except (_TooMuch, SyntaxError, ValueError, RecursionError):
        return None
    body = [*reader.setup, *(one for _, _, statements in reader.units for one in statements)]
    names = {name for one in body for name in loaded(one)}
    if not reader.units or "unittest" in names or not all(map(_uses_approx_alone, body)):
        return None
    setup = [ast.parse("import pytest").body[0], *reader.setup] if "pytest" in names else reader.setup
    return TestSource(setup, reader.units, "", reader.program, None, in_function=True)


def _uses_approx_alone(node: ast.stmt) -> bool:
    """Return whether a statement uses nothing of pytest but ``approx``."""
    uses = [one for one in ast.walk(node) if isinstance(one, ast.Name) and one.id == "pytest"]
    approx = [one for one in ast.walk(node) if isinstance(one, ast.Attribute) and ast.unparse(one) == "pytest.approx"]
    return len(uses) == len(approx)


class _Reader:
    def __init__(self) -> None:
        self.setup: list[ast.stmt] = []
        self.units: list[tuple[str, str, list[ast.stmt]]] = []
        self.program: set[str] = set()
        self._fixtures: dict[str, list[str]] = {}
        self._modules = 0

    def read(self, name: str, tree: ast.Module) -> None:
        """Read one file."""
        imports = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
        imported = {item.asname or item.name for one in imports for item in one.names}
        used = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
        if used & _LEFT_OUT - imported:
            raise _TooMuch  # the file fails, and what is read of it would not
        tests: list[tuple[str, ast.FunctionDef, str]] = []
        defined: set[str] = set()
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "solution":
                if any(item.name == "*" for item in node.names):
                    raise _TooMuch
                self.program |= {item.asname or item.name for item in node.names}
                self.setup.append(node)
            elif isinstance(node, ast.Import) and any(item.name == "solution" for item in node.names):
                self.program |= {item.asname or item.name for item in node.names}
                self.setup.append(node)
            elif isinstance(node, ast.Import) and {item.name for item in node.names} <= {"pytest", "unittest"}:
                if any(item.asname for item in node.names):
                    raise _TooMuch
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                tests.append((node.name, node, ""))
            elif isinstance(node, ast.FunctionDef) and node.decorator_list:
                self._fixture(node)
            elif isinstance(node, ast.ClassDef) and (node.name.startswith("Test") or _is_case(node)):
                tests += self._class(node)
            elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"):
                self.setup.append(_convert(node))
            defined |= stored(node)
        if self._modules and defined & {name for one in self.setup for name in stored(one)} - self.program:
            raise _TooMuch  # two files define the same name
        self._modules += 1
        for label, node, owner in tests:
            for suffix, assigns in _parameters(node):
                body = [*self._instance(owner), *assigns, *self._arguments(node, assigns, bool(owner))]
                body += [_convert(one) for one in clone(node.body)]
                self.units.append((f"{name}::{label}{suffix}", "", body))

    def _fixture(self, node: ast.FunctionDef) -> None:
        """Note a fixture that is a plain function, and define it."""
        if [ast.unparse(one) for one in node.decorator_list] not in (["pytest.fixture"], ["pytest.fixture()"]):
            raise _TooMuch
        if any(isinstance(one, ast.Yield | ast.YieldFrom) for one in ast.walk(node)):
            raise _TooMuch
        self._fixtures[node.name] = [one.arg for one in node.args.args]
        plain = clone(node)
        plain.name, plain.decorator_list = f"_fixture_{node.name}", []
        self.setup.append(_convert(plain))

    def _class(self, node: ast.ClassDef) -> list[tuple[str, ast.FunctionDef, str]]:
        """Define a class of tests without its tests; return them."""
        if node.decorator_list or (node.bases and not _is_case(node)):
            raise _TooMuch
        tests = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test")]
        others = {one.name for one in node.body if isinstance(one, ast.FunctionDef)} - {one.name for one in tests}
        if others & {"tearDown", "teardown_method", "setUpClass", "tearDownClass", "setup_class", "teardown_class"}:
            raise _TooMuch
        plain = clone(node)
        plain.bases = []
        plain.body = [
            one for one in plain.body if not (isinstance(one, ast.FunctionDef) and one.name.startswith("test"))
        ]
        plain.body = plain.body or [ast.Pass()]
        self.setup.append(_convert(plain))
        before = "setUp" if "setUp" in others else "setup_method" if "setup_method" in others else ""
        if before == "setup_method" and any(
            isinstance(one, ast.FunctionDef) and one.name == before and len(one.args.args) > 1 for one in node.body
        ):
            raise _TooMuch
        return [(f"{node.name}::{one.name}", one, f"{node.name}.{before}") for one in tests]

    def _instance(self, owner: str) -> list[ast.stmt]:
        if not owner:
            return []
        name, _, before = owner.partition(".")
        text = f"self = {name}()\n" + (f"self.{before}()\n" if before else "")
        return list(ast.parse(text).body)

    def _arguments(self, node: ast.FunctionDef, assigns: list[ast.stmt], method: bool) -> list[ast.stmt]:
        """Return statements that give a test its fixtures."""
        arguments = [one.arg for one in node.args.args][1 if method else 0 :]
        if node.args.vararg or node.args.kwarg or node.args.kwonlyargs or node.args.defaults:
            raise _TooMuch
        known = {name for one in assigns for name in stored(one)}
        found: list[ast.stmt] = []
        for name in arguments:
            if name not in known:
                found += ast.parse(f"{name} = {self._made(name)}").body
        return found

    def _made(self, fixture: str, depth: int = 0) -> str:
        if fixture not in self._fixtures or depth > 10:
            raise _TooMuch
        inner = ", ".join(self._made(one, depth + 1) for one in self._fixtures[fixture])
        return f"_fixture_{fixture}({inner})"


def _is_case(node: ast.ClassDef) -> bool:
    return [ast.unparse(one) for one in node.bases] in (["unittest.TestCase"], ["TestCase"])


def _parameters(node: ast.FunctionDef) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Yield, for each set of parameters of a test, a suffix of its name, and statements that assign them."""
    choices: list[list[list[ast.stmt]]] = []
    for one in node.decorator_list:
        if not (isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.parametrize"):
            raise _TooMuch
        if len(one.args) != 2 or one.keywords or not isinstance(one.args[1], ast.List | ast.Tuple):
            raise _TooMuch
        names = ast.literal_eval(one.args[0])
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        rows: list[list[ast.stmt]] = []
        for value in one.args[1].elts:
            values = [value] if len(names) == 1 else value.elts if isinstance(value, ast.Tuple | ast.List) else []
            if len(values) != len(names) or any(isinstance(inner, ast.Starred) for inner in values):
                raise _TooMuch
            if "pytest" in loaded(value):
                raise _TooMuch
            rows.append(
                [
                    ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], clone(inner)), inner)
                    for name, inner in zip(names, values, strict=True)
                ]
            )
        choices.append(rows)
    for numbers in itertools.product(*[range(len(rows)) for rows in reversed(choices)]):
        assigns = [one for rows, at in zip(reversed(choices), numbers, strict=True) for one in rows[at]]
        yield (f"[{'-'.join(str(at) for at in numbers)}]" if numbers else ""), assigns


def _convert(node: ast.stmt) -> ast.stmt:
    """Return a statement with unittest's assertions and ``pytest.raises`` replaced."""
    found: ast.stmt = _Converter().visit(with_raises(node))
    return ast.fix_missing_locations(found)


class _Converter(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        call = node.value
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("self.fail", "pytest.fail"):
            return ast.copy_location(ast.Assert(ast.Constant(False), call.args[0] if call.args else None), node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and _is_self(call.func.value):
            name = call.func.attr
            if name == "assertRaises" and len(call.args) > 1:
                return self.generic_visit(block_of(call, node))
            if name.startswith("assert"):
                return ast.copy_location(ast.Assert(_truth_of(name.removeprefix("assert"), call)), node)
        return self.generic_visit(node)

    def visit_With(self, node: ast.With) -> ast.AST:
        """Replace ``with self.subTest(...)`` by its body: a test of which one part fails has failed."""
        self.generic_visit(node)
        items = [one for one in node.items if ast.unparse(one.context_expr).partition("(")[0] != "self.subTest"]
        if items:
            node.items = items
            return node
        return ast.copy_location(ast.If(ast.Constant(True), node.body, []), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        text = ast.unparse(node.func)
        if text == "self.assertRaises" and is_of_block(node):
            node.func = ast.copy_location(ast.Name(RAISES, ast.Load()), node.func)
        elif text == "self.assertRaisesRegex" and len(node.args) == 2:
            word = ast.keyword("match", node.args[1])
            return ast.copy_location(ast.Call(ast.Name(RAISES, ast.Load()), node.args[:1], [word]), node)
        elif isinstance(node.func, ast.Attribute) and _is_self(node.func.value) and node.func.attr in _CASE:
            raise _TooMuch
        return node


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _truth_of(name: str, call: ast.Call) -> ast.expr:
    """Return the expression whose truth an assertion of unittest is."""
    if any(word.arg != "msg" for word in call.keywords):
        raise _TooMuch
    first, *more = call.args
    if name in _COMPARES and more:
        return ast.Compare(first, [_COMPARES[name]], more[:1])
    if name == "True":
        return first
    if name == "False":
        return ast.UnaryOp(ast.Not(), first)
    if name in ("IsNone", "IsNotNone"):
        return ast.Compare(first, [ast.Is() if name == "IsNone" else ast.IsNot()], [ast.Constant(None)])
    if name in ("IsInstance", "NotIsInstance") and more:
        asked = ast.Call(ast.Name("isinstance", ast.Load()), [first, more[0]], [])
        return asked if name == "IsInstance" else ast.UnaryOp(ast.Not(), asked)
    if name == "AlmostEqual" and len(more) == 1:
        apart = ast.Call(ast.Name("abs", ast.Load()), [ast.BinOp(first, ast.Sub(), more[0])], [])
        rounded = ast.Call(ast.Name("round", ast.Load()), [apart, ast.Constant(7)], [])
        return ast.Compare(rounded, [ast.Eq()], [ast.Constant(0)])
    raise _TooMuch

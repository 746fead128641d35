"""The kinds of tests that use a program's functions and classes, as sources to be staged (:mod:`.staging`)."""

from __future__ import annotations

import ast
import builtins
import sys
import types
from typing import Any

from ..common.compare import same
from ..common.faults import BadTests, Fault
from ..common.messages import cut, short
from .evaluation import Seen, report
from .forms import tainted_names
from .names import FUNCTIONS, loaded, stored
from .parts import Atom
from .raising import with_raises
from .script import Check, Script, Unit, compile_unit
from .source import TestSource
from .world import WORLD, is_of_the_world

Scope = dict[str, Any]
SCOPES = ("rrtf_tests", "rrtf_context")
"""The names of the modules as which trusted code runs."""


def read_check(tests: dict[str, Any], entry: str, context: Context) -> TestSource:
    """Return the source of a function ``check(candidate)``: HumanEval."""
    body = parse_trusted(tests["check"], "check").body
    check = next((one for one in body if isinstance(one, ast.FunctionDef) and one.name == "check"), None)
    if check is not None and not check.decorator_list and len(check.args.args) == 1:
        setup = [one for one in body if one is not check]
        return context.source(setup, [("check", "", check.body)], check.args.args[0].arg, entry)
    if not any("check" in stored(one) for one in body):
        raise BadTests("check: no function 'check' is defined")
    call = ast.parse("check(candidate)").body
    return context.source(body, [("check", "", call)], "candidate", entry)


def read_asserts(tests: dict[str, Any], entry: str | None, context: Context) -> TestSource:
    """Return the source of a list of assert statements: MBPP."""
    setup = parse_trusted(tests["setup"], "setup").body
    units, line = [], tests["setup"].count("\n") + 2
    for index, text in enumerate(tests["asserts"]):
        tree = ast.increment_lineno(parse_trusted(text, f"test {index}"), line)  # no two places are the same
        units.append((f"test {index}: {cut(text.strip())}", text, tree.body))
        line += text.count("\n") + 2
    return context.source(setup, units, "", entry, shares_globals=True)


def script_of_cases(tests: dict[str, Any], entry: str) -> Script:
    """Return the script of calls with expected answers, compared here: EvalPlus."""
    atol: float = tests["atol"]
    units, checks = [Unit("setup", "", None)], []
    values: list[Any] = []
    for index, case in enumerate(tests["cases"]):
        arguments: list[ast.expr] = []
        for value in case["args"]:
            arguments.append(ast.Name(f"_rrtf_{len(values)}", ast.Load()))
            values.append(value)
        named = []
        for key, value in case.get("kwargs", {}).items():
            named.append(ast.keyword(key, ast.Name(f"_rrtf_{len(values)}", ast.Load())))
            values.append(value)
        call = ast.Call(ast.Name(entry, ast.Load()), arguments, named)
        report_it = ast.Call(ast.Name("_rrtf_see", ast.Load()), [ast.Constant(index), ast.Constant(False), call], [])
        expected = case["expected"]

        def evaluate(tree: Any, changed: dict[str, Any], seen: Seen, expected: Any = expected) -> bool:
            return same(expected, report(tree, seen), atol)

        code = compile_unit([ast.Expr(report_it)], "tests")
        checks.append(Check(None, evaluate, Atom(call), expected=lambda expected=expected: short(expected)))  # type: ignore[misc]
        units.append(Unit(f"case {index}", "", code, [index], 1, reports_end=False))
    return Script(units, checks, values, calls=True)


class Context:
    """The trusted code beside a problem's tests: HumanEval's prompt with its reference, for instance.

    Args:
        source: The code.
        entry: The function that is judged.
        helpers: The names that tests take from it and not from the program: those that the problem's prompt defines.
    """

    def __init__(self, source: str, entry: str | None, helpers: list[str]) -> None:
        self.text = source
        self._entry = entry
        self._tree = parse_trusted(source, "context") if source else ast.Module([], [])
        imported = {
            name
            for one in self._tree.body
            if isinstance(one, ast.Import | ast.ImportFrom)
            for name in stored(one)
            if name != "*"
        }
        functions = {one.name for one in self._tree.body if isinstance(one, ast.FunctionDef)}
        self._shared = imported | (functions & set(helpers) - {entry})

    def source(
        self,
        setup: list[ast.stmt],
        units: list[tuple[str, str, list[ast.stmt]]],
        argument: str,
        entry: str | None,
        shares_globals: bool = False,
    ) -> TestSource:
        """Return the tests' source with the names that the program defines, and those that are defined beside it.

        Args:
            setup: See :class:`.source.TestSource`, as for what follows.
            units: The tests.
            argument: The name of the entry point in a ``check``.
            entry: The entry point.
            shares_globals: Whether the tests run in the program's own module.
        """
        body = [*setup, *(one for _, _, statements in units for one in statements)]
        used = {name: None for one in body for name in loaded(one)}
        if "pytest" in used:
            setup = list(map(with_raises, setup))
            units = [(label, text, list(map(with_raises, statements))) for label, text, statements in units]
        bound = {name for one in body for name in stored(one)}
        wanted = [name for name in used if name not in bound | {argument} and not hasattr(builtins, name)]
        program = {name for name in wanted if name not in self._shared and name not in sys.stdlib_module_names}
        if entry is not None:
            program.add(entry)
        elif not program:
            program |= {name for _, _, statements in units for name in _first_called(statements)}
        scope: Scope = {}
        for name in wanted:
            if name in sys.stdlib_module_names and name not in self._shared and name not in program:
                setup = [ast.parse(f"import {name}").body[0], *setup]  # some tests rely on the reference's imports
        if self._shared.intersection(used):
            of_the_world = self._of_the_world(program, used)
            setup = [*of_the_world, *setup]
            hidden = program | {name for one in of_the_world for name in stored(one)}
            scope = {name: value for name, value in self._run().items() if name not in hidden}
        source = TestSource(setup, units, argument, program, entry, self._tree.body if scope else [], scope)
        source.has_reference = bool(self.text)
        source.functions = {one.name for one in self._tree.body if isinstance(one, FUNCTIONS)}
        if shares_globals:
            defined = {name for one in self._tree.body for name in stored(one)}
            source.patches = {name for name in bound if name not in used or name in defined}
        return source

    def _of_the_world(self, program: set[str], used: dict[str, None]) -> list[ast.stmt]:
        """Return the definitions of used helpers that run code or open files: the program's process has to do that."""
        definitions = {name: one for one in self._tree.body for name in stored(one) if name not in program}
        imports = {
            name
            for name, one in definitions.items()
            if isinstance(one, ast.Import | ast.ImportFrom) and is_of_the_world(one)
        }
        of_the_world = tainted_names(definitions.values(), WORLD | imports)
        found: dict[str, None] = {}
        waiting = [name for name in used if name in self._shared]
        while waiting:
            name = waiting.pop()
            if name in definitions and name in of_the_world and name not in found:
                found[name] = None
                waiting += loaded(definitions[name])
        return [one for one in self._tree.body if not stored(one).isdisjoint(found)]

    def _run(self) -> Scope:
        scope = new_scope("rrtf_context")
        run_trusted(compile_trusted(self._tree, "context"), scope, "context")
        return {name: value for name, value in scope.items() if not name.startswith("__")}


def new_scope(name: str) -> Scope:
    """Return the globals of a new module, which is in ``sys.modules`` as dataclasses and others need it."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module.__dict__


def parse_trusted(source: str, what: str) -> ast.Module:
    """Parse tests; raises :class:`BadTests`."""
    try:
        compile(source, f"<{what}>", "exec", dont_inherit=True)
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise BadTests(f"{what}: {error}") from None


def compile_trusted(source: str | ast.Module, what: str) -> types.CodeType:
    """Compile tests; raises :class:`BadTests`."""
    try:
        return compile(source, f"<{what}>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise BadTests(f"{what}: {error}") from None


def run_trusted(code: types.CodeType, scope: Scope, what: str) -> None:
    """Execute tests; what they raise becomes a :class:`BadTests`."""
    try:
        exec(code, scope)
    except (Fault, BadTests):
        raise
    except BaseException as error:
        raise BadTests(f"{what}: {type(error).__name__}: {error}") from None


def _first_called(body: list[ast.stmt]) -> list[str]:
    """Return ``["f"]`` for ``assert f(...) == ...``: MBPP has a task whose function is called ``sum``."""
    for node in body:
        if isinstance(node, ast.Assert):
            first = node.test.left if isinstance(node.test, ast.Compare) else node.test
            if isinstance(first, ast.Call) and isinstance(first.func, ast.Name):
                return [first.func.id]
    return []

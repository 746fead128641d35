"""A problem's tests, compiled once, and run against any number of programs.

A suite lists the names that it needs of a program, and yields its tests as functions that pass by returning. They
run in the judge's process and are trusted; they get proxies (:mod:`.proxies`) for what the program defines.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ..common.compare import same
from ..common.faults import BadTests, Diverged, Fault
from ..common.messages import cut, short
from .failures import expected_side, failing_line
from .trace import FORGIVEN, BlindAnswer, Facts, Unseen, blindfold

Scope = dict[str, Any]
SCOPES = ("rrtf_tests", "rrtf_context")
"""The names of the modules as which trusted code runs."""


@dataclass
class Test:
    """One test of a suite.

    Args:
        label: Its name, for messages.
        run: Runs the test, which passes by returning.
        index: Its index in its suite, where there are several.
        expected: From the failure, what the test expected, for messages; None where that is not known.
    """

    label: str
    run: Callable[[], None]
    index: int | None = None
    expected: Callable[[BaseException], str | None] = lambda error: None


class Suite(Protocol):
    """The tests of one problem.

    Attributes:
        names: The names that a program may define for them.
        keeps_arguments: Whether they may use arguments again after they passed them.
        context: The trusted code beside them.
        total: How many they are.
        must_define: Whether a program without the entry point fails before any test.
    """

    names: list[str]
    keeps_arguments: bool
    context: Context
    total: int
    must_define: bool

    @property
    def entry(self) -> str | None:
        """The function or class that is judged."""

    def tests(self, found: Scope, blind: bool = False) -> Iterator[Test]:
        """Yield the tests.

        Args:
            found: By name, what the program defines, or what takes its place in a rehearsal.
            blind: Whether asserts always pass.
        """


class Context:
    """The trusted code beside a problem's tests: HumanEval's prompt with its reference, for instance.

    Args:
        source: The code.
        entry: The function that is judged; the context's own definition of it is used for rehearsals only.
    """

    def __init__(self, source: str, entry: str | None) -> None:
        self.source = source
        self.entry = entry
        self._code = compile_trusted(source, "context") if source else None

    def scope(self) -> Scope:
        """Execute the context again and return all that it defines."""
        scope = new_scope("rrtf_context")
        if self._code is not None:
            run_trusted(self._code, scope, "context")
        return {name: value for name, value in scope.items() if not name.startswith("__")}

    def helpers(self, found: Scope, facts: Callable[[], Facts]) -> Scope:
        """Return what the tests use of the context: all but the function that is judged, and shared classes.

        A class whose objects the tests pass to the program has to be the program's own.
        """
        if self._code is None or self.entry is None:
            return {}  # without an entry point, the program may have to define any of its names
        helpers = {name: value for name, value in self.scope().items() if name != self.entry}
        for name in found:
            if isinstance(helpers.get(name), type) and name in facts().shared:
                del helpers[name]
        return helpers


class CheckSuite:
    """Code that defines ``check(candidate)``: HumanEval."""

    def __init__(self, tests: dict[str, Any], entry: str, context: Context, facts: Callable[[], Facts]) -> None:
        self._source: str = tests["check"]
        self._code = {False: compile_trusted(self._source, "check")}
        self._facts = facts
        self.entry: str = entry
        self.context = context
        self.names = list(dict.fromkeys([entry, *class_names(context.source)]))
        self.keeps_arguments = _keeps_arguments([self._source])
        self.total = 1
        self.must_define = True

    def tests(self, found: Scope, blind: bool = False) -> Iterator[Test]:
        """Yield the one test that a check is."""
        if blind and True not in self._code:
            self._code[True] = compile_trusted(blindfold(ast.parse(self._source)), "check")
        scope = new_scope("rrtf_tests")
        scope.update(self.context.helpers(found, self._facts))
        scope.update((name, value) for name, value in found.items() if name not in scope)
        # Tests that call the function by its name must call the program's, not the reference in the context.
        scope[self.entry] = found[self.entry]
        scope[FORGIVEN] = (Exception, BlindAnswer)
        run_trusted(self._code[blind], scope, "check")
        check = scope.get("check")
        if not callable(check):
            raise BadTests("check: no function 'check' is defined")

        def run() -> None:
            try:
                check(found[self.entry])
            except AssertionError as error:
                line = failing_line(error, self._source)
                raise AssertionError(f"{line} ({error})" if str(error) else line) from error

        program = set(self.names) | {"candidate"}
        yield Test("check", run, None, lambda error: expected_side(error, self._source, "<check>", program))


class AssertSuite:
    """A list of assert statements: MBPP."""

    def __init__(self, tests: dict[str, Any], entry: str | None, context: Context, facts: Callable[[], Facts]) -> None:
        self._setup_source: str = tests["setup"]
        self._sources: list[str] = tests["asserts"]
        self._setup = compile_trusted(self._setup_source, "setup")
        self._asserts = {False: [compile_trusted(line, f"test {at}") for at, line in enumerate(self._sources)]}
        self._facts = facts
        self.entry: str | None = entry
        self.context = context
        self.names = _called_names(self._setup_source, self._sources, entry)
        self.keeps_arguments = _keeps_arguments([self._setup_source, *self._sources])
        self.total = len(self._sources)
        self.must_define = False

    def tests(self, found: Scope, blind: bool = False) -> Iterator[Test]:
        """Yield a test for each statement; they share a scope, in which the setup was run."""
        if blind and True not in self._asserts:
            trees = [blindfold(ast.parse(line)) for line in self._sources]
            self._asserts[True] = [compile_trusted(tree, f"test {at}") for at, tree in enumerate(trees)]
        scope = new_scope("rrtf_tests")
        helpers = self.context.helpers(found, self._facts)
        # A few tests rely on the reference's imports; modules of the standard library need not be the program's.
        missing = [name for name in self.names if name not in found and name not in helpers]
        scope.update((name, importlib.import_module(name)) for name in missing if name in sys.stdlib_module_names)
        scope.update(helpers)
        scope.update((name, value) for name, value in found.items() if name not in helpers)
        scope[FORGIVEN] = (Exception, BlindAnswer)
        run_trusted(self._setup, scope, "setup")
        names = set(self.names)
        for index, (source, code) in enumerate(zip(self._sources, self._asserts[blind], strict=True)):

            def run(code: types.CodeType = code) -> None:
                exec(code, scope)

            def expected(error: BaseException, source: str = source, index: int = index) -> str | None:
                return expected_side(error, source, f"<test {index}>", names)

            yield Test(f"test {index}: {cut(source.strip())}", run, index, expected)


class CaseSuite:
    """Calls with expected answers, compared here: EvalPlus."""

    def __init__(self, tests: dict[str, Any], entry: str, context: Context) -> None:
        self._cases: list[dict[str, Any]] = tests["cases"]
        self._atol: float = tests["atol"]
        self.entry: str = entry
        self.context = context
        self.names = [entry]
        self.keeps_arguments = False
        self.total = len(self._cases)
        self.must_define = True

    def tests(self, found: Scope, blind: bool = False) -> Iterator[Test]:
        """Yield a test for each case."""
        function = found[self.entry]
        for index, case in enumerate(self._cases):

            def run(case: dict[str, Any] = case) -> None:
                answer = function(*case["args"], **case.get("kwargs", {}))
                if not isinstance(answer, Unseen) and not same(case["expected"], answer, self._atol):
                    raise AssertionError(f"expected {short(case['expected'])}")

            yield Test(f"case {index}", run, index, lambda error, case=case: short(case["expected"]))  # type: ignore[misc]


def new_scope(name: str) -> Scope:
    """Return the globals of a new module, which is in ``sys.modules`` as dataclasses and others need it."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module.__dict__


def compile_trusted(source: str | ast.Module, what: str) -> types.CodeType:
    """Compile tests; raises :class:`BadTests`."""
    try:
        return compile(source, f"<{what}>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise BadTests(f"{what}: {error}") from None


def run_trusted(code: types.CodeType, scope: Scope, what: str) -> None:
    """Execute tests; what they raise becomes a :class:`BadTests`, unless the program caused it."""
    try:
        exec(code, scope)
    except (Fault, Diverged, BlindAnswer, BadTests):
        raise
    except BaseException as error:
        raise BadTests(f"{what}: {type(error).__name__}: {error}") from None


def class_names(source: str) -> list[str]:
    """Return the classes that a module defines at top level."""
    if "class " not in source:
        return []
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]


def defined_names(source: str) -> set[str]:
    """Return the names that a module defines at top level, without imports."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            found |= {
                inner.id
                for inner in ast.walk(node)
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            }
    return found


def _called_names(setup: str, asserts: list[str], entry_point: str | None) -> list[str]:
    """Return the names that the tests use and that only the program can define.

    A built-in name counts if it is the entry point, or, without one, if the tests call nothing else: MBPP has a task
    whose function is called ``sum``.
    """
    used: dict[str, None] = {}
    defined: set[str] = set()
    for text in (setup, *asserts):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    used[node.id] = None
                else:
                    defined.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.arg):
                defined.add(node.arg)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                defined.update((item.asname or item.name).partition(".")[0] for item in node.names)
    names = [name for name in used if name not in defined and not hasattr(builtins, name)]
    if entry_point is not None:
        return list(dict.fromkeys([entry_point, *names]))
    if names:
        return names
    return list(dict.fromkeys(name for text in asserts for name in _first_called(text)))


def _keeps_arguments(sources: list[str]) -> bool:
    """Return whether tests pass named values, which they may use again, to functions other than built-ins."""
    named = ast.Name | ast.Starred | ast.Attribute | ast.Subscript
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                of_builtin = isinstance(node.func, ast.Name) and hasattr(builtins, node.func.id)
                if not of_builtin and any(isinstance(argument, named) for argument in node.args):
                    return True
    return False


def _first_called(line: str) -> list[str]:
    """Return ``["f"]`` for ``assert f(...) == ...``."""
    for node in ast.parse(line).body:
        if isinstance(node, ast.Assert):
            first = node.test.left if isinstance(node.test, ast.Compare) else node.test
            if isinstance(first, ast.Call) and isinstance(first.func, ast.Name):
                return [first.func.id]
    return []

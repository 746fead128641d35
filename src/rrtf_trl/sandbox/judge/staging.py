"""Prepares a problem's tests: the judge runs what needs no program, and collects what a program's process has to run.

The tests are walked statement by statement, as the interpreter would. A statement that uses nothing of the program is
executed here. One that does becomes code for the program's process, with the values that it needs; its assertions are
split (:mod:`.splitting`), so that what they expect stays here. Loops over data of the tests are unrolled. What the
program decides (a loop over its answers, ``try``, ``with``, a function that calls it) goes to its process whole.

The same :class:`~.script.Script` serves all programs of the problem, and all of it is sent at once: no program learns
from the questions which of its answers were right.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from functools import cached_property
from typing import Any

from ..common.faults import BadTests
from .forms import (
    columns,
    leaves,
    leaves_by_data,
    loop_of_all,
    tainted_names,
    with_globals,
    without_walrus,
)
from .guest_code import name
from .names import FUNCTIONS, loaded, stored, walrus
from .namespace import MustLive
from .raising import expected_by
from .script import Script, Unit
from .sending import Sender
from .source import TestSource
from .world import is_of_the_world

_MOST_STATEMENTS = 20_000
"""Statements of unrolled loops; a longer loop goes to the program's process whole."""
_MOST_RESTARTS = 50


class _Leave(Exception):
    """The tests leave a loop or their function: what they leave is the statement's type."""

    def __init__(self, node: ast.stmt) -> None:
        super().__init__()
        self.kind = type(node)


class _SendWhole(Exception):
    """A loop has too many rounds to be unrolled, or is over what only the program's process can have."""


def stage(source: TestSource, revealed: set[int], live: set[str], new_scope: Callable[[], dict[str, Any]]) -> Script:
    """Run the judge's part of the tests, and return what a program's process has to run.

    Args:
        source: The tests.
        revealed: As in :class:`.splitting.Splitter`.
        live: Variables of the tests that the reference changes, so that they have to live in the program's process.
        new_scope: Returns the globals of a new module for the judge's part.

    Raises:
        BadTests: If the judge's part fails in the setup.
    """
    forced = set(live)
    for _ in range(_MOST_RESTARTS):
        try:
            return _Stager(source, revealed, forced, new_scope()).script()
        except MustLive as found:
            if forced.issuperset(found.names):
                break
            forced.update(found.names)
    raise BadTests("their variables could not be divided between the judge and the program")


class _Stager:
    def __init__(self, source: TestSource, revealed: set[int], forced: set[str], scope: dict[str, Any]) -> None:
        self._source = source
        self._sender = Sender(source, revealed, forced, scope)
        self._known, self._splitter, self._checks = self._sender.known, self._sender.splitter, self._sender.checks
        scope.update(source.scope)
        for statement in source.helpers:
            for one in stored(statement):
                if one not in self._known.guest:
                    self._known.definitions[one] = statement

    @cached_property
    def _tainted(self) -> set[str]:
        """Return the names that may ever hold something of the program's process."""
        statements = [*self._source.setup, *(one for _, _, body in self._source.units for one in body)]
        return tainted_names(statements, self._source.program | self._known.forced)

    # -- Units -----------------------------------------------------------------------------------------

    def script(self) -> Script:
        """Walk all of the tests."""
        units = [self._unit("setup", "", self._source.setup, is_setup=True)]
        for label, text, body in self._source.units:
            state = self._known.snapshot() if self._source.in_function else []
            units.append(self._unit(label, text, body))
            if self._source.in_function:
                self._known.restore(state)
        return self._sender.script(units)

    def _unit(self, label: str, text: str, body: list[ast.stmt], is_setup: bool = False) -> Unit:
        self._sender.begin()
        failure: BaseException | None = None
        argument = "" if is_setup else self._source.argument
        if argument:
            self._known.guest.add(argument)
            self._known.functions.add(argument)
        try:
            self._run(body)
        except (_Leave, MustLive) as end:
            if isinstance(end, MustLive):
                raise
        except BadTests:
            raise
        except Exception as error:
            if is_setup:
                raise BadTests(f"setup: {type(error).__name__}: {error}") from None
            failure = error
        is_body = bool(argument) or (self._source.in_function and not is_setup)
        return self._sender.unit(label, text, [argument] if argument else [], failure, is_body)

    # -- Statements ------------------------------------------------------------------------------------

    def _run(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assert):
            self._assert(node.test, node)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            self._define(node)
        elif isinstance(node, ast.Return | ast.Break | ast.Continue):
            if self._uses(node):
                self._sender.send(node)
            raise _Leave(node)
        elif not self._is_guest(node) and not leaves(node):
            self._execute(node)
        elif isinstance(node, ast.If) and not self._uses(node.test):
            self._evaluate_steadily(node.test)
            self._run(node.body if self._known.evaluate(node.test) else node.orelse)
        elif isinstance(node, ast.For | ast.While) and self._can_unroll(node):
            self._loop(node)
        elif (expected := expected_by(node)) is not None and self._sender.expect(node, expected):  # type: ignore[arg-type]
            pass
        elif self._is_procedure(node):
            assert isinstance(node, ast.Expr)
            test = ast.BoolOp(ast.Or(), [node.value, ast.copy_location(ast.Constant(True), node)])
            self._sender.check(ast.copy_location(test, node))
        else:
            self._sender.send(node)

    def _uses(self, node: ast.AST) -> bool:
        return self._splitter.uses_guest(node)

    def _is_procedure(self, node: ast.stmt) -> bool:
        """Return whether a statement calls a function of the tests' on answers, as a check of its own.

        Without a reference it is not known whether the function needs objects: then it goes to the program's process.
        """
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)) or self._uses(node.value.func):
            return False
        function = self._splitter.value_of(node.value.func)
        if isinstance(function, types.FunctionType) and function.__globals__ is self._known.scope:
            return self._source.has_reference
        return str(getattr(function, "__name__", "")).startswith("assert")

    def _is_guest(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.Delete) and not self._known.guest.isdisjoint(stored(node)):
            return True
        if isinstance(node, ast.Import | ast.ImportFrom) and is_of_the_world(node):
            return True
        forced = self._known.forced
        return bool(forced and not forced.isdisjoint(stored(node))) or self._uses(node)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        """Define a function or class of the tests: here, or in the program's process where it uses the program."""
        known, forced = self._known, self._known.forced
        names = {node.name, *loaded(node)}
        if not (known.guest | self._tainted | forced).isdisjoint(names):
            self._sender.send(node)
            return
        known.definitions[node.name] = node
        self._execute(with_globals(node) if self._source.in_function else node)

    def _execute(self, node: ast.stmt) -> None:
        """Execute a statement of the tests here; in the program's process as well where that may matter to it."""
        known = self._known
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)):  # a second name for a value
            self._evaluate_steadily(node)
        known.run(node)
        names = stored(node)
        known.bind_here(names)
        if isinstance(node, ast.Import | ast.ImportFrom):
            known.definitions.update(dict.fromkeys(names, node))
        elif self._may_be_for_the_program(node):
            self._sender.send(node)
        if self._source.patches and not self._source.patches.isdisjoint(names):
            known.ship(names)

    def _may_be_for_the_program(self, node: ast.stmt) -> bool:
        """Return whether a statement calls a module's function for its effect, and not on data, as ``random.seed``."""
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            return False
        return self._known.is_of_module(node.value.func) and not any(map(self._known.is_variable, loaded(node.value)))

    def _evaluate_steadily(self, node: ast.AST) -> None:
        """Have the variables reported that a statement of the judge's reads and the program may have changed."""
        crossed = self._known.crossed(loaded(node))
        if crossed:
            self._checks.must_be_steady(crossed)

    # -- Loops -----------------------------------------------------------------------------------------

    def _can_unroll(self, node: ast.For | ast.While) -> bool:
        """Return whether the judge alone decides how a loop runs."""
        if isinstance(node, ast.While) and self._uses(node.test):
            return False
        if isinstance(node, ast.For) and self._uses(node.iter) and not columns(node, self._uses):
            return False
        tainted = tainted_names([node], self._known.guest | self._known.forced)
        if isinstance(node, ast.While) and not tainted.isdisjoint(loaded(node.test)):
            return False
        return all(leaves_by_data(one, tainted) for one in node.body)

    def _loop(self, node: ast.For | ast.While) -> None:
        mark = self._sender.mark()
        try:
            if not self._unroll(node):
                self._run(node.orelse)
        except _SendWhole:
            self._sender.take_back(mark)
            self._sender.send(node)

    def _unroll(self, node: ast.For | ast.While) -> bool:
        """Run a loop; return whether it was left by ``break``."""
        start = self._sender.count
        for _ in self._rounds(node):
            try:
                self._run(node.body)
            except _Leave as leave:
                if leave.kind is ast.Break:
                    return True
                if leave.kind is ast.Return:
                    raise
            if self._sender.count - start > _MOST_STATEMENTS:
                raise _SendWhole
        return False

    def _rounds(self, node: ast.For | ast.While) -> Any:
        """Yield for each round of a loop, with its variables bound."""
        known = self._known
        if isinstance(node, ast.While):
            while True:
                self._evaluate_steadily(node.test)
                if not known.evaluate(node.test):
                    return
                yield
        found = columns(node, self._uses)
        if self._uses(node.iter):
            for row in zip(*[known.evaluate(data) for _, data, _ in found], strict=False):
                for (target, _, through), value in zip(found, row, strict=True):
                    self._bind(target, value, through, node)
                yield
            return
        self._evaluate_steadily(node.iter)
        for value in known.evaluate(node.iter):
            self._bind(node.target, value, None, node)
            yield

    def _bind(self, target: ast.expr, value: Any, through: ast.expr | None, node: ast.stmt) -> None:
        """Bind a loop's variables to a value, or to what a function of the program makes of it."""
        known = self._known
        if through is None and isinstance(target, ast.Name) and target.id not in known.forced:
            known.scope[target.id] = value
            known.bind_here([target.id])
            return
        known.scope["_rrtf_item"] = value
        item: ast.expr = name("_rrtf_item")
        if through is None and known.forced.isdisjoint(stored(target)):
            self._execute(ast.copy_location(ast.Assign([target], item), node))
            return
        reference = known.reference(value)
        if reference is None:
            raise _SendWhole
        item = reference
        if through is not None:
            item = ast.Call(through, [item], [])
        self._sender.send(ast.fix_missing_locations(ast.copy_location(ast.Assign([target], item), node)))

    # -- Assertions ------------------------------------------------------------------------------------

    def _assert(self, test: ast.expr, node: ast.stmt) -> None:
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            for one in test.values:
                self._assert(one, node)
            return
        loop = loop_of_all(test, lambda one: one in self._known.guest or one in self._known.scope)
        if loop is not None and self._uses(loop) and not self._uses(loop.iter):
            self._loop_apart(loop)
            return
        if walrus(test):
            test = without_walrus(test, self._run_walrus)
        if not self._uses(test) and not self._sender.ends_early and not self._known.crossed(loaded(test)):
            if not self._known.evaluate(test):
                raise AssertionError(ast.unparse(test))
            return
        self._sender.check(test)

    def _loop_apart(self, loop: ast.For) -> None:
        """Run a loop with variables that are its own: those of a generator."""
        known, names = self._known, stored(loop.target)
        scope = {one: known.scope[one] for one in names if one in known.scope}
        guest = names & known.guest
        self._statement(loop)
        for one in names:
            known.scope.pop(one, None)
        known.scope.update(scope)
        known.bind_here(names)
        known.guest |= guest

    def _run_walrus(self, node: ast.NamedExpr) -> bool:
        """Bind a name by ``:=`` here; return whether that needs nothing of the program."""
        if self._uses(node.value) or not self._known.is_known(node.value):
            return False
        self._execute(ast.copy_location(ast.Assign([ast.Name(node.target.id, ast.Store())], node.value), node))
        return True

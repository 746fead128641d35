"""What a program's process has to execute of the tests, as it grows statement by statement (:mod:`.staging`)."""

from __future__ import annotations

import ast
from typing import Any

from .checks import Checks
from .forms import constants_bound, variables_changed
from .guest_code import call as guest_call
from .guest_code import function, name
from .inner_checks import InnerChecks
from .names import FUNCTIONS, SCOPES, loaded, own_nodes, rebuilt, stored, walrus
from .namespace import MustLive, Namespace
from .raising import evaluator
from .script import Script, Unit, compile_unit
from .source import TestSource
from .splitting import Splitter

_TABLES = {"set", "dict", "Counter", "collections.Counter", "defaultdict", "collections.defaultdict", "dict.fromkeys"}
_SIMPLE = (ast.Assign, ast.Expr, ast.AugAssign, ast.AnnAssign)
_Simple = ast.Assign | ast.Expr | ast.AugAssign | ast.AnnAssign
"""Statements without statements in them."""
Mark = tuple[int, int, int, int]


class Sender:
    """Collects statements and checks for a program's process.

    Args:
        source: The tests.
        revealed: As in :class:`.splitting.Splitter`.
        forced: Variables that have to be made in the program's process.
        scope: The judge's values: the globals of a new module.

    Attributes:
        known: What is known of the names.
        splitter: Splits the assertions.
        checks: The checks of all units.
        ends_early: Whether the unit's code may return before its end.
        count: How many statements were sent.
    """

    def __init__(self, source: TestSource, revealed: set[int], forced: set[str], scope: dict[str, Any]) -> None:
        self._source = source
        self.known = Namespace(scope, source.program, source.functions, forced, self._emit, self._prepare)
        self.splitter = Splitter(self.known, revealed)
        self.checks = Checks(self.known, self.splitter, self._report)
        self._inner = InnerChecks(self.known, self.splitter, self.checks)
        self.ends_early = False
        self.count = 0
        self._body: list[ast.stmt] = []
        self._order: list[int] = []
        self._required = 0
        self._ends_with_check = False
        self._calls = False
        self._tables: set[str] = set()
        """Variables with a set or dict that was made of answers."""

    # -- Units -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin with a unit."""
        self._body, self._order, self._required = [], [], 0
        self.ends_early = self._ends_with_check = self.checks.controlled = False

    def unit(self, label: str, text: str, parameters: list[str], failure: BaseException | None, is_body: bool) -> Unit:
        """Return the unit since :meth:`begin`.

        Args:
            label: Its name.
            text: Its source.
            parameters: Those of the function that it is the body of, which get the entry point.
            failure: The exception by which the tests themselves end it.
            is_body: Whether it is the body of a function.
        """
        statements = self._body
        if is_body:
            entry = [name(str(self._source.entry))] * len(parameters)
            statements = [
                function("_rrtf_check", parameters, statements),
                ast.Expr(guest_call("_rrtf_check", entry)),
            ]
        code = compile_unit(statements, "tests") if self._body else None
        reports_end = not self._ends_with_check or failure is not None or self.ends_early
        return Unit(label, text, code, self._order, self._required, failure, reports_end, self.checks.controlled)

    def script(self, units: list[Unit]) -> Script:
        """Return the script of all units."""
        checks = self.checks
        return Script(units, checks.checks, self.known.values, self._calls, checks.operators, checks.judged)

    def mark(self) -> Mark:
        """Return how far the unit has come, for :meth:`take_back`."""
        return len(self._body), len(self._order), self._required, self.count

    def take_back(self, mark: Mark) -> None:
        """Forget what was sent since a mark."""
        body, order, self._required, self.count = mark
        del self._body[body:]
        del self._order[order:]

    def _emit(self, node: ast.stmt) -> None:
        """Have the program's process execute a statement."""
        self.count += 1
        self._body.append(node)
        self.checks.steady.clear()
        self._ends_with_check = False

    def _report(self, code: ast.expr, index: int) -> None:
        """Have the program's process report a check."""
        self._emit(ast.Expr(code))
        self._reported(index)

    def _reported(self, index: int) -> None:
        """Note that the last statement ends with the report of a check."""
        self._order.append(index)
        self._ends_with_check = True
        if not self.ends_early:
            self._required = len(self._order)

    # -- Statements ------------------------------------------------------------------------------------

    def send(self, node: ast.stmt) -> None:
        """Have the program's process execute a statement of the tests."""
        known, targets = self.known, stored(node)
        if isinstance(node, _SIMPLE):
            self._send_simple(node)
            return
        code = self._inner.nested(node)
        self._ship_and_emit(code, node)
        if any(isinstance(inner, ast.Return) for inner in own_nodes(node)):
            self.ends_early = self.checks.controlled = True
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            known.define_there(node.name, loaded(code))
            made = self.splitter.made_inside(node)
            known.made.update(one for one in made if one.startswith("self."))
            if self.splitter.makes_objects(node, made):
                known.made.add(node.name)
            return
        if isinstance(node, ast.Delete):
            known.bind_here(targets)  # from now on to nothing
            return
        constant = constants_bound(node, self.splitter.uses_guest)
        known.bind_there(targets - constant)
        known.bind_there(constant, decided=True)
        if isinstance(node, ast.Import | ast.ImportFrom):
            known.functions |= targets
            known.environment |= targets - self._source.program

    def _send_simple(self, node: _Simple) -> None:
        uses = node.value is not None and self.splitter.uses_guest(node.value)
        decided = self._is_decided(node.value) if uses and node.value is not None else None
        made = uses and isinstance(node, ast.Assign) and self.splitter.makes(node.value)
        self._inner.note_decisions(node)
        self.checks.controlled |= self.splitter.removes_by_comparing(node) or self._changes_table(node)
        self._ship_and_emit(self._simple(node), node)
        self.known.bind_there(stored(node), made, decided)

    def _changes_table(self, node: _Simple) -> bool:
        """Return whether a statement changes a set or dict of answers, where their hashes and equality decide."""
        value = node.value
        if not isinstance(value, ast.Call):
            return False
        if isinstance(node, ast.Assign) and ast.unparse(value.func) in _TABLES and self.splitter.uses_guest(value):
            self._tables |= stored(node)
        changed = value.func.value if isinstance(value.func, ast.Attribute) else None
        return isinstance(changed, ast.Name) and changed.id in self._tables

    def _is_decided(self, value: ast.expr) -> bool | None:
        """Return what :attr:`.namespace.Namespace.decided` keeps of a name with this value; None for nothing."""
        if self.splitter.decides(value.body if isinstance(value, ast.Lambda) else value):
            return True
        return False if self.splitter.computes(value) else None

    def _simple(self, node: _Simple) -> ast.stmt:
        """Return a statement without statements in it for the program's process."""
        for one in variables_changed(node):
            if self.known.is_variable(one):
                raise MustLive(one)
        self._note_effects(node)
        self.known.needed.update(
            {one: None for inner in ast.walk(node) if isinstance(inner, SCOPES) for one in loaded(inner)}
        )
        if node.value is None or not self.splitter.uses_guest(node.value):
            return node
        value, found = self.splitter.for_guest(node.value)
        code: ast.stmt = rebuilt(node, value=self.checks.with_hoisted(value, found)[0])
        return code

    def _ship_and_emit(self, code: ast.stmt, node: ast.stmt) -> None:
        known = self.known
        known.ship(loaded(code))
        self._inner.report_late()
        self._emit(code)
        self._calls |= any(one in known.guest and one not in known.environment for one in loaded(node))

    def _note_effects(self, node: ast.stmt) -> None:
        """Note the variables that a call gets for the sake of its effect: its result is thrown away."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            arguments = [*node.value.args, *(word.value for word in node.value.keywords)]
            names = [one.id for one in arguments if isinstance(one, ast.Name) and self.known.is_variable(one.id)]
            self.known.effects.update(id(self.known.scope[one]) for one in names)

    def _prepare(self, definition: ast.stmt) -> ast.stmt:
        """Return a definition of the judge's for the program's process."""
        code: ast.stmt = self._inner.nested(definition)
        self.known.needed.update(loaded(code))
        return code

    # -- Checks ----------------------------------------------------------------------------------------

    def check(self, test: ast.expr) -> None:
        """Have the program's process report an assertion."""
        self._inner.report_late()
        bound = walrus(test)  # before the assertion is split: its other parts may use these names
        self.known.ship(bound)
        self.known.bind_there(bound)
        self.checks.assertion(test)
        self._calls = True

    def expect(self, node: ast.With, call: ast.Call) -> bool:
        """Send a block that expects an exception, where the judge can decide it; return whether it can.

        Args:
            node: The block.
            call: The call in it that names the exception.
        """
        known = self.known
        words = [call.args[0], *(word.value for word in call.keywords)]
        if any(self.splitter.uses_guest(one) or not known.is_known(one) for one in words):
            return False
        kinds, *match = map(known.evaluate, words)
        evaluate = evaluator(kinds, match[0] if match else None, known.scope["__name__"])
        if evaluate is None:
            return False
        body = [one if isinstance(one, ast.Pass) else self._simple(one) for one in node.body]  # type: ignore[arg-type]
        index = self.checks.block(call, evaluate)
        item = rebuilt(node.items[0], context_expr=guest_call("_rrtf_raised", [ast.Constant(index)]))
        self._ship_and_emit(rebuilt(node, items=[item], body=body), node)
        self._reported(index)
        known.bind_there(stored(node))
        return True

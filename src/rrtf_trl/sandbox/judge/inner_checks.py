"""Prepares statements that a program's process executes whole, and the assertions in them, if it reaches these."""

from __future__ import annotations

import ast
import copy
from typing import Any

from ..common import codec
from .checks import Checks, of_formula
from .evaluation import Formula, Scope, compile_part
from .forms import bound_inside, decides_there, names_of_outer, variables_changed
from .guest_code import Reporter, call, operands_of, operator_of, reports_of
from .literals import literal
from .names import clone, loaded
from .namespace import MustLive, Namespace
from .parts import Atom, Part
from .script import Check, Operator
from .splitting import Splitter
from .world import is_builtin


class InnerChecks:
    """The checks inside of statements.

    Args:
        known: What is known of the names.
        splitter: Splits the assertions.
        checks: All checks of the problem.
    """

    def __init__(self, known: Namespace, splitter: Splitter, checks: Checks) -> None:
        self._known = known
        self._splitter = splitter
        self._checks = checks
        self._late: dict[str, Any] = {}
        """The judge's variables that these checks need, with their values as last reported."""

    def nested(self, node: ast.stmt) -> Any:
        """Return a statement with its assertions replaced by reports, and its operators guarded.

        Raises:
            MustLive: If it changes a variable of the judge's.
        """
        known = self._known
        for one in variables_changed(node):
            if known.is_variable(one):
                raise MustLive(one)
        for one in names_of_outer(node):
            if one not in known.guest and one not in known.forced:
                raise MustLive(one)
        self.note_decisions(node)
        added = (bound_inside(node) | self._read_outside_of_assertions(node)) - known.guest
        known.guest |= added
        made = self._splitter.made_inside(node) - known.made
        known.made |= made
        try:
            return Reporter(self._nested_assertion, self._guard).visit(clone(node))
        finally:
            known.guest -= added
            known.made -= made

    def note_decisions(self, node: ast.stmt) -> None:
        """Note whether a statement decides by how it runs in the program's process."""
        known = self._known

        def is_of_program(one: str) -> bool:
            return not (one in known.environment or one in known.scope or is_builtin(one))

        self._checks.controlled |= decides_there(node, is_of_program)

    def _read_outside_of_assertions(self, node: ast.stmt) -> set[str]:
        """Return the judge's variables that a statement takes to the program's process."""
        names, waiting = set[str](), [node]
        crossed = set(self._known.crossed(loaded(node)))
        while waiting:
            one: ast.AST = waiting.pop()
            if isinstance(one, ast.Name) and self._known.is_variable(one.id):
                names.add(one.id)
            elif not isinstance(one, ast.Assert):
                waiting += ast.iter_child_nodes(one)  # type: ignore[arg-type]
        return crossed | names

    def _nested_assertion(self, test: ast.expr) -> ast.expr:
        known = self._known
        self._checks.controlled = True
        late = [
            one
            for one in loaded(test)
            if one not in known.guest and (known.is_data(one) or (one not in known.scope and not is_builtin(one)))
        ]
        self._late.update({one: _NEVER_REPORTED for one in late if one not in self._late})
        part: Part | None = None
        code: ast.expr = ast.Constant(None)
        if self._splitter.uses_guest(test):
            part = self._splitter.split(test, truth=True)
            bind, code = compile_part(part, set(late)), reports_of(part, truth=True)
        else:
            bind = of_formula(Formula(test, set(late)))
        index = self._checks.add(Check(test, bind(known.scope), part, late=late))
        return self._checks.see(index, True, code, [])

    def report_late(self) -> None:
        """Note what the judge's variables are from here on that checks of the program's process need."""
        changed = {}
        for one, last in self._late.items():
            if one in self._known.scope:
                value = self._known.scope[one]
                now = (id(value), _packed(value))
                if now != last:
                    changed[one], self._late[one] = copy.deepcopy(value), now
        if changed:
            index = self._checks.add(Check(None, _is_true, before=changed, rebinds=True))
            self._checks.report(self._checks.see(index, False, ast.Constant(None), []), index)

    def _guard(self, node: ast.Compare | ast.BinOp) -> ast.expr:
        """Return an operator in a statement of the program's process such that no object of the program decides it."""
        if not self._splitter.uses_guest(node):
            return node
        part = self._splitter.split(node)
        if isinstance(part, Atom) or part.lazy or part.mixed:
            return node
        self._checks.controlled = True
        native, sides = operator_of(node), operands_of(node)
        if any(isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.approx" for one in sides):
            return node  # an object of the tests', which compares itself
        apply = self._known.evaluate(clone(native))
        known = {at: codec.encode(value[0]) for at, one in enumerate(sides) if (value := literal(one)) is not None}
        self._checks.operators.append(Operator(part.number, apply, known))
        how = [ast.Constant(len(self._checks.operators) - 1), ast.Constant(part.native)]
        return call("_rrtf_guard", [*how, native, *sides])


_NEVER_REPORTED = object()


def _is_true(tree: Any, values: Scope, seen: Any) -> bool:
    return True


def _packed(value: Any) -> Any:
    try:
        return codec.pack(value)
    except codec.NotPlainData:
        return None

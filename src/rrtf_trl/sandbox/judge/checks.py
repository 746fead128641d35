"""Makes the checks of a script from the assertions that the judge reaches, and what is reported for them."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..common.compare import same
from .evaluation import Bind, Evaluate, Formula, Scope, compile_part, expected_of, shown
from .guest_code import call, name, reports_of, with_values
from .names import Names, loaded
from .namespace import MustLive, Namespace
from .parts import Part, compares_answers, has_data, hoisted
from .script import Check, Operator
from .splitting import Splitter


@dataclass
class _Plan:
    """An assertion, prepared for all rounds of a loop.

    Args:
        part: The assertion, split; None where it needs nothing of the program.
        bind: Of what evaluates it.
        code: What the program's process has to report; None for nothing.
        hoisted: Expressions in it that the judge evaluates.
        names: The names in the code.
        expected: What it expects, for messages; None where that is not known.
    """

    part: Part | None
    bind: Bind
    code: ast.expr
    hoisted: list[ast.expr]
    names: Names
    expected: Formula | None


class Checks:
    """All checks and operators of a problem.

    Args:
        known: What is known of the names.
        splitter: Splits the assertions.
        report: Adds a report to what the program's process executes, with the index of its check.

    Attributes:
        checks: All checks.
        operators: The operators that the program's process applies.
        controlled: Whether the statements since it was reset decide in the program's process.
        judged: Whether any assertion compares with data of the tests, and not answers with each other.
        steady: Variables that are known to be as they were, since the last statement of the program's process.
    """

    def __init__(self, known: Namespace, splitter: Splitter, report: Callable[[ast.expr, int], None]) -> None:
        self.checks: list[Check] = []
        self.operators: list[Operator] = []
        self.controlled = False
        self.judged = False
        self.steady: set[str] = set()
        self._known = known
        self._splitter = splitter
        self.report = report
        self._plans: dict[tuple[Any, ...], _Plan] = {}
        self._kept: list[ast.expr] = []
        """Keeps the assertions alive, so that identities stay unique."""

    # -- Assertions that the judge reaches ---------------------------------------------------------------

    def assertion(self, test: ast.expr) -> None:
        """Report an assertion."""
        known, names = self._known, loaded(test)
        looked_at = known.crossed(names)
        if looked_at:
            self._must_be_here(test, looked_at)
        key = (id(test), *looked_at, None, *known.describe(names))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(test, looked_at)
            self._kept.append(test)
        self.judged |= plan.part is None or has_data(plan.part) or not compares_answers(plan.part)
        if plan.part is not None and not has_data(plan.part) and not known.decided.keys().isdisjoint(names):
            self.controlled = True  # what the tests computed of answers is compared with answers alone
        code, values = self.with_hoisted(plan.code, plan.hoisted)
        known.ship(loaded(code) if values else plan.names)
        before = copy.deepcopy({one: known.scope[one] for one in looked_at})
        expected = None if plan.expected is None else shown(plan.expected.bind(known.scope), before)
        evaluate = plan.bind(known.scope)
        index = self.add(Check(test, evaluate, plan.part, values, looked_at, before, expected))
        self.report(self.see(index, False, code, looked_at), index)

    def _must_be_here(self, test: ast.expr, names: list[str]) -> None:
        """Have variables live in the program's process that the tests expect to be changed there.

        Raises:
            MustLive: For one that a call got for its effect, or where the assertion does not hold as they were.
        """
        known = self._known
        if any(id(known.scope[one]) in known.effects for one in names):
            raise MustLive(*names)
        if not self._splitter.uses_guest(test):
            try:
                holds = known.evaluate(test)
            except Exception:  # a key that the program is to add, for instance
                holds = False
            if not holds:
                raise MustLive(*names)

    def _plan(self, test: ast.expr, looked_at: list[str]) -> _Plan:
        changing = set(looked_at)
        if not self._splitter.uses_guest(test):
            formula = Formula(test, changing)
            return _Plan(None, of_formula(formula), ast.Constant(None), [], {}, None)
        part, found = self._splitter.split_assertion(test)
        side = expected_of(test, self._splitter.uses_guest)
        expected = None if side is None else Formula(side, changing)
        code = ast.fix_missing_locations(ast.copy_location(reports_of(part, truth=True), test))
        return _Plan(part, compile_part(part, changing), code, found, loaded(code), expected)

    def add(self, check: Check) -> int:
        """Add a check; return its index."""
        self.checks.append(check)
        return len(self.checks) - 1

    def see(self, index: int, nested: bool, code: ast.expr, looked_at: Iterable[str]) -> ast.expr:
        """Return the report of a check.

        Args:
            index: The check.
            nested: Whether the program's process may report it any number of times.
            code: What to report.
            looked_at: Variables to report as well.
        """
        scope = self._known.scope
        values = [name(self._known.send(scope[one]) or one) for one in looked_at]
        return call("_rrtf_see", [ast.Constant(index), ast.Constant(nested), code, *values])

    def block(self, test: ast.expr, evaluate: Evaluate) -> int:
        """Return the index of the check of a block that expects an exception."""
        self.judged = True
        return self.add(Check(test, evaluate))

    def with_hoisted(self, code: ast.expr, found: list[ast.expr]) -> tuple[ast.expr, dict[str, ast.expr]]:
        """Return code with what the judge evaluates for it, and by name what was put in."""
        if not found:
            return code, {}
        values = {hoisted(index): self._hoist(one) for index, one in enumerate(found)}
        return with_values(code, values), values

    def _hoist(self, node: ast.expr) -> ast.expr:
        """Evaluate an expression here, and return what stands for its value in the program's process.

        What Python's own functions make of variables that the program may have changed is left to its process.
        """
        known = self._known
        if isinstance(node, ast.Name):
            return known.reference(known.scope[node.id]) or node if known.is_data(node.id) else node
        crossed = known.crossed(loaded(node))
        if not known.is_known(node) or (crossed and not any(map(known.is_defined, loaded(node)))):
            return node
        self.must_be_steady(crossed)
        try:
            value = known.evaluate(node)
        except Exception:
            return node  # then it fails in the program's process too, at its time
        return known.reference(value) or node

    def must_be_steady(self, names: Iterable[str]) -> None:
        """Have variables reported whose values the judge uses now, and which the program should not have changed.

        Raises:
            MustLive: If the tests gave one to the program for it to change.
        """
        known = self._known
        names = [one for one in names if one not in self.steady]
        if not names:
            return
        for one in names:
            if id(known.scope[one]) in known.effects:
                raise MustLive(one)
        before = copy.deepcopy({one: known.scope[one] for one in names})

        def evaluate(tree: Any, values: Scope, seen: Any) -> bool:
            return all(same(before[one], values[one], 0.0) for one in before)

        check = Check(None, evaluate, looked_at=list(names), before=before, steady=True)
        index = self.add(check)
        self.report(self.see(index, False, ast.Constant(None), names), index)
        self.steady.update(names)


def of_formula(formula: Formula) -> Bind:
    """Return, for an assertion that needs nothing of the program, what evaluates it."""

    def bind(scope: Scope) -> Evaluate:
        run = formula.bind(scope)
        return lambda tree, values, seen: run(values)

    return bind

"""Computes the truth of an assertion from the values that a program's process reported."""

from __future__ import annotations

import ast
import builtins
import copy
import operator
import types
from collections.abc import Callable
from typing import Any

from ..common import codec
from ..common.messages import short
from .literals import literal
from .names import SCOPES, loaded, rebuilt
from .parts import Atom, Operation, Part, decided_there, operand

Tree = list[Any]
"""Values as they are reported: ``["v", packed]``; ``["p", packed]`` for the truth of an object; ``["u",
type]`` for an object; ``["x", exception]``; ``["o", trees]`` for the operands of an operation; ``["keys", dict]`` and
``["items", dict]`` for the views of a dict."""
_VIEWS: dict[str, Callable[[dict[Any, Any]], Any]] = {"keys": dict.keys, "items": dict.items}
Scope = dict[str, Any]


class NotPlain(Exception):
    """The judge needs a value of the program that is an object.

    Args:
        name: Its type, as the program has it.
        operation: The number of the operation that needs it; 0 where none does.
    """

    def __init__(self, name: str, operation: int = 0) -> None:
        super().__init__(f"the answer is an object of class {name}, and the test would have it judge itself")
        self.name = name
        self.operation = operation


class OperandRaised(Exception):
    """An operand of ``and`` or ``or`` ended in an exception in the program's process."""


class Malformed(Exception):
    """A report of another shape than the assertion has."""


class Seen:
    """What an evaluation came upon.

    Attributes:
        by_program: Whether the program's own objects decided anything.
        answer: The last value of the program, for messages.
    """

    def __init__(self) -> None:
        self.by_program = False
        self.answer: tuple[Any] | None = None


Evaluate = Callable[[Tree, Scope, Seen], Any]
"""Returns the value of an assertion, by what was reported of it, the values of variables that may have changed, and
where to note what it comes upon."""
Bind = Callable[[Scope], Evaluate]
"""From the judge's values, returns what evaluates an assertion with them."""


def compile_part(part: Part, changing: set[str]) -> Bind:
    """Compile the judge's part of an assertion, for all rounds of a loop.

    Args:
        part: The assertion, split.
        changing: Names of which each evaluation gets the values.
    """
    if isinstance(part, Atom):
        by_program = part.by_program
        return lambda scope: lambda tree, values, seen: report(tree, seen, by_program)
    inner = [compile_part(one, changing) for one in part.operands]
    if part.lazy:
        return _compile_lazy(part, inner, changing)
    formula = Formula(part.code, {operand(index) for index in range(len(inner))} | changing)
    return lambda scope: _evaluator(part, [bind(scope) for bind in inner], formula.bind(scope))


def _evaluator(part: Operation, operands: list[Evaluate], run: Callable[[Scope], Any]) -> Evaluate:
    number, transparent, reveals = part.number, part.transparent, part.reveals
    native, decides = part.native, part.decides or any(map(decided_there, part.operands))
    names = [operand(index) for index in range(len(operands))]

    def evaluate(tree: Tree, values: Scope, seen: Seen) -> Any:
        seen.by_program |= reveals
        if transparent:
            trees = [tree]
        elif tree[0] in ("p", "v", "u", *_VIEWS) and native:
            seen.by_program |= decides
            return report(tree, seen)
        elif tree[0] == "o" and type(tree[1]) is list and len(tree[1]) == len(operands):
            trees = tree[1]
        else:
            raise Malformed
        found = dict(values)
        try:
            for name, one, inner in zip(names, operands, trees, strict=True):
                found[name] = one(inner, values, seen)
        except NotPlain as error:
            raise NotPlain(error.name, error.operation or number) from None
        return run(found)

    return evaluate


def _compile_lazy(part: Operation, inner: list[Bind], changing: set[str]) -> Bind:
    """Compile ``and`` or ``or``, which is evaluated operand by operand, as Python does."""
    assert isinstance(part.code, ast.BoolOp)
    places = {operand(index): index for index in range(len(inner))}
    order: list[tuple[int | None, Any]] = []
    for one in part.code.values:
        index = places.get(one.id) if isinstance(one, ast.Name) else None
        order.append((index, inner[index] if index is not None else Formula(one, changing).bind))
    stops_at = isinstance(part.code.op, ast.Or)

    def bind(scope: Scope) -> Evaluate:
        bound = [(index, of(scope)) for index, of in order]

        def evaluate(tree: Tree, values: Scope, seen: Seen) -> Any:
            if tree[0] != "o" or type(tree[1]) is not list or len(tree[1]) != len(inner):
                raise Malformed
            value: Any = not stops_at
            for index, find in bound:
                value = find(values) if index is None else find(tree[1][index], values, seen)
                if bool(value) is stops_at:
                    break
            return value

        return evaluate

    return bind


def report(tree: Tree, seen: Seen, by_program: bool = False) -> Any:
    """Return the value of the program that a report holds.

    Args:
        tree: The report.
        seen: Where to note it.
        by_program: Whether the program's objects decided it, in any case.

    Raises:
        NotPlain: If it is an object.
        Malformed: If it has another shape.
    """
    if type(tree) is not list or len(tree) != 2:
        raise Malformed
    kind, payload = tree
    if kind == "u":
        raise NotPlain(str(payload)[:60])
    if kind == "x":
        raise OperandRaised(": ".join(str(one) for one in payload)[:200] if type(payload) is list else "")
    if kind not in ("v", "p", *_VIEWS):
        raise Malformed
    seen.by_program |= by_program or kind == "p"
    value = codec.unpack(payload)
    if kind in _VIEWS:
        if not isinstance(value, dict):
            raise Malformed
        value = _VIEWS[kind](value)
    seen.answer = (value,)
    return value


_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    **{ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le},
    **{ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not},
    **{ast.In: lambda left, right: left in right, ast.NotIn: lambda left, right: left not in right},
}


class Formula:
    """An expression of the judge's, compiled once for all rounds of a loop.

    Args:
        node: The expression.
        changing: Names of which each evaluation gets the values.
    """

    def __init__(self, node: ast.expr, changing: set[str]) -> None:
        self._node = node
        self._changing = changing
        self._fixed: list[ast.expr] = []
        self._codes: list[types.CodeType | None] = []
        code = node if isinstance(node, ast.Name) and node.id in changing else self._with_fixed(node)
        self._names = [name for name in loaded(code) if name not in changing]
        self._may_change = any(isinstance(inner, ast.Call) for inner in ast.walk(code))
        self._compare = _simple_comparison(code)
        self._code = None if self._compare else _compiled(code)

    def _with_fixed(self, node: Any) -> Any:
        """Return a tree with its largest parts that change between evaluations no more replaced by names."""
        if not isinstance(node, ast.expr) or isinstance(node, ast.Starred | ast.Slice):
            if not isinstance(node, ast.AST) or isinstance(node, ast.expr_context | ast.operator | ast.cmpop):
                return node
        elif not self._changing.intersection(loaded(node)):
            self._fixed.append(node)
            self._codes.append(None)
            return ast.copy_location(ast.Name(f"_fixed_{len(self._fixed) - 1}", ast.Load()), node)
        elif isinstance(node, SCOPES):
            return node
        changes: dict[str, Any] = {}
        for name in node._fields:
            value = getattr(node, name)
            if isinstance(value, list):
                changes[name] = [self._with_fixed(one) for one in value]
            elif isinstance(value, ast.AST):
                changes[name] = self._with_fixed(value)
        return rebuilt(node, **changes)

    def bind(self, scope: Scope) -> Callable[[Scope], Any]:
        """Return what evaluates it with the judge's values, and with those that it gets each time."""
        names = {name: scope[name] for name in self._names if name in scope}
        try:
            fixed = {f"_fixed_{index}": self._value(index, scope) for index in range(len(self._fixed))}
        except Exception:  # raised again where it is evaluated
            whole = _compiled(self._node)
            names = {name: scope[name] for name in loaded(self._node) if name in scope}
            return lambda values: eval(whole, {**names, "__builtins__": builtins, **values})
        if self._compare is not None:
            return self._compare(fixed)
        names |= {**fixed, "__builtins__": builtins}
        changed = [name for name, value in fixed.items() if type(value) in (list, dict, set)]
        may_change, code = self._may_change and bool(changed), self._code
        assert code is not None

        def run(values: Scope) -> Any:
            space = {**names, **values}
            if may_change:
                space.update((name, copy.deepcopy(fixed[name])) for name in changed)
            return eval(code, space)

        return run

    def _value(self, index: int, scope: Scope) -> Any:
        node = self._fixed[index]
        found = literal(node)
        if found is not None:
            return found[0]
        if isinstance(node, ast.Name):
            value = scope[node.id] if node.id in scope else getattr(builtins, node.id)
        else:
            code = self._codes[index] = self._codes[index] or _compiled(node)
            value = eval(code, scope)
        return value if isinstance(value, types.FunctionType | type | types.ModuleType) else copy.deepcopy(value)


def _simple_comparison(code: ast.expr) -> Callable[[Scope], Callable[[Scope], Any]] | None:
    """Return, for ``operand == fixed`` and the like, what binds it to fixed values: faster than compiled code."""
    if not (isinstance(code, ast.Compare) and len(code.ops) == 1):
        return None
    left, right = code.left, code.comparators[0]
    if not (isinstance(left, ast.Name) and isinstance(right, ast.Name)):
        return None
    compare, first, second = _OPERATORS[type(code.ops[0])], left.id, right.id

    def bind(fixed: Scope) -> Callable[[Scope], Any]:
        if second in fixed:
            expected = fixed[second]
            return lambda values: compare(values[first], expected)
        if first in fixed:
            expected = fixed[first]
            return lambda values: compare(expected, values[second])
        return lambda values: compare(values[first], values[second])

    return bind


def _compiled(node: ast.expr) -> types.CodeType:
    return compile(ast.fix_missing_locations(ast.Expression(node)), "<tests>", "eval", dont_inherit=True)


def expected_of(test: ast.expr, uses_guest: Callable[[ast.AST], bool]) -> ast.expr | None:
    """Return what an assertion compares the program's answer with; None where it does not."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        sides = [one for one in (test.left, test.comparators[0]) if not uses_guest(one)]
        if len(sides) == 1:
            return sides[0]
    return None


def shown(formula: Callable[[Scope], Any], values: Scope) -> Callable[[], str]:
    """Return what describes an expected value, for messages."""
    return lambda: short(formula(values))

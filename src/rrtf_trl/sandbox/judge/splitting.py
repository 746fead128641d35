"""Splits an assertion in two: what the program's process computes, and what the judge computes from it.

``assert cache.get(2) == -1`` becomes the *atom* ``cache.get(2)``, which the program's process evaluates, and the
comparison with -1, which never leaves the judge. Operators and calls of the tests' own functions are *operations*: the
judge applies them where all that they need of the program came as plain data. Where an operand is an object, only the
program's process can apply them; it may, unless it would thereby learn a value that the tests expect.
"""

from __future__ import annotations

import ast
import builtins
import types
from typing import Any

from .knowledge import Knowledge
from .literals import literal
from .names import SCOPES, loaded, rebuilt, stored, walrus
from .parts import Atom, Operation, Part, hoisted, operand

_NEVER_DATA = (type(None), bool, type(...), type(NotImplemented))
_NATIVE = {"hasattr", "getattr", "setattr", "delattr", "callable", "next", "iter", "vars", "dir", "id", "super"}
"""Built-in functions about objects, which only the program's process can apply."""
_NATIVE_TRUTHS = {"hasattr", "callable"}
_EXACT = {"type", "isinstance", "issubclass", "hash", "repr", "str"}
"""Built-in functions by which an instance of a subclass differs from the plain value inside it."""
_TAKES_DATA = {
    *("dict", "enumerate", "filter", "iter", "list", "map", "reversed", "round", "set", "sorted", "str", "sum"),
    *("tuple", "zip"),
}
_VALUES = _TAKES_DATA | {"abs", "bytes", "divmod", "float", "hash", "int", "len", "max", "min", "repr", "type"}
"""Built-in functions that give a value and no truth."""
_TAKING_MODULES = {"copy", "functools", "itertools"}


class Splitter:
    """Splits the expressions of one problem's tests.

    Args:
        known: What is known of the names.
        revealed: The numbers of operations that the program's process may apply although it thereby learns values
            of the tests: those that the reference's answers need.
    """

    def __init__(self, known: Knowledge, revealed: set[int]) -> None:
        self._known = known
        self._revealed = revealed
        self._numbers: dict[tuple[int, ...], int] = {}
        self._hoisted: list[ast.expr] | None = None

    def uses_guest(self, node: ast.AST) -> bool:
        """Return whether a tree needs anything of the program's process."""
        return any(map(self._known.is_guest, loaded(node)))

    def split_assertion(self, node: ast.expr) -> tuple[Part, list[ast.expr]]:
        """Split an assertion; return it with the expressions that the judge evaluates for its atoms."""
        found: list[ast.expr] = []
        self._hoisted = found
        try:
            return self.split(node, truth=True), found
        finally:
            self._hoisted = None

    def for_guest(self, node: ast.expr) -> tuple[ast.expr, list[ast.expr]]:
        """Return an expression for the program's process, and the expressions that the judge evaluates for it."""
        found: list[ast.expr] = []
        return self._without_hoisted(node, found), found

    def split(self, node: ast.expr, truth: bool = False) -> Part:
        """Split an expression that needs the program, and leave all in its atoms to the program's process.

        Args:
            node: The expression.
            truth: Whether only its truth counts.
        """
        node = _by_identity(node)
        if isinstance(node, ast.BoolOp):
            if walrus(node):
                return self._atom(node, by_program=True)  # each operand becomes a function of its own
            return self._operation(node, ["values"], truth=True, lazy=True)
        if isinstance(node, ast.UnaryOp):
            return self._operation(node, ["operand"], truth=isinstance(node.op, ast.Not))
        if isinstance(node, ast.Compare):
            by_identity = all(isinstance(one, ast.Is | ast.IsNot) for one in node.ops)
            if by_identity and not any(self._is_open(one) for one in (node.left, *node.comparators)):
                return self._atom(node, by_program=True)  # values that crossed are other objects
            return self._operation(node, ["left", "comparators"], exact=by_identity, compares=not by_identity)
        if isinstance(node, ast.BinOp):
            return self._operation(node, ["left", "right"], compares=True)
        if isinstance(node, ast.List | ast.Tuple | ast.Set) and not _has_stars(node.elts):
            return self._operation(node, ["elts"])
        if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
            return self._operation(node, ["keys", "values"])
        if isinstance(node, ast.Subscript) and not self.uses_guest(node.value) and not _is_slice(node.slice):
            return self._operation(node, ["slice"])
        over_answers = self._over_answers(node)
        if over_answers is not None:
            return over_answers
        if isinstance(node, ast.Call) and not _has_stars(node.args):
            if not self.uses_guest(node.func):
                return self._call(node)
            if truth and self._asks_an_answer(node):
                # A method of what the program answered would learn what the tests expect of that answer.
                return self._operation(node, ["func.value", "args", "keywords"])
        return self._atom(node, by_program=self.decides(node))

    def _atom(self, node: ast.expr, by_program: bool) -> Atom:
        return Atom(node if self._hoisted is None else self._without_hoisted(node, self._hoisted), by_program)

    def _without_hoisted(self, node: Any, found: list[ast.expr]) -> Any:
        """Return a tree with its largest parts that the judge can evaluate replaced; note them in ``found``."""
        if isinstance(node, ast.expr) and not isinstance(node, ast.Starred):
            if isinstance(node, _NOT_HOISTED) or literal(node) is not None:
                return node
            if isinstance(node, ast.Name) and not self._known.is_data(node.id):
                return node
            if not self.uses_guest(node):
                found.append(node)
                return ast.copy_location(ast.Name(hoisted(len(found) - 1), ast.Load()), node)
        elif not isinstance(node, ast.Starred | ast.keyword):
            return node
        changes: dict[str, Any] = {}
        for name in node._fields:
            value = getattr(node, name)
            if isinstance(value, list):
                changes[name] = [self._without_hoisted(one, found) for one in value]
            elif isinstance(value, ast.AST):
                changes[name] = self._without_hoisted(value, found)
        return rebuilt(node, **changes)

    def _call(self, node: ast.Call) -> Part:
        """Split a call of a function of the tests, of a module or of Python."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        passes_function = any(
            isinstance(one, SCOPES) or (isinstance(one, ast.Name) and self._known.is_function(one.id))
            for one in _arguments(node)
        )
        if name in _NATIVE or passes_function or any(word.arg is None for word in node.keywords):
            return self._atom(node, by_program=name in _NATIVE_TRUTHS or self.decides(node))
        return self._operation(node, ["args", "keywords"], exact=name in _EXACT, takes=self._takes_data(node.func))

    def _over_answers(self, node: ast.expr) -> Operation | None:
        """Split what goes through answers and is the tests' own otherwise; ``None`` for anything else.

        That is a comprehension, or a call of one as ``all(a == b for a, b in answers)``; ``map`` and the like with a
        lambda; a method that compares; ``Counter(answers)[2]``. The judge applies it to plain data; to objects of the
        program their process does, and they decide.
        """
        if walrus(node):
            return None
        operands: list[ast.expr] = []
        is_count = isinstance(node, ast.Subscript) and isinstance(node.value, ast.Call) and _is_counter(node.value)
        if is_count:
            # Of a table made of answers, which finds by their hashes: the judge's alone.
            operands = [one for one in node.value.args if self.uses_guest(one)]  # type: ignore[attr-defined]
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp):
            operands = [node.generators[0].iter]
        elif isinstance(node, ast.Call) and not node.keywords and not _has_stars(node.args):
            if self.uses_guest(node.func):
                is_comparing = isinstance(node.func, ast.Attribute) and node.func.attr in _COMPARING
                if is_comparing and self._asks_an_answer(node) and self._gets_data(node):
                    operands = [node.func.value]  # type: ignore[attr-defined]
            elif len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp):
                operands = [node.args[0].generators[0].iter]
            elif any(isinstance(one, ast.Lambda) for one in node.args):
                operands = [one for one in node.args if self.uses_guest(one)]
        if not operands or not all(map(self.uses_guest, operands)):
            return None
        names: dict[int, ast.expr] = {
            id(one): ast.copy_location(ast.Name(operand(at), ast.Load()), one) for at, one in enumerate(operands)
        }
        code = _with_names(node, names)
        if self.uses_guest(code):
            return None
        parts = [self.split(one) for one in operands]
        for part in parts:
            if isinstance(part, Operation):
                part.transparent = False
        data = any(
            isinstance(one, ast.Constant) and not isinstance(one.value, _NEVER_DATA) for one in ast.walk(code)
        ) or any(self._known.is_data(one) for one in loaded(code))
        place = (node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0)
        number = self._numbers.setdefault(place, len(self._numbers) + 1)
        return Operation(
            code,
            parts,
            native=not is_count or number in self._revealed,
            exact=False,
            mixed=True,
            number=number,
            reveals=data and (not is_count or number in self._revealed),
            has_data=data,
            decides=True,
        )

    def _takes_data(self, node: ast.expr) -> bool:
        """Return whether a function of the tests is one whose arguments are never compared with each other."""
        if isinstance(node, ast.Name) and node.id in _TAKES_DATA:
            return True
        if isinstance(node, ast.Attribute) and node.attr == "join" and isinstance(node.value, ast.Constant):
            return True
        value = self.value_of(node)
        return (getattr(value, "__module__", None) or getattr(value, "__name__", "")) in _TAKING_MODULES

    def computes(self, node: ast.expr) -> bool:
        """Return whether an expression in the program's process makes something of answers by the tests' own means."""
        if not isinstance(node, ast.Call):
            return False
        return (self._asks_an_answer(node) and self._gets_data(node)) or not self.uses_guest(node.func)

    def removes_by_comparing(self, node: ast.AST) -> bool:
        """Return whether a statement takes something out of an answer, or a list of answers, that equals its data."""
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Sub | ast.BitAnd | ast.BitXor):
            return any(map(self._known.is_guest, stored(node.target))) and not self.uses_guest(node.value)
        call = node.value if isinstance(node, ast.Expr) else None
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _REMOVING):
            return False
        return self.uses_guest(call.func) and self._asks_an_answer(call) and self._gets_data(call)

    def _gets_data(self, node: ast.Call) -> bool:
        return any(not self.uses_guest(one) and not self._is_open(one) for one in _arguments(node))

    def _asks_an_answer(self, node: ast.Call) -> bool:
        """Return whether a method is called of the program's answer, and of no module, class or object made."""
        if not isinstance(node.func, ast.Attribute):
            return False
        receiver, known = node.func.value, self._known
        if self.makes(receiver) or (isinstance(receiver, ast.Name) and known.is_function(receiver.id)):
            return False
        return not all(known.is_environment(name) for name in loaded(receiver) if known.is_guest(name))

    def makes(self, node: ast.expr) -> bool:
        """Return whether an expression is an object that the tests made of a class."""
        known = self._known
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return known.is_guest(node.func.id) and (known.is_class(node.func.id) or known.is_made(node.func.id))
        if isinstance(node, ast.BinOp):
            return self.makes(node.left) or self.makes(node.right)
        if isinstance(node, ast.UnaryOp):
            return self.makes(node.operand)
        if isinstance(node, ast.Attribute):
            return known.is_made(ast.unparse(node))
        return isinstance(node, ast.Name) and known.is_made(node.id)

    def made_inside(self, node: ast.stmt) -> set[str]:
        """Return the names and attributes that a statement binds to objects of classes, and to nothing else."""
        made, other = set[str](), set[str]()
        for one in ast.walk(node):
            if isinstance(one, ast.Assign):
                found = {ast.unparse(target) for target in one.targets}
                (made if self.makes(one.value) else other).update(found, *map(stored, one.targets))
            elif isinstance(one, ast.withitem) and one.optional_vars is not None:
                (made if self.makes(one.context_expr) else other).update(stored(one.optional_vars))
            elif isinstance(one, ast.For | ast.comprehension):
                other |= stored(one.target)
            elif isinstance(one, ast.arg):
                other.add(one.arg)
        return made - other

    def makes_objects(self, node: ast.stmt, made: set[str]) -> bool:
        """Return whether a function of the tests returns objects that it makes of classes.

        Args:
            node: Its definition.
            made: What :meth:`made_inside` returns of it.
        """
        values = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
        return bool(values) and all(
            one is not None and (self.makes(one) or (isinstance(one, ast.Name) and one.id in made)) for one in values
        )

    def decides(self, node: ast.AST) -> bool:
        """Return whether an expression compares in the program's process, where the program can read with what."""
        if isinstance(node, ast.Name):
            return self._known.is_decided(node.id)
        if isinstance(node, ast.Constant | ast.Lambda) or not self.uses_guest(node):
            return False
        if isinstance(node, ast.Compare):
            return True
        if isinstance(node, ast.Set) or (
            isinstance(node, ast.Dict) and any(self.uses_guest(key) for key in node.keys if key)
        ):
            return True  # by hashes and equality of the answers
        if isinstance(node, SCOPES):
            # What it binds may be of the program, whatever compares it.
            return any(isinstance(one, ast.Compare) for one in ast.walk(node))
        if isinstance(node, ast.Call) and any(isinstance(one, ast.Lambda) for one in _arguments(node)):
            return any(isinstance(one, ast.Compare) for one in ast.walk(node))
        if isinstance(node, ast.Call) and not self.uses_guest(node.func) and not self._takes_data(node.func):
            if isinstance(self.value_of(node.func), types.FunctionType):
                return True
            return self._gets_data(node) or any(map(self.decides, _arguments(node)))
        return any(self.decides(one) for one in ast.iter_child_nodes(node))

    def _operation(
        self,
        node: ast.expr,
        fields: list[str],
        truth: bool = False,
        exact: bool = False,
        lazy: bool = False,
        compares: bool = False,
        takes: bool = False,
    ) -> Operation:
        """Make an operation of a node, with those of its ``fields`` that need the program as operands."""
        # By place, so that an operation in a loop that is unrolled, or of a function that is copied, has one number.
        place = (node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0)
        number = self._numbers.setdefault(place, len(self._numbers) + 1)
        parts: list[Part] = []
        is_open, made = True, False

        def replace(inner: Any) -> Any:
            nonlocal is_open, made
            if isinstance(inner, list):
                return [replace(one) for one in inner]
            if isinstance(inner, ast.keyword):
                return rebuilt(inner, value=replace(inner.value))
            if not self.uses_guest(inner):
                is_open = is_open and self._is_open(inner)
                made = made or self._known.is_own_object(inner)
                return inner
            made = made or self.makes(inner)
            parts.append(self.split(inner, truth))
            return ast.copy_location(ast.Name(operand(len(parts) - 1), ast.Load()), inner)

        changes: dict[str, Any] = {}
        for path in fields:
            outer, _, inner = path.partition(".")
            value = getattr(node, outer)
            changes[outer] = rebuilt(value, **{inner: replace(getattr(value, inner))}) if inner else replace(value)
        if isinstance(node, ast.Call | ast.Subscript):
            kept = node.func if isinstance(node, ast.Call) else node.value
            is_open = is_open and (self.uses_guest(kept) or self._is_open(kept))
        may_learn = made or takes or number in self._revealed
        native = (is_open or may_learn) and not lazy
        for one in parts:
            if native and isinstance(one, Operation):
                one.transparent = False  # what the program's process applies to it needs its result
        return Operation(
            rebuilt(node, **changes),
            parts,
            native=native,
            exact=exact,
            mixed=may_learn or not compares,
            number=number,
            lazy=lazy,
            reveals=native and not is_open and not takes,
            has_data=not is_open,
            decides=not (isinstance(node, ast.BinOp) or _is_value(node)),
            transparent=len(parts) == 1 and not (native or exact or lazy),
        )

    def _is_open(self, node: ast.expr) -> bool:
        """Return whether a part of the tests holds no plain data: a function, class, module, ``None``, a truth."""
        if isinstance(node, ast.Constant):
            return isinstance(node.value, _NEVER_DATA)
        if isinstance(node, ast.Tuple):
            return all(self._is_open(one) for one in node.elts)
        if isinstance(node, ast.Call):
            # An object of a class of the tests: it is no plain data either, and their own methods compare it.
            kind = self.value_of(node.func)
            return isinstance(kind, type) and kind.__module__ == "rrtf_tests"
        value = self.value_of(node)
        return value is not _UNKNOWN and (callable(value) or type(value) is types.ModuleType)

    def value_of(self, node: ast.expr) -> Any:
        """Return the value of a name, or of an attribute of a class or module, where the judge has it."""
        if isinstance(node, ast.Name):
            return self._known.scope.get(node.id, getattr(builtins, node.id, _UNKNOWN))
        if isinstance(node, ast.Attribute):
            holder = self.value_of(node.value)
            if isinstance(holder, type | types.ModuleType):
                return getattr(holder, node.attr, _UNKNOWN)
        return _UNKNOWN


_UNKNOWN = object()
_COMPARING = {
    *("count", "index", "isdisjoint", "issubset", "issuperset"),
    *("__contains__", "__eq__", "__ge__", "__gt__", "__le__", "__lt__", "__ne__"),
}
"""Methods that compare, of any object or of the elements of lists and sets."""
_REMOVING = {"difference_update", "discard", "intersection_update", "remove", "symmetric_difference_update"}
"""Methods of lists and sets that change them by comparing."""


def _with_names(node: Any, names: dict[int, ast.expr]) -> Any:
    """Return a tree with names in place of some of its parts, by their identities."""
    if id(node) in names:
        return names[id(node)]
    if isinstance(node, list):
        return [_with_names(one, names) for one in node]
    if not isinstance(node, ast.AST):
        return node
    return rebuilt(node, **{field: _with_names(getattr(node, field, None), names) for field in node._fields})


def _is_counter(node: ast.Call) -> bool:
    return ast.unparse(node.func) in ("Counter", "collections.Counter") and not node.keywords


def _is_value(node: ast.expr) -> bool:
    """Return whether an operation gives a value, and no truth that the program could choose without knowing more."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _VALUES
    return isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict | ast.Subscript)


_NOT_HOISTED = (ast.Constant, ast.NamedExpr, ast.Slice, ast.Await, ast.JoinedStr, *SCOPES)


def _arguments(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(word.value for word in node.keywords)]


def _has_stars(nodes: list[ast.expr]) -> bool:
    return any(isinstance(one, ast.Starred) for one in nodes)


def _is_slice(node: ast.expr) -> bool:
    return any(isinstance(one, ast.Slice) for one in ast.walk(node))


def _by_identity(node: ast.expr) -> ast.expr:
    """Return ``x is None`` for ``x == None``, which no object must decide, and ``x is y`` for equal identities."""
    if not (isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.NotEq)):
        return node
    left, right = node.left, node.comparators[0]
    if _is_identity(left) and _is_identity(right):
        left, right = left.args[0], right.args[0]  # type: ignore[attr-defined]
    elif not any(isinstance(one, ast.Constant) and one.value is None for one in (left, right)):
        return node
    by_identity = ast.Is() if isinstance(node.ops[0], ast.Eq) else ast.IsNot()
    return ast.copy_location(ast.Compare(left, [by_identity], [right]), node)


def _is_identity(node: ast.expr) -> bool:
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "id"
    return is_call and len(node.args) == 1  # type: ignore[attr-defined]

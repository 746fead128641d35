"""What is known of the names in a problem's tests, at the point that staging (:mod:`.staging`) has reached."""

from __future__ import annotations

import ast
import builtins
import copy
import types
from collections.abc import Callable, Iterable
from typing import Any

from ..common import codec
from .literals import literal
from .names import Names, loaded, stored
from .world import WORLD, is_builtin

_IMMUTABLE = (int, float, complex, str, bytes, bool, type(None), type(...), range, type, types.ModuleType)
_CONSTANTS = {int, float, complex, str, bytes, bool}
_DEFINED = (types.FunctionType, type, types.ModuleType)
_MOST_INSIDE = 1000
"""Values inside of a variable that are searched for ones that crossed."""
_OWN = ("_rrtf_", "_operand_", "_hoisted_")
"""How names begin that are not the tests' own."""


class MustLive(Exception):
    """A variable of the tests has to be made in the program's process: it is no plain data there, or is changed there.

    Args:
        names: Of the variable, and of others for which the same may hold.
    """

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.names = names


class Namespace:
    """The names of the tests, as :class:`.knowledge.Knowledge`, and which of their values have crossed.

    Args:
        scope: The judge's values: the globals of a new module.
        program: The names that the program defines for the tests.
        functions: Those of them that are functions, as far as that is known.
        forced: Variables that have to be made in the program's process.
        emit: Adds a statement to what the program's process has to execute.
        prepare: Returns a definition of the tests for the program's process.

    Attributes:
        guest: Names with a value that lives in the program's process.
        made: Of these, objects that the tests made from a class of the program's.
        functions: Of these, functions and classes.
        environment: Of these, parts of the world, which no program decides.
        decided: Of these, what the tests' code there found by comparing; False where it computed it of answers: that
            must not be compared with answers alone.
        definitions: By name, the statement that defines a function, class or module of the tests.
        effects: The identities of values that the tests gave to the program for it to change.
        needed: What functions of the tests that live in the program's process read when they are called.
        values: The values that were sent, which code refers to by index.
    """

    def __init__(
        self,
        scope: dict[str, Any],
        program: set[str],
        functions: set[str],
        forced: set[str],
        emit: Callable[[ast.stmt], None],
        prepare: Callable[[ast.stmt], ast.stmt],
    ) -> None:
        self.scope = scope
        self.forced = forced
        self.guest = program | WORLD
        self.made: set[str] = set()
        self.functions = set(program)
        self._known_functions = functions
        self.environment = set(WORLD)
        self.decided: dict[str, bool] = {}
        self.definitions: dict[str, ast.stmt] = {}
        self.effects: set[int] = set()
        self.needed: Names = {}
        self.values: list[Any] = []
        self._emit = emit
        self._prepare = prepare
        self._bound: dict[str, int] = {}
        """By name, the identity of the value or definition that it has in the program's process."""
        self._memo: dict[int, Any] = {}
        self._kept: list[Any] = []
        """Keeps what ``_memo`` copies alive, so that identities stay unique."""
        self._packed: dict[int, Any] = {}
        self._value_names: dict[int, str] = {}

    # -- knowledge.Knowledge ---------------------------------------------------------------------------

    def is_guest(self, name: str) -> bool:
        """Return whether a name's value lives in the program's process."""
        return name in self.guest

    def is_class(self, name: str) -> bool:
        """Return whether it is a class: by the reference, or by the name that classes have."""
        bare = name.strip("_")
        return bare[:1].isupper() and "_" not in bare and name not in self._known_functions

    def is_made(self, name: str) -> bool:
        """Return whether it is an object that the tests made from a class of the program's."""
        return name in self.made

    def is_environment(self, name: str) -> bool:
        """Return whether it is a part of the world that the program sees, and no program decides it."""
        return name in self.environment

    def is_function(self, name: str) -> bool:
        """Return whether it is a function or class that lives in the program's process."""
        return name in self.functions and name in self.guest

    def is_decided(self, name: str) -> bool:
        """Return whether it holds what the tests' code in the program's process found by comparing."""
        return self.decided.get(name, False)

    def describe(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return all on which the splitting of an expression with these names depends."""
        found = []
        for name in names:
            bits = sum(
                (name in known) << place
                for place, known in enumerate((self.guest, self.made, self.functions, self.environment, self.decided))
            )
            if name in self.scope:
                bits += 32
                value = self.scope[name]
                if callable(value) or type(value) is types.ModuleType:
                    bits += 64 * id(value)
            found.append(bits)
        return tuple(found)

    # -- Names -----------------------------------------------------------------------------------------

    def snapshot(self) -> list[Any]:
        """Return a copy of what is known of the names, for :meth:`restore`."""
        return [known.copy() for known in self._known()]

    def restore(self, state: list[Any]) -> None:
        """Forget what was learned since the snapshot: the local names of a function."""
        for known, before in zip(self._known(), state, strict=True):
            known.clear()
            known.update(before)

    def _known(self) -> list[Any]:
        dicts = [self.scope, self.definitions, self._bound, self.needed, self.decided]
        return [*dicts, self.guest, self.made, self.functions, self.environment]

    def bind_here(self, names: Iterable[str]) -> None:
        """Note that names got a value in the judge."""
        for name in names:
            self.guest.discard(name)
            self._bound.pop(name, None)

    def bind_there(self, names: Iterable[str], made: bool = False, decided: bool | None = None) -> None:
        """Note that names got a value in the program's process, with what ``made`` and ``decided`` say of it."""
        for name in names:
            self.guest.add(name)
            self.scope.pop(name, None)
            self._bound.pop(name, None)
            self.functions.discard(name)
            (self.made.add if made else self.made.discard)(name)
            self.decided.pop(name, None)
            if decided is not None:
                self.decided[name] = decided

    def define_there(self, name: str, needed: Names) -> None:
        """Note that a function or class of the tests, or a module, was defined in the program's process."""
        self.bind_there([name])
        self.functions.add(name)
        self.needed.update(needed)

    def run(self, node: ast.stmt) -> None:
        """Execute a statement in the judge."""
        tree = ast.Module(body=[node], type_ignores=[])
        code = compile(ast.fix_missing_locations(tree), "<tests>", "exec", dont_inherit=True)
        exec(code, self.scope)

    def evaluate(self, node: ast.expr) -> Any:
        """Evaluate an expression in the judge."""
        found = literal(node)
        if found is not None:
            return found[0]
        code = compile(ast.fix_missing_locations(ast.Expression(node)), "<tests>", "eval", dont_inherit=True)
        return eval(code, self.scope)

    def is_known(self, node: ast.AST) -> bool:
        """Return whether the judge has values for all names of an expression."""
        return all(name in self.scope or is_builtin(name) for name in loaded(node))

    def is_of_module(self, node: ast.expr) -> bool:
        """Return whether a function is a module's, as ``random.seed``: its effect may be meant for the program."""
        if not isinstance(node, ast.Attribute):
            return False
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and isinstance(self.scope.get(node.id), types.ModuleType)

    # -- Values ----------------------------------------------------------------------------------------

    def is_variable(self, name: str) -> bool:
        """Return whether it is data of the judge's that can be changed in place."""
        return name in self.scope and not isinstance(self.scope[name], (*_IMMUTABLE, *_DEFINED))

    def is_own_object(self, node: ast.expr) -> bool:
        """Return whether an expression is an object of a class that the tests define."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            kind = self.scope.get(node.func.id)
        else:
            kind = type(self.scope.get(node.id)) if isinstance(node, ast.Name) else None
        return isinstance(kind, type) and kind.__module__ == self.scope["__name__"]

    def is_defined(self, name: str) -> bool:
        """Return whether it is a function, class or module of the judge's."""
        return isinstance(self.scope.get(name), _DEFINED)

    def is_data(self, name: str) -> bool:
        """Return whether it is a value of the judge's that no statement defines."""
        return name in self.scope and not isinstance(self.scope[name], _DEFINED)

    def crossed(self, names: Iterable[str]) -> list[str]:
        """Return those of the names with values of the judge that the program may have changed in place."""
        if not self._packed:
            return []
        return [name for name in names if self.is_variable(name) and self._holds_crossed(self.scope[name])]

    def _holds_crossed(self, value: Any) -> bool:
        waiting, count = [value], 0
        while waiting and count < _MOST_INSIDE:
            one = waiting.pop()
            count += 1
            if id(one) in self._packed or id(one) in self._memo:
                return True
            if isinstance(one, dict):
                waiting += [inner for inner in one.values() if not isinstance(inner, _IMMUTABLE)]
            elif isinstance(one, list | tuple | set | frozenset):
                waiting += [inner for inner in one if not isinstance(inner, _IMMUTABLE)]
        return False

    def reference(self, value: Any) -> ast.expr | None:
        """Return what stands for a value in the program's process; None if it is neither plain data nor built in."""
        if type(value) in _CONSTANTS:
            return ast.Constant(value)
        own = getattr(value, "__name__", "") if isinstance(value, type | types.BuiltinFunctionType) else ""
        if own and getattr(builtins, own, None) is value:
            return ast.Name(own, ast.Load())
        name = self.send(value)
        return None if name is None else ast.Name(name, ast.Load())

    def send(self, value: Any) -> str | None:
        """Return the name of a value in the program's process; None where it is no plain data."""
        try:
            packed = codec.pack(value)
        except codec.NotPlainData:
            return None
        key = id(value)
        if key in self._value_names and self._packed.get(key) == packed:
            return self._value_names[key]
        if key in self._value_names:  # the tests changed it since
            new = self._new_value(copy.deepcopy(value))
            names: list[ast.expr] = [ast.Name(name, ast.Load()) for name in (self._value_names[key], new)]
            self._emit(ast.Expr(ast.Call(ast.Name("_rrtf_put", ast.Load()), names, [])))
        else:
            self._kept.append(value)
            self._value_names[key] = self._new_value(copy.deepcopy(value, self._memo))
        self._packed[key] = packed
        return self._value_names[key]

    def _new_value(self, value: Any) -> str:
        self.values.append(value)
        return f"_rrtf_{len(self.values) - 1}"

    def ship(self, names: Iterable[str]) -> None:
        """Have the program's process know variables, functions and modules of the tests.

        Raises:
            MustLive: If one is neither plain data nor defined by a statement.
        """
        for name in names:
            self._ship(name)
        for name in list(self.needed):
            self._ship(name)

    def _ship(self, name: str) -> None:
        if name in self.guest or name not in self.scope or name.startswith(_OWN):
            return  # it is there, or it is a built-in, or it is not defined in plain Python either
        value = self.scope[name]
        if self._bound.get(name) == id(value) and isinstance(value, _IMMUTABLE):
            return
        shown = None if name in self.definitions else self.reference(value)
        if shown is not None:
            if self._bound.get(name) != id(value):
                self._bound[name] = id(value)
                self._kept.append(value)
                self._emit(ast.Assign([ast.Name(name, ast.Store())], shown))
        elif name in self.definitions:
            definition = self.definitions[name]
            if self._bound.get(name) != id(definition):
                for other in stored(definition):
                    self._bound[other] = id(definition)
                self.ship(loaded(definition))
                self._emit(self._prepare(definition))
        else:
            raise MustLive(name)

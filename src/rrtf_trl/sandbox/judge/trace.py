"""The calls of a problem's tests, learned once, so that they can be sent to every later program all together.

A round trip for each call takes most of the time: HumanEval/53 makes a hundred. So the tests are rehearsed in the
judge, twice: with the reference in place of the program; and *blind*, with answers whose every use raises, so that no
argument of a later call can come from an earlier answer: sent ahead, such an argument would show the program the
reference's answer. The calls with which both rehearsals begin are sent ahead. Where a program's tests then make
another call, the program is judged again in a new process, call by call.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ..common import codec
from .proxies import EXPECTED, MADE, UNKNOWN


@dataclass(frozen=True)
class Facts:
    """What the rehearsal found.

    Args:
        frames: The calls to send ahead, from :func:`call_frame`.
        plain: The reference's functions that return plain data.
        objects: Those that return objects, generators, functions.
        shared: Classes of the reference whose objects the tests pass to the program, get from it, or catch.
        classes: The reference's classes.
        names: All names that the reference defines.
        changed: Functions that have to change arguments in place, and the positions of these arguments.
    """

    frames: list[bytes] = field(default_factory=list)
    plain: set[str] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    changed: dict[str, list[int]] = field(default_factory=dict)


class Trace:
    """What a session needs of a rehearsal.

    Args:
        frames: The calls to send ahead.
        facts: Returns the rest; the rehearsal may run only then.
        has_reference: Whether there is a reference to rehearse with.
        changed: As in :class:`Facts`; only tests that keep their arguments need a rehearsal for it.
    """

    def __init__(
        self,
        frames: list[bytes],
        facts: Callable[[], Facts],
        has_reference: bool,
        changed: dict[str, list[int]] | None = None,
    ) -> None:
        self.frames = frames
        self.calls = b"[" + b",".join(frames) + b"]"
        self.facts = facts
        self.changed = changed or {}
        self._has_reference = has_reference

    def origin(self, name: str, kind: str) -> int:
        """Return the origin of objects that a function or class of the program returns, as far as it is known."""
        if kind != "class":
            return UNKNOWN
        if not self._has_reference:
            return EXPECTED
        return MADE if name in self.facts().classes else UNKNOWN


def no_trace() -> Trace:
    """Return the trace of unknown tests."""
    return Trace([], Facts, has_reference=False)


def call_frame(name: str, args: Any, kwargs: dict[str, Any]) -> bytes:
    """Return a call as it is sent ahead; raises :class:`.codec.NotPlainData` where an argument is not plain."""
    named = [[key, codec.pack(value)] for key, value in kwargs.items()]
    return codec.dump([name, [codec.pack(value) for value in args], named])


class BlindAnswer(BaseException):
    """An answer of a blind rehearsal was used."""


def _look(*_: object) -> Any:
    raise BlindAnswer


_LOOKS = (
    *("bool", "str", "repr", "format", "hash", "len", "iter", "next", "getattr", "getitem", "setitem", "delitem"),
    *("contains", "call", "enter", "await", "index", "int", "float", "complex", "bytes", "round", "abs", "neg", "pos"),
    *("invert", "reversed", "setattr", "delattr", "eq", "ne", "lt", "le", "gt", "ge"),
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow", "lshift", "rshift", "and", "or"),
    *("radd", "rsub", "rmul", "rmatmul", "rtruediv", "rfloordiv", "rmod", "rdivmod", "rpow", "rlshift", "rrshift"),
    *("xor", "rand", "ror", "rxor"),
)
Unseen = type("Unseen", (), {f"__{name}__": _look for name in _LOOKS})
"""The class of answers in a blind rehearsal, whose every use raises."""


FORGIVEN = "__forgiven__"
"""The name, in the scope of blind tests, of the exceptions that asserts ignore."""


class _Blindfold(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Replace an assert by its expression, with exceptions ignored."""
        handler = ast.ExceptHandler(type=ast.Name(FORGIVEN, ast.Load()), name=None, body=[ast.Pass()])
        return ast.Try(body=[ast.Expr(node.test)], handlers=[handler], orelse=[], finalbody=[])


def blindfold(tree: ast.Module) -> ast.Module:
    """Return the tests with asserts that always pass."""
    blind: ast.Module = ast.fix_missing_locations(_Blindfold().visit(tree))
    return blind


class Recorder:
    """Records the calls of a rehearsal; :meth:`function` wraps the functions that take the program's place.

    Args:
        classes: The names of the reference's classes.
        put_back: Whether to change the tests' arguments as the reference changes its copies of them.
    """

    def __init__(self, classes: set[str], put_back: bool = False) -> None:
        self.changed: dict[str, list[int]] = {}
        self._put_back = put_back
        self.frames: list[bytes] = []
        self.shared: set[str] = set()
        self.answers: dict[str, bool] = {}
        self._classes = classes
        self._complete = True

    def function(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function of the reference: it is called by value, as the program's are, and recorded."""

        def recorded(*args: Any, **kwargs: Any) -> Any:
            originals = args
            try:
                frame = call_frame(name, args, kwargs)
                packed_args = [codec.pack(value) for value in args]
                args = tuple(codec.unpack(packed) for packed in packed_args)
                kwargs = {key: codec.unpack(codec.pack(value)) for key, value in kwargs.items()}
            except codec.NotPlainData:
                packed_args = []
                self._complete = False
                self._note_shared((args, kwargs))
            else:
                if self._complete:
                    self.frames.append(frame)
            try:
                answer = function(*args, **kwargs)
            except Exception as error:
                self._note_shared(error)
                raise
            for place, packed in enumerate(packed_args):
                if _changed(args[place], packed):
                    self.changed[name] = sorted({*self.changed.get(name, []), place})
                    if self._put_back:
                        put_back(originals[place], args[place])
            try:
                packed = codec.pack(answer)
            except codec.NotPlainData:
                if isinstance(answer, Unseen):
                    return answer
                self._complete = False
                self.answers[name] = False
                self._note_shared(answer)
                return answer
            self.answers.setdefault(name, True)
            return codec.unpack(packed)

        recorded.__name__ = name
        return recorded

    def _note_shared(self, value: Any, depth: int = 0) -> None:
        if depth < 5 and isinstance(value, list | tuple | set | frozenset):
            for item in value:
                self._note_shared(item, depth + 1)
        elif depth < 5 and isinstance(value, dict):
            for item in value.values():
                self._note_shared(item, depth + 1)
        else:
            # By name: the tests' helpers and the reference are the same code, executed twice.
            self.shared |= self._classes & {base.__name__ for base in type(value).__mro__}


def _changed(value: Any, packed: Any) -> bool:
    try:
        return bool(codec.pack(value) != packed)
    except codec.NotPlainData:
        return False


def put_back(target: Any, value: Any) -> None:
    """Change an argument of the tests in place to the value of the copy that the program got."""
    if type(target) is not type(value):
        return
    if isinstance(target, list):
        inner = target[: len(value)]
        target[:] = value
        for place, old in enumerate(inner):  # the tests may have names for inner lists
            if type(old) is type(value[place]) and isinstance(old, list | dict | set | bytearray):
                put_back(old, value[place])
                target[place] = old
    elif isinstance(target, dict):
        old_items = dict(target)
        target.clear()
        target.update(value)
        for key, new in value.items():
            old = old_items.get(key)
            if type(old) is type(new) and isinstance(old, list | dict | set | bytearray):
                put_back(old, new)
                target[key] = old
    elif isinstance(target, set):
        target.clear()
        target.update(value)
    elif isinstance(target, bytearray):
        target[:] = value
    elif type(target).__module__ == "numpy" and target.shape == value.shape != ():
        target[...] = value


def common_start(left: list[bytes], right: list[bytes]) -> list[bytes]:
    """Return the longest common start of two lists."""
    return [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))]

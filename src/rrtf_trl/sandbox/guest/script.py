"""Runs the tests' part of a program's process: code that uses the program, and reports values of it.

Runs where the program can change all of it; the judge decides by what is reported (:mod:`..judge.replay`), which holds
nothing that the tests expect. See :mod:`..judge.staging`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal wraps it in enumerations, and takes five times as long
import contextlib
import marshal
import os
import re
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any

from ..common import codec, protocol
from ..common.report import EXIT_OUT_OF_TIME

_FLUSH_BYTES, _FLUSH_SECONDS = 65536, 0.005
_MOST_TEXT = 10_000
_ENVIRONMENT = type(os.environ)
_VIEWS: dict[type, str] = {type({}.keys()): "keys", type({}.items()): "items"}


class _Unknown(Exception):
    """A value that only the judge can compute."""


class _Leaf:
    """A value of the program.

    Args:
        value: The value.
        of_object: Whether it is the truth of an object.
    """

    __slots__ = ("_of_object", "_packed", "_value")

    def __init__(self, value: Any, of_object: bool = False) -> None:
        self._value = value
        self._of_object = of_object
        self._packed: Any = _Unknown

    def packed(self) -> Any:
        """Return the value as plain data in a tuple; None where it is none."""
        if self._packed is _Unknown:
            if type(self._value) is _ENVIRONMENT:
                self._value = dict(self._value)
            try:
                self._packed = (codec.pack(self._value),)
            except codec.NotPlainData:
                self._packed = None
        return self._packed

    def _view(self) -> list[Any] | None:
        """Return the dict behind a view of its keys or items, by which the judge makes it again; None for others."""
        name = _VIEWS.get(type(self._value))
        if name is not None:
            with contextlib.suppress(codec.NotPlainData):
                return [name, codec.pack(dict(self._value.mapping))]
        return None

    def is_plain(self, exact: bool) -> bool:
        if self.packed() is None:
            return self._view() is not None
        return not exact or codec.is_exact(self._value)

    def value(self) -> Any:
        return self._value

    def tree(self) -> list[Any]:
        packed = self.packed()
        if packed is None:
            return self._view() or ["u", codec.type_name(type(self._value))]
        return ["p" if self._of_object else "v", packed[0]]


class _Raised:
    """An operand of ``and`` or ``or`` that ended in an exception, which counts only if it is reached."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def is_plain(self, exact: bool) -> bool:
        return True

    def value(self) -> Any:
        raise self._error

    def tree(self) -> list[Any]:
        return ["x", describe(self._error)]


class _Applied:
    """An operation that the judge applies, as long as its operands are plain data."""

    __slots__ = ("_native", "_operands")

    def __init__(self, operands: list[Any], native: Callable[..., Any] | None) -> None:
        self._operands = operands
        self._native = native

    def is_plain(self, exact: bool) -> bool:
        return all(one.is_plain(False) for one in self._operands)

    def value(self) -> Any:
        if self._native is None:
            raise _Unknown
        return self._native(*[one.value() for one in self._operands])

    def tree(self) -> list[Any]:
        return ["o", [one.tree() for one in self._operands]]


_PARTS = (_Leaf, _Raised, _Applied)


def apply(how: tuple[bool, bool, bool], native: Callable[..., Any] | None, *operands: Any) -> Any:
    """Leave an operation to the judge, or apply it where an operand is an object.

    Args:
        how: Whether it distinguishes subclasses, whether its operands are to be called, and whether it may be applied
            to an object and plain data.
        native: The operation; None where it must not be applied here.
        operands: What it is applied to.
    """
    exact, lazy, mixed = how
    if lazy:
        return _Applied([_attempt(one) for one in operands], None)
    parts = [one if type(one) in _PARTS else _Leaf(one) for one in operands]
    plain = [one.is_plain(exact) for one in parts]
    if native is not None and not all(plain) and (mixed or not any(plain)):
        with contextlib.suppress(_Unknown):
            return _Leaf(native(*[one.value() for one in parts]))
    return _Applied(parts, native)


def _attempt(operand: Callable[[], Any]) -> Any:
    try:
        value = operand()
        return value if type(value) in _PARTS else _Leaf(value)
    except Exception as error:
        return _Raised(error)


def truth(value: Any) -> Any:
    """Return what to report of a value whose truth alone matters."""
    part = value if type(value) in _PARTS else _Leaf(value)
    return part if type(part) is not _Leaf or part.is_plain(False) else _Leaf(bool(part.value()), of_object=True)


def put(target: Any, value: Any) -> None:
    """Change a value of the tests in place, as the tests did after the program got it."""
    if isinstance(target, list | bytearray):
        target[:] = value
    elif isinstance(target, dict | set):
        target.clear()
        target.update(value)
    else:
        target[...] = value


class Raised:
    """The exception that ended a block of the tests, as ``pytest.raises`` gives it, and unittest.

    Args:
        end: Called with the exception, or with None; it may raise that none or another one is expected.
    """

    def __init__(self, end: Callable[[BaseException | None], bool]) -> None:
        self._end = end
        self.value: BaseException | None = None
        self.exception: BaseException | None = None
        self.type: type | None = None

    @property
    def typename(self) -> str:
        """The name of the exception's type."""
        return type(self.value).__name__

    def match(self, pattern: str) -> bool:
        """Raise AssertionError if a pattern is not found in the exception's text."""
        return _must_match(pattern, self.value)

    def __enter__(self) -> Raised:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        self.type, self.value, self.exception = kind, error, error
        return self._end(error)


def raises(kinds: Any, *, match: str | None = None) -> Raised:
    """Expect an exception, where the tests' code in this process decides."""

    def end(error: BaseException | None) -> bool:
        if error is None:
            raise AssertionError(f"it did not raise {kinds}")
        return isinstance(error, kinds) and (match is None or _must_match(match, error))

    return Raised(end)


def _must_match(pattern: str, error: object) -> bool:
    if not re.search(pattern, str(error)):
        raise AssertionError(f"{str(error)[:100]!r} does not match {pattern!r}")
    return True


def describe(error: BaseException) -> list[str]:
    """Return an exception's type and text."""
    name = codec.type_name(type(error))
    try:
        text = str(error)[:300]
    except BaseException:
        text = ""
    kinds = [base.__name__ for base in (MemoryError, RecursionError) if isinstance(error, base)]
    return [name, text, *kinds]


def run(channel: protocol.Channel, module: types.ModuleType, data: bytes, number: int, waiting: bytes) -> None:
    """Run the tests' units, and send the answers of each together, or part by part where they take long.

    Args:
        channel: The channel to the judge.
        module: The program, as whose code the units run.
        data: What :meth:`..judge.script.Script.encode` returns.
        number: The number of the first answer.
        waiting: Bytes to send before it.
    """
    scope, pid = module.__dict__, os.getpid()
    units, values, packed = marshal.loads(data)
    for key, item in codec.parse(packed):
        values[key] = codec.unpack(item)
    sent, now = time.monotonic(), time.monotonic

    def answer(kind: str, payload: Any) -> None:
        nonlocal number, waiting, sent
        if os.getpid() != pid:
            os._exit(0)  # a process that the program forked and that returned from it
        frame = codec.dump([number, kind, payload])
        if len(frame) > protocol.MAX_FRAME:
            frame = codec.dump([number, "r", f"an answer of {len(frame)} bytes"])
        number += 1
        waiting += len(frame).to_bytes(4, "big") + frame
        if len(waiting) > _FLUSH_BYTES or now() - sent > _FLUSH_SECONDS:
            channel.send_all(waiting)
            waiting, sent = b"", now()

    def see(index: int, nested: bool, value: Any, *looked_at: Any) -> None:
        """Report what an assertion needs of the program."""
        if not nested and not looked_at and type(value) not in _PARTS:
            leaf = _Leaf(value)
            found = leaf.packed()
            if found is not None:
                answer("v", found[0])
                return
        tree = (value if type(value) in _PARTS else _Leaf(value)).tree()
        answer("n", [index, tree, [_Leaf(one).tree() for one in looked_at]])

    def raised(index: int) -> Raised:
        """Report the exception that ends a block, which the judge compares with the expected one."""

        def end(error: BaseException | None) -> bool:
            kinds = [[kind.__module__, kind.__name__] for kind in type(error).__mro__]
            see(index, False, None if error is None else [kinds, str(error)[:_MOST_TEXT]])
            return True

        return Raised(end)

    def guard(operation: int, of_objects: bool, native: Callable[..., Any], *operands: Any) -> Any:
        """Apply an operator to plain values, or to objects, but not to both: the object could equal anything."""
        leaves = [_Leaf(one) for one in operands]
        plain = [one.packed() is not None for one in leaves]
        if all(plain):
            packed = [one.packed()[0] for one in leaves]
            result = native(*[codec.unpack(one) for one in packed])
            answer("g", [operation, packed, codec.pack(result)])
            return result
        if any(plain) or not of_objects:
            answer("u", [operation, codec.type_name(type(operands[plain.index(False)]))])
        return native(*operands)

    def caught() -> None:
        """Report an exception that is no error, where the tests handle all exceptions alike."""
        error = sys.exc_info()[1]
        if error is not None and (not isinstance(error, Exception) or isinstance(error, AssertionError)):
            answer("c", describe(error))

    def send_and_end(*_: object) -> None:
        """Processor time is used up: send the answers so far, which count."""
        with contextlib.suppress(protocol.Closed):
            channel.send_all(waiting)
        os._exit(EXIT_OUT_OF_TIME)

    scope.update(_rrtf_see=see, _rrtf_apply=apply, _rrtf_truth=truth, _rrtf_put=put)
    scope.update(_rrtf_guard=guard, _rrtf_caught=caught, _rrtf_raises=raises, _rrtf_raised=raised)
    for index, value in enumerate(values):
        scope[f"_rrtf_{index}"] = value
    _signal.signal(signal.SIGXCPU, send_and_end)
    for code, to_its_end in units:
        try:
            exec(code, scope)
        except BaseException as error:
            answer("x", describe(error))
        else:
            if to_its_end:
                answer("e", None)
        if waiting:  # what passed counts, however the process ends in what follows
            channel.send_all(waiting)
            waiting, sent = b"", now()
    _signal.signal(signal.SIGXCPU, _signal.SIG_DFL)
    if waiting:  # there are no units
        channel.send_all(waiting)

"""The program's exceptions as they are raised in the tests: a built-in one, or a stand-in for a class of its own."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from ..common import codec
from ..common.faults import Fault, FaultKind

NEVER_RAISED = {
    "AssertionError",
    "StopIteration",
    "StopAsyncIteration",
    "GeneratorExit",
    "SystemExit",
    "KeyboardInterrupt",
}
"""Exceptions of the program that would mean something else in a test: a failure, or the end of a loop."""


class ProgramExceptions:
    """The exceptions of one program.

    Args:
        fail: Notes a fault of the program; returns it to be raised.
    """

    def __init__(self, fail: Callable[[FaultKind, str], Fault]) -> None:
        self._fail = fail
        self._stand_ins: dict[int, type[Exception]] = {}

    def number_of(self, value: Any) -> int | None:
        """Return the number of the program's exception class that a stand-in is for; None for other values."""
        return next((number for number, stand_in in self._stand_ins.items() if value is stand_in), None)

    def stand_in(self, name: str, bases: Any, number: int) -> type[Exception]:
        """Return the class that replaces the program's exception class in the tests, so that they can catch it."""
        if number not in self._stand_ins:
            base = Exception
            for base_name in bases if isinstance(bases, list) else []:
                kind = getattr(builtins, base_name, None) if isinstance(base_name, str) else None
                if isinstance(kind, type) and issubclass(kind, Exception) and kind.__name__ not in NEVER_RAISED:
                    base = kind
                    break
            self._stand_ins[number] = type(str(name), (base,), {})
        return self._stand_ins[number]

    def _error(self, error: Any) -> tuple[list[str], str, Any, list[Any]]:
        if isinstance(error, list) and len(error) == 4:
            names, text, args, classes = error
            if isinstance(names, list) and isinstance(text, str) and isinstance(classes, list):
                return [name for name in names[:20] if isinstance(name, str)], text[:300], args, classes[:50]
        raise self._fail("refused", "a reply of the wrong shape")

    def exception(self, payload: Any) -> BaseException:
        """Return the exception to raise in the test for one that the program raised."""
        names, text, packed, classes = self._error(payload)
        if "MemoryError" in names:
            return self._fail("memory", text)
        try:
            args = codec.unpack(packed)
        except codec.MalformedMessage:
            args = None
        if type(args) is not tuple:
            args = (text.partition(": ")[2],)
        if not NEVER_RAISED.intersection(names):
            kinds: list[Any] = [self._stand_ins[number] for number in classes if number in self._stand_ins]
            kinds += [getattr(builtins, name, None) for name in names]
            for kind in kinds:
                if isinstance(kind, type) and issubclass(kind, Exception):
                    try:
                        return kind(*args)
                    except TypeError:  # a few classes take other arguments: use the base class
                        continue
        fault = self._fail("raised", text)
        fault.exception = _type_in(text)
        return fault


def _type_in(text: str) -> str:
    """Return the type in a text such as ``ValueError: no``; empty where there is none."""
    name = text.partition(":")[0][:60]
    return name if name.isidentifier() else ""


def builtin_name(error: BaseException) -> str:
    """Return the name of the built-in class by which the program gets an exception of the tests."""
    for base in type(error).__mro__:
        if base.__module__ == "builtins" and base.__name__ not in NEVER_RAISED:
            return base.__name__
    return "Exception"

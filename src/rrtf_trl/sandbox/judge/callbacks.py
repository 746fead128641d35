"""Functions and iterators of the tests that are passed to the program: they stay here, and it calls them by number."""

from __future__ import annotations

import io
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from ..common import codec
from ..common.faults import Fault, FaultKind
from ..common.messages import cut
from .exceptions import builtin_name

_PLAIN = (list, dict, set, frozenset, tuple, str, bytes, bytearray, int, float)
_MAX_NESTED = 50


class Callbacks:
    """The functions and iterators of the tests that were passed to one program.

    Args:
        references: Packs and unpacks objects.
        fail: Notes a fault of the program; returns it to be raised.
    """

    def __init__(self, references: codec.References, fail: Callable[[FaultKind, str], Fault]) -> None:
        self._references = references
        self._fail = fail
        self._held: list[Any] = []
        self._depth = 0

    def refer(self, value: Any) -> list[Any] | None:
        """Keep a function or iterator and return its reference; None for other values."""
        # A method of plain data, such as seen.append
        of_plain_data = isinstance(value, types.BuiltinMethodType) and isinstance(value.__self__, _PLAIN)
        if of_plain_data or isinstance(value, types.FunctionType | types.MethodType):
            kind = "k"
        elif isinstance(value, Iterator) and not isinstance(value, type | io.IOBase):
            kind = "i"
        else:
            return None
        self._held.append(value)
        return [kind, len(self._held) - 1]

    def find(self, number: Any) -> Any:
        """Return the function or iterator of this number; raises :class:`.codec.MalformedMessage`."""
        if type(number) is int and 0 <= number < len(self._held):
            return self._held[number]
        raise codec.MalformedMessage("an unknown reference")

    def serve(self, kind: str, payload: Any) -> bytes:
        """Call a function for the program (kind ``k``), or take an iterator's next item (``i``); return the reply."""
        if not (isinstance(payload, list) and len(payload) == 3 and isinstance(payload[0], int)):
            raise self._fail("refused", "a reply of the wrong shape")
        number, args, kwargs = payload
        if not 0 <= number < len(self._held) or self._depth >= _MAX_NESTED:
            raise self._fail("refused", "a call of an unknown function, or too many nested calls")
        found = self._held[number]
        if callable(found) is not (kind == "k"):
            raise self._fail("refused", "a call of what cannot be called")
        try:
            operands = [codec.unpack(item, self._references) for item in args]
            named = {str(key): codec.unpack(value, self._references) for key, value in kwargs}
        except (codec.MalformedMessage, TypeError, ValueError):
            raise self._fail("refused", "a reply of the wrong shape") from None
        self._depth += 1
        try:
            value = found(*operands, **named) if kind == "k" else next(([item] for item in found), [])
            reply = codec.dump({"value": codec.pack(value, self._references)})
        except AssertionError as error:
            # The test has failed, even if the program catches the exception.
            self._fail("raised", f"a function of the test failed: {cut(str(error))}")
            reply = codec.dump({"error": ["AssertionError", cut(str(error))]})
        except codec.NotPlainData as error:
            raise self._fail("refused", f"the test returns {error}, which cannot cross to the program") from None
        except Exception as error:
            reply = codec.dump({"error": [builtin_name(error), cut(str(error))]})
        finally:
            self._depth -= 1
        return reply


def standard_name(value: Any) -> tuple[str, str] | None:
    """Return module and name of a function or class of the standard library or NumPy, which the program can import."""
    owner = getattr(value, "__objclass__", value)  # str.upper has no module, but str has
    module, name = getattr(owner, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    top = module.partition(".")[0]
    if top not in sys.stdlib_module_names and top != "numpy":
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return (module, name) if found is value else None

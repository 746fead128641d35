"""Plain data to bytes and back: all that ever crosses between a program and its judge.

Only exact built-in types cross: ``None``, ``bool``, ``int``, ``float``, ``complex``, ``str``, ``bytes``,
``list``, ``tuple``, ``dict``, ``set`` and ``frozenset``, and these types themselves, by name. An instance of
a subclass is sent as the plain value inside it, read with the base type's own methods, so an overridden
``__eq__``, ``__iter__`` or ``items`` never has a say. Anything else is refused by the name of its type.

On the wire a value is JSON text. Scalars stand for themselves, the rest is a pair ``[tag, payload]``::

    (1, [2.5, "x"])   ->   ["t", [1, ["l", [2.5, "x"]]]]

Decoding builds values of these types and runs nothing, whatever the bytes are.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MAX_DEPTH = 150
"""Containers inside containers, at most."""
MAX_INT_BITS = 400_000
"""The largest integer that crosses, in bits (about 120,000 decimal digits)."""

_JSON_INT = 1 << 63
_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, type(None), type)
}
_NAMES = {kind: name for name, kind in _TYPES.items()}
_CONTAINERS: dict[str, Any] = {"l": list, "t": tuple, "s": set, "f": frozenset}


class Refused(ValueError):
    """A value that cannot cross; the message says what it is."""


class Malformed(ValueError):
    """Bytes that no honest sender writes."""


def encode(value: Any) -> bytes:
    """Return ``value`` as bytes.

    Raises:
        Refused: If the value, or one inside it, is not plain data, or is too deep or too large.
    """
    try:
        return json.dumps(_pack(value, 0), separators=(",", ":")).encode("ascii")
    except RecursionError:
        raise Refused(f"data nested deeper than {MAX_DEPTH}") from None


def decode(data: bytes) -> Any:
    """Return the value in ``data``.

    Raises:
        Malformed: If the bytes are not what :func:`encode` writes.
    """
    try:
        return _unpack(json.loads(data.decode("ascii")), 0)
    except Malformed:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise Malformed(f"not plain data: {type(error).__name__}") from None


def _pack(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise Refused(f"data nested deeper than {MAX_DEPTH}")
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is float:
        return value
    # The methods are called on the base type: a subclass may define its own, and is not asked.
    if issubclass(kind, int):
        number = int.__pos__(value)
        if -_JSON_INT < number < _JSON_INT:
            return number
        if number.bit_length() > MAX_INT_BITS:
            raise Refused(f"an integer of more than {MAX_INT_BITS} bits")
        return ["i", hex(number)]
    if issubclass(kind, float):
        return float.__pos__(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, complex):
        number_c = complex.__pos__(value)
        return ["c", [number_c.real, number_c.imag]]
    if issubclass(kind, bytes):
        return ["b", bytes.hex(value)]
    if issubclass(kind, list):
        return ["l", [_pack(item, depth + 1) for item in list.__iter__(value)]]
    if issubclass(kind, tuple):
        return ["t", [_pack(item, depth + 1) for item in tuple.__iter__(value)]]
    if issubclass(kind, dict):
        return ["d", [[_pack(key, depth + 1), _pack(item, depth + 1)] for key, item in dict.items(value)]]
    if issubclass(kind, set):
        return ["s", [_pack(item, depth + 1) for item in set.__iter__(value)]]
    if issubclass(kind, frozenset):
        return ["f", [_pack(item, depth + 1) for item in frozenset.__iter__(value)]]
    if kind is type and value in _NAMES:
        return ["T", _NAMES[value]]
    numpy = sys.modules.get("numpy")  # a NumPy scalar is a number to whoever wrote the program
    if numpy is not None and issubclass(kind, numpy.generic):
        return _pack(value.item(), depth + 1)
    raise Refused(_type_name(kind))


def _unpack(item: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise Malformed("nested too deep")
    if not isinstance(item, list):
        if isinstance(item, dict):
            raise Malformed("an object")
        return item
    tag, payload = item
    if tag in _CONTAINERS and isinstance(payload, list):
        return _CONTAINERS[tag](_unpack(inner, depth + 1) for inner in payload)
    if tag == "d" and isinstance(payload, list):
        return {_unpack(key, depth + 1): _unpack(inner, depth + 1) for key, inner in payload}
    if tag == "i" and isinstance(payload, str) and len(payload) <= MAX_INT_BITS // 4 + 4:
        return int(payload, 16)
    if tag == "c" and isinstance(payload, list):
        real, imag = payload
        if type(real) is float and type(imag) is float:
            return complex(real, imag)
    if tag == "T" and isinstance(payload, str) and payload in _TYPES:
        return _TYPES[payload]
    if tag == "b" and isinstance(payload, str):
        return bytes.fromhex(payload)
    raise Malformed("an unknown tag")


def _type_name(kind: type) -> str:
    name = str(type.__dict__["__name__"].__get__(kind))  # a metaclass cannot lie here
    return f"a value of type {name[:60]}"

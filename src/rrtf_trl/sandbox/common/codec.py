"""Encodes plain data as bytes, and decodes it: nothing else crosses between a program and its judge.

Plain are, exactly: ``None``, ``bool``, ``int``, ``float``, ``complex``, ``str``, ``bytes``, ``bytearray``,
``list``, ``tuple``, ``dict``, ``set``, ``frozenset``, ``range``, ``...`` and ``NotImplemented``; ``OrderedDict``,
``defaultdict``, ``Counter`` and ``deque``; numbers, times, time zones, paths and UUIDs of the standard library
(:mod:`.standard_types`); NumPy's arrays and scalars (:mod:`.arrays`); and these types themselves, by name. An
instance of a subclass is sent as the plain value inside it, read with the base type's own methods, so an
overridden ``__eq__``, ``__iter__`` or ``items`` is never called. Never pickle or marshal: decoding builds values of
these types and runs nothing, whatever the bytes are, and in bounded time.

An encoded value is JSON text, in UTF-8 that keeps lone surrogates as they are. Scalars are themselves, any other
value is a pair ``[tag, payload]``::

    (1, [2.5, "x"])   ->   ["t", [1, ["l", [2.5, "x"]]]]

Deep data is cut into parts, so that neither side recurses deeply: ``["z", [root, part, ...]]``, where ``["@", 1]``
stands for the first part.

What is not plain data can cross as a reference, ``["h", ...]``, which only its owner can resolve. A
:class:`References` decides whether it may; without one, encoding raises :class:`NotPlainData`.
"""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder
from typing import Any

from .packing import Packing
from .plain import (
    JSON_SCALARS,
    MAX_DEPTH,
    MAX_INT_BITS,
    SCALARS,
    MalformedMessage,
    NotPlainData,
    References,
    type_name,
)
from .unpacking import Unpacking

__all__ = [
    "MAX_DEPTH",
    "MAX_INT_BITS",
    "MalformedMessage",
    "NotPlainData",
    "References",
    "decode",
    "dump",
    "encode",
    "is_exact",
    "pack",
    "parse",
    "type_name",
    "unpack",
]

_iterencode = JSONEncoder(
    separators=(",", ":"),
    check_circular=False,  # pack refuses circles
    ensure_ascii=False,  # an escaped pair of surrogates would be joined to one character
).iterencode
_scan = JSONDecoder().scan_once  # type: ignore[attr-defined]


def encode(value: Any, references: References | None = None) -> bytes:
    """Return ``value`` as bytes.

    Raises:
        NotPlainData: If the value, or one inside it, is not plain data, or is too deep or too large.
    """
    return dump(pack(value, references))


def decode(data: bytes, references: References | None = None) -> Any:
    """Return the value in ``data``.

    Raises:
        MalformedMessage: If the bytes are not what :func:`encode` writes.
    """
    return unpack(parse(data), references)


def dump(packed: Any) -> bytes:
    """Return packed values, and lists and dicts around them, as bytes."""
    return "".join(_iterencode(packed, True)).encode("utf-8", "surrogatepass")


def parse(data: bytes) -> Any:
    """The inverse of :func:`dump`; raises :class:`MalformedMessage`."""
    try:
        text = data.decode("utf-8", "surrogatepass")
        value, end = _scan(text, 0)
    except (ValueError, StopIteration, RecursionError) as error:
        raise MalformedMessage(f"not plain data: {type(error).__name__}") from None
    if end != len(text):
        raise MalformedMessage("not plain data: more than one value")
    return value


def pack(value: Any, references: References | None = None) -> Any:
    """Return ``value`` as JSON data; raises :class:`NotPlainData`."""
    return value if type(value) in SCALARS else Packing(references).run(value)


def is_exact(value: Any) -> bool:
    """Return whether a value crosses as it is: plain data throughout, and nothing of it of a subclass."""
    packing = Packing(None)
    try:
        packing.run(value)
    except NotPlainData:
        return False
    return packing.exact


def unpack(item: Any, references: References | None = None) -> Any:
    """Return the value that was packed; raises :class:`MalformedMessage`."""
    if type(item) in JSON_SCALARS:
        return item
    try:
        return Unpacking(references).run(item)
    except MalformedMessage:
        raise
    except Exception as error:  # of any type that a value is built of
        raise MalformedMessage(f"not plain data: {type(error).__name__}") from None

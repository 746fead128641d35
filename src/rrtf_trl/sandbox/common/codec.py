"""Encodes plain data as bytes, and decodes it: nothing else crosses between a program and its judge.

Only exact built-in types cross: ``None``, ``bool``, ``int``, ``float``, ``complex``, ``str``, ``bytes``,
``bytearray``, ``list``, ``tuple``, ``dict``, ``set``, ``frozenset`` and ``range``; numbers, dates and times of the
standard library (``Decimal``, ``Fraction``, ``datetime`` and its kin); NumPy's arrays and scalars, by value; and
these types themselves, by name. An instance of a subclass is sent as the plain value inside it, read with the
base type's own methods, so an overridden ``__eq__``, ``__iter__`` or ``items`` is never called. Never pickle or
marshal: decoding builds values of these types and runs nothing, whatever the bytes are.

An encoded value is JSON text. Scalars are themselves, any other value is a pair ``[tag, payload]``::

    (1, [2.5, "x"])   ->   ["t", [1, ["l", [2.5, "x"]]]]

What is not plain data can cross as a reference, ``["h", ...]``, which only its owner can resolve. A
:class:`References` decides whether it may; without one, encoding raises :class:`NotPlainData`.
"""

from __future__ import annotations

import math
import re
import sys
from json import JSONDecoder, JSONEncoder
from typing import Any, Protocol

MAX_DEPTH = 150
"""The most containers inside containers."""
MAX_INT_BITS = 400_000
"""The largest integer that crosses, in bits (about 120,000 decimal digits)."""

_JSON_INT = 1 << 63
_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, object),
        *(type(None), type),
    )
}
_NAMES = {kind: name for name, kind in _TYPES.items()}
_CONTAINERS: dict[str, Any] = {
    "l": list,
    "t": tuple,
    "s": lambda items: set(_set(items)),  # built as a set display is: a program may depend on its order
    "f": lambda items: _set(items),
}
_MANY = 10_000
"""A larger set is built item by item, see :func:`_set`."""
_MAX_RANGE = 10_000_000
_MAX_EXPONENT = 100_000
"""The longest range and the largest exponent: a few bytes must not decode to a value that fills the judge's memory."""
_SCALARS = frozenset({type(None), bool, str, float})
_iterencode = JSONEncoder(separators=(",", ":"), check_circular=False).iterencode  # pack refuses circles
_scan = JSONDecoder().scan_once  # type: ignore[attr-defined]
_DTYPE = re.compile(r"[<>|][biufcSU][0-9]{1,6}|[<>][mM]8(\[[0-9]{0,9}[A-Za-z]{1,2}\])?")


class References(Protocol):
    """Turns what is not plain data into references and back."""

    def pack(self, value: Any) -> Any:
        """Return the payload of a reference to ``value`` (JSON), or None to refuse it."""

    def unpack(self, payload: Any) -> Any:
        """Return what a payload refers to; raises :class:`MalformedMessage`."""


class NotPlainData(ValueError):
    """A value that cannot cross; the message names it."""


class MalformedMessage(ValueError):
    """Bytes that :func:`encode` never writes."""


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
    return "".join(_iterencode(packed, True)).encode("ascii")


def parse(data: bytes) -> Any:
    """The inverse of :func:`dump`; raises :class:`MalformedMessage`."""
    try:
        text = data.decode("ascii")
        value, end = _scan(text, 0)
    except (ValueError, StopIteration, RecursionError) as error:
        raise MalformedMessage(f"not plain data: {type(error).__name__}") from None
    if end != len(text):
        raise MalformedMessage("not plain data: more than one value")
    return value


def pack(value: Any, references: References | None = None) -> Any:
    """Return ``value`` as JSON data; raises :class:`NotPlainData`."""
    try:
        return _pack(value, 0, references)
    except RecursionError:
        raise NotPlainData(f"data nested deeper than {MAX_DEPTH}") from None


def unpack(item: Any, references: References | None = None) -> Any:
    """Return the value that was packed; raises :class:`MalformedMessage`."""
    try:
        return _unpack(item, 0, references)
    except MalformedMessage:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, ArithmeticError, AttributeError, ImportError) as error:
        raise MalformedMessage(f"not plain data: {type(error).__name__}") from None


def _pack(value: Any, depth: int, references: References | None) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth > MAX_DEPTH:
        raise NotPlainData(f"data nested deeper than {MAX_DEPTH}")
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, (numpy.ndarray, numpy.generic)):
        return _pack_array(value, kind, numpy)
    # Methods of the base type, since a subclass may override them.
    if issubclass(kind, int):
        number = int.__pos__(value)
        if -_JSON_INT < number < _JSON_INT:
            return number
        if number.bit_length() > MAX_INT_BITS:
            raise NotPlainData(f"an integer of more than {MAX_INT_BITS} bits")
        return ["i", hex(number)]
    if issubclass(kind, float):
        return float.__pos__(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, list):
        return ["l", _pack_all(list.__iter__(value), depth, references)]
    if issubclass(kind, tuple):
        return ["t", _pack_all(tuple.__iter__(value), depth, references)]
    if issubclass(kind, dict):
        deeper = depth + 1
        pairs = dict.items(value)
        return ["d", [[_pack(key, deeper, references), _pack(item, deeper, references)] for key, item in pairs]]
    if issubclass(kind, set):
        return ["s", _pack_all(set.__iter__(value), depth, references)]
    if issubclass(kind, frozenset):
        return ["f", _pack_all(frozenset.__iter__(value), depth, references)]
    if issubclass(kind, bytes):
        return ["b", bytes.hex(value)]
    if issubclass(kind, complex):
        number_c = complex.__pos__(value)
        return ["c", [number_c.real, number_c.imag]]
    if issubclass(kind, bytearray):
        return ["B", bytearray.hex(value)]
    if kind is range and len(value) <= _MAX_RANGE:
        return ["r", [_pack(part, depth + 1, None) for part in (value.start, value.stop, value.step)]]
    if kind is type and value in _NAMES:
        return ["T", _NAMES[value]]
    text = _pack_standard(value, kind)
    if text is not None:
        return text
    payload = references.pack(value) if references is not None else None
    if payload is None:
        raise NotPlainData(f"a value of type {type_name(kind)}")
    return ["h", payload]


def _pack_all(items: Any, depth: int, references: References | None) -> list[Any]:
    deeper = depth + 1
    return [item if type(item) in _SCALARS else _pack(item, deeper, references) for item in items]


def _pack_standard(value: Any, kind: type) -> list[str] | None:
    """Encode numbers and dates of the standard library, if their modules are loaded; return None for other values."""
    for module, name, tag in (("decimal", "Decimal", "D"), ("fractions", "Fraction", "F")):
        if kind is getattr(sys.modules.get(module), name, None):
            return [tag, str(value)]
    dates = sys.modules.get("datetime")
    if dates is None:
        return None
    if kind in (dates.datetime, dates.date, dates.time) and getattr(value, "tzinfo", None) is None:
        return ["M", f"{kind.__name__} {value.isoformat()}"]
    if kind is dates.timedelta:
        return ["M", f"timedelta {value.days} {value.seconds} {value.microseconds}"]
    return None


def _pack_array(value: Any, kind: type, numpy: Any) -> list[Any]:
    is_array = issubclass(kind, numpy.ndarray)
    array = numpy.asarray(value)
    name = array.dtype.str
    if not _DTYPE.fullmatch(name):
        raise NotPlainData(f"a NumPy value of data type {name[:40]}")
    shape = list(array.shape) if is_array else None
    return ["n", [name, shape, numpy.ndarray.tobytes(array).hex()]]


def _unpack(item: Any, depth: int, references: References | None) -> Any:
    kind = type(item)
    if kind is not list:
        if kind is dict:
            raise MalformedMessage("an object")
        return item
    if depth > MAX_DEPTH:
        raise MalformedMessage("nested too deep")
    tag, payload = item
    deeper = depth + 1
    make = _CONTAINERS.get(tag)
    if make is not None and type(payload) is list:
        return make([inner if type(inner) in _SCALARS else _unpack(inner, deeper, references) for inner in payload])
    if tag == "d" and type(payload) is list:
        return {_unpack(key, deeper, references): _unpack(inner, deeper, references) for key, inner in payload}
    if tag == "h" and references is not None:
        return references.unpack(payload)
    if tag in _SPECIAL:
        return _SPECIAL[tag](payload)
    raise MalformedMessage("an unknown tag")


def _set(items: list[Any]) -> frozenset[Any]:
    """Return a frozen set; a large one is built item by item: the alarm can then end one of colliding hashes."""
    if len(items) <= _MANY:
        return frozenset(items)
    found = set()
    for item in items:
        found.add(item)
    return frozenset(found)


def _integer(payload: Any) -> int:
    if type(payload) is not str or len(payload) > MAX_INT_BITS // 4 + 4:
        raise MalformedMessage("too large an integer")
    return int(payload, 16)


def _complex(payload: Any) -> complex:
    real, imag = payload
    if type(real) is not float or type(imag) is not float:
        raise MalformedMessage("a complex number of other parts")
    return complex(real, imag)


def _range(payload: Any) -> range:
    start, stop, step = (_unpack(part, 0, None) for part in payload)
    found = range(start, stop, step)
    if not -_JSON_INT < start < _JSON_INT or not -_JSON_INT < stop < _JSON_INT or len(found) > _MAX_RANGE:
        raise MalformedMessage("too long a range")
    return found


# Modules that few values need are imported where one does: each page of a fork server is copied for every program.


def _decimal(payload: Any) -> Any:
    from decimal import Decimal

    found = Decimal(_text(payload))
    if found.is_finite() and abs(found.adjusted()) > _MAX_EXPONENT:
        raise MalformedMessage("too large a decimal number")
    return found


def _fraction(payload: Any) -> Any:
    from fractions import Fraction

    above, _, below = _text(payload).partition("/")
    return Fraction(int(above), int(below or "1"))


def _moment(payload: Any) -> Any:
    import datetime

    kind, _, text = _text(payload).partition(" ")
    if kind == "timedelta":
        return datetime.timedelta(*(int(part) for part in text.split()))
    if kind not in ("datetime", "date", "time"):
        raise MalformedMessage("an unknown tag")
    return getattr(datetime, kind).fromisoformat(text)


def _array(payload: Any) -> Any:
    import numpy

    name, shape, data = payload
    if type(name) is not str or not _DTYPE.fullmatch(name):
        raise MalformedMessage("an unknown data type")
    flat = numpy.frombuffer(bytes.fromhex(data), dtype=numpy.dtype(name))
    if shape is None:
        (scalar,) = flat
        return scalar
    if type(shape) is not list or any(type(size) is not int or size < 0 for size in shape):
        raise MalformedMessage("an array of no shape")
    if math.prod(shape) != flat.size:
        raise MalformedMessage("an array of another shape")
    return flat.reshape(shape).copy()


def _text(payload: Any) -> str:
    if type(payload) is not str or len(payload) > 10_000:
        raise MalformedMessage("not text, or too long")
    return payload


_SPECIAL: dict[str, Any] = {
    "i": _integer,
    "c": _complex,
    "b": bytes.fromhex,
    "B": bytearray.fromhex,
    "r": _range,
    "T": _TYPES.__getitem__,
    "D": _decimal,
    "F": _fraction,
    "M": _moment,
    "n": _array,
}


def type_name(kind: type) -> str:
    """Return the name of a type, bypassing its metaclass, which could falsify it."""
    return str(type.__dict__["__name__"].__get__(kind))[:60]

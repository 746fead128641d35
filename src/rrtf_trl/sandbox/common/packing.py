"""Turns plain data into JSON data; see :mod:`.codec`."""

from __future__ import annotations

import collections
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .arrays import pack_array
from .plain import (
    JSON_INT,
    JSON_SCALARS,
    MAX_DEPTH,
    PART_DEPTH,
    SCALARS,
    NotPlainData,
    References,
    pack_int,
    type_name,
)
from .standard_types import name_of_type, pack_standard


class Packing:
    """The state of one call of :func:`pack`.

    Attributes:
        exact: Whether no value was flattened so far.
        later: Values that are too deep for the part that contains them, and become parts of their own.
    """

    __slots__ = ("_root", "exact", "later", "references")

    def __init__(self, references: References | None) -> None:
        self.references = references
        self.exact = True
        self.later: list[Any] = []
        self._root: Any = None

    def run(self, value: Any) -> Any:
        """Pack a value; raises :class:`.plain.NotPlainData`."""
        self._root = value
        try:
            parts = [_pack(value, 0, self)]
            while len(parts) <= len(self.later):
                parts.append(_pack(self.later[len(parts) - 1], 0, self))
        except RecursionError:
            raise NotPlainData(f"data nested deeper than {MAX_DEPTH}") from None
        return parts[0] if len(parts) == 1 else ["z", parts]

    def postpone(self, value: Any) -> list[Any]:
        """Return what stands for a value that becomes a part of its own."""
        if not self.later:
            _check_depth(self._root)
        self.later.append(value)
        return ["@", len(self.later)]

    def note_flattened(self) -> None:
        """Note that a type is not kept."""
        self.exact = False


def _check_depth(value: Any) -> None:
    """Raise :class:`.plain.NotPlainData` if data is too deep, as a circle is: it takes the deepest way first."""
    waiting = [(value, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise NotPlainData(f"data nested deeper than {MAX_DEPTH}")
        waiting += [(inner, depth + 1) for inner in _inside(value) if type(inner) not in JSON_SCALARS]


def _inside(value: Any) -> Iterable[Any]:
    kind, numpy = type(value), sys.modules.get("numpy")
    if issubclass(kind, dict):
        return [*dict.keys(value), *dict.values(value)]
    for base in (list, tuple, set, frozenset, collections.deque):
        if issubclass(kind, base):
            return base.__iter__(value)
    holds_objects = numpy is not None and issubclass(kind, numpy.ndarray) and numpy.asarray(value).dtype.hasobject
    return numpy.asarray(value).ravel().tolist() if numpy is not None and holds_objects else ()


def _pack(value: Any, depth: int, packing: Packing) -> Any:
    kind = type(value)
    if kind in SCALARS:
        return value
    if kind is int:
        return pack_int(value)
    if depth >= PART_DEPTH:
        return packing.postpone(value)
    if kind in _EXACT:
        return _EXACT[kind](value, depth + 1, packing)
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, (numpy.ndarray, numpy.generic)):
        return pack_array(value, numpy, lambda item: _pack(item, depth + 1, packing), packing.note_flattened)
    for base, pack_base in _EXACT.items():
        if issubclass(kind, base) and base not in _FINAL:
            packing.exact = False
            return pack_base(value, depth + 1, packing)
    if kind is type:
        name = name_of_type(value)
        if name is not None:
            return ["T", name]
    packed = pack_standard(value, kind, packing.note_flattened)
    if packed is not None:
        return packed
    payload = packing.references.pack(value) if packing.references is not None else None
    if payload is None:
        raise NotPlainData(f"a value of type {type_name(kind)}")
    return ["h", payload]


def _pack_all(items: Iterable[Any], deeper: int, packing: Packing) -> list[Any]:
    return [
        item
        if (kind := type(item)) in SCALARS or (kind is int and -JSON_INT < item < JSON_INT)
        else _pack(item, deeper, packing)
        for item in items
    ]


def _pack_pairs(pairs: Iterable[tuple[Any, Any]], deeper: int, packing: Packing) -> list[Any]:
    return [[_pack(key, deeper, packing), _pack(item, deeper, packing)] for key, item in pairs]


def _pack_defaultdict(value: Any, deeper: int, packing: Packing) -> list[Any]:
    factory = vars(collections.defaultdict)["default_factory"].__get__(value)
    name = name_of_type(factory) if type(factory) is type else None
    pairs = _pack_pairs(dict.items(value), deeper, packing)
    if name is None and factory is not None:
        packing.exact = False
        return ["d", pairs]
    return ["e", [name, pairs]]


def _pack_deque(value: Any, deeper: int, packing: Packing) -> list[Any]:
    return ["q", [value.maxlen, _pack_all(collections.deque.__iter__(value), deeper, packing)]]


# Methods of the base type, since a subclass may override them; a subclass before its base.
_EXACT: dict[type, Callable[[Any, int, Packing], Any]] = {
    list: lambda value, deeper, packing: ["l", _pack_all(list.__iter__(value), deeper, packing)],
    tuple: lambda value, deeper, packing: ["t", _pack_all(tuple.__iter__(value), deeper, packing)],
    collections.OrderedDict: lambda value, deeper, packing: [
        "O", _pack_pairs(collections.OrderedDict.items(value), deeper, packing)
    ],
    collections.defaultdict: _pack_defaultdict,
    collections.Counter: lambda value, deeper, packing: ["C", _pack_pairs(dict.items(value), deeper, packing)],
    dict: lambda value, deeper, packing: ["d", _pack_pairs(dict.items(value), deeper, packing)],
    set: lambda value, deeper, packing: ["s", _pack_all(set.__iter__(value), deeper, packing)],
    frozenset: lambda value, deeper, packing: ["f", _pack_all(frozenset.__iter__(value), deeper, packing)],
    int: lambda value, deeper, packing: pack_int(int.__pos__(value)),
    float: lambda value, deeper, packing: float.__pos__(value),
    str: lambda value, deeper, packing: str.__str__(value),
    bytes: lambda value, deeper, packing: ["b", bytes.hex(value)],
    bytearray: lambda value, deeper, packing: ["B", bytearray.hex(value)],
    complex: lambda value, deeper, packing: ["c", [complex.__pos__(value).real, complex.__pos__(value).imag]],
    collections.deque: _pack_deque,
    range: lambda value, deeper, packing: ["r", [pack_int(part) for part in (value.start, value.stop, value.step)]],
}  # fmt: skip
_FINAL = frozenset({collections.deque})
"""Types of which an instance of a subclass is an object of the program's, and not flattened."""

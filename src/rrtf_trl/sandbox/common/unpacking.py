"""Turns JSON data, which may be hostile, into plain data; see :mod:`.codec`."""

from __future__ import annotations

import collections
from collections.abc import Callable
from time import monotonic, thread_time  # by name: tests may patch the module
from typing import Any

from .arrays import UNPACK_ARRAY
from .plain import JSON_SCALARS, MAX_DEPTH, PART_DEPTH, MalformedMessage, References, unpack_hex, unpack_int
from .standard_types import UNPACK_STANDARD

_FEW = 16
"""A larger hash table is built item by item, within :data:`_TABLE_SECONDS`."""
_TABLE_SECONDS, _ITEM_SECONDS = 1.0, 4e-6
"""Processor time that the hash tables of a message may take, and each item more. Items of equal hashes, or such as
lie behind each other in the table, take time by the square of their number."""


class Unpacking:
    """The state of one call of :func:`unpack`."""

    __slots__ = ("_height", "_parts", "_table_items", "_table_seconds", "references")

    def __init__(self, references: References | None) -> None:
        self.references = references
        self._parts: dict[int, tuple[Any, int]] = {}
        self._height = 0
        self._table_items = 0
        self._table_seconds = 0.0

    def run(self, item: Any) -> Any:
        """Unpack a value; raises :class:`.plain.MalformedMessage`, or any other exception."""
        if type(item) is not list or item[0] != "z":
            return _unpack(item, 0, self)
        # From the last to the first: parts stand behind the one that contains them.
        for number in range(len(item[1]) - 1, -1, -1):
            self._height = 0
            value = _unpack(item[1][number], 0, self)
            if self._height > MAX_DEPTH // PART_DEPTH:
                raise MalformedMessage("nested too deep")
            self._parts[number] = value, self._height + 1
        return self._parts[0][0]

    def part(self, number: Any) -> Any:
        """Return a part, once: used again and again, a few bytes would become a value that fills the memory."""
        value, height = self._parts.pop(number)
        self._height = max(self._height, height)
        return value

    def check_table(self, keys: list[Any]) -> None:
        """Raise :class:`MalformedMessage` if a hash table of these keys takes too long to build."""
        if len(keys) <= _FEW:
            return
        self._table_items += len(keys)
        most = _TABLE_SECONDS + self._table_items * _ITEM_SECONDS - self._table_seconds
        table, start = set(), thread_time()
        due = monotonic() + _TABLE_SECONDS / 10  # a clock that is fast to read
        for key in keys:
            table.add(key)
            if monotonic() > due:
                if thread_time() - start > most:
                    raise MalformedMessage("keys of equal hashes")
                due = monotonic() + _TABLE_SECONDS / 10
        self._table_seconds += thread_time() - start


def _unpack(item: Any, depth: int, unpacking: Unpacking) -> Any:
    kind = type(item)
    if kind is not list:
        if kind is dict:
            raise MalformedMessage("an object")
        return item
    if depth > PART_DEPTH + 2:
        raise MalformedMessage("nested too deep")
    tag, payload = item
    return _UNPACK[tag](payload, depth + 1, unpacking)


def _unpack_all(payload: Any, deeper: int, unpacking: Unpacking) -> list[Any]:
    if type(payload) is not list:
        raise MalformedMessage("no items")
    return [item if type(item) in JSON_SCALARS else _unpack(item, deeper, unpacking) for item in payload]


def _unpack_pairs(payload: Any, deeper: int, unpacking: Unpacking) -> dict[Any, Any]:
    if type(payload) is not list:
        raise MalformedMessage("no items")
    if len(payload) <= _FEW:
        return {_unpack(key, deeper, unpacking): _unpack(inner, deeper, unpacking) for key, inner in payload}
    keys = [_unpack(key, deeper, unpacking) for key, _ in payload]
    unpacking.check_table(keys)
    return dict(zip(keys, (_unpack(inner, deeper, unpacking) for _, inner in payload), strict=True))


def _unpack_set(payload: Any, deeper: int, unpacking: Unpacking) -> frozenset[Any]:
    items = _unpack_all(payload, deeper, unpacking)
    unpacking.check_table(items)
    return frozenset(items)


def _unpack_counter(payload: Any, deeper: int, unpacking: Unpacking) -> Any:
    found: Any = collections.Counter()
    dict.update(found, _unpack_pairs(payload, deeper, unpacking))
    return found


def _unpack_defaultdict(payload: Any, deeper: int, unpacking: Unpacking) -> Any:
    name, pairs = payload
    factory = None if name is None else UNPACK_STANDARD["T"](name)
    return collections.defaultdict(factory, _unpack_pairs(pairs, deeper, unpacking))


def _unpack_deque(payload: Any, deeper: int, unpacking: Unpacking) -> Any:
    length, items = payload
    if length is not None and type(length) is not int:
        raise MalformedMessage("a deque of no length")
    return collections.deque(_unpack_all(items, deeper, unpacking), length)


def _unpack_complex(payload: Any) -> complex:
    real, imag = payload
    if type(real) is not float or type(imag) is not float:
        raise MalformedMessage("a complex number of other parts")
    return complex(real, imag)


def _unpack_reference(payload: Any, deeper: int, unpacking: Unpacking) -> Any:
    if unpacking.references is None:
        raise MalformedMessage("a reference")
    return unpacking.references.unpack(payload)


_UNPACK: dict[str, Callable[[Any, int, Unpacking], Any]] = {
    "l": _unpack_all,
    "t": lambda payload, deeper, unpacking: tuple(_unpack_all(payload, deeper, unpacking)),
    "d": _unpack_pairs,
    # Built as a set display is: a program may depend on its order.
    "s": lambda payload, deeper, unpacking: set(_unpack_set(payload, deeper, unpacking)),
    "f": _unpack_set,
    "O": lambda payload, deeper, unpacking: collections.OrderedDict(_unpack_pairs(payload, deeper, unpacking)),
    "C": _unpack_counter,
    "e": _unpack_defaultdict,
    "q": _unpack_deque,
    "i": lambda payload, deeper, unpacking: unpack_hex(payload),
    "b": lambda payload, deeper, unpacking: bytes.fromhex(payload),
    "B": lambda payload, deeper, unpacking: bytearray.fromhex(payload),
    "c": lambda payload, deeper, unpacking: _unpack_complex(payload),
    "r": lambda payload, deeper, unpacking: range(*(unpack_int(part) for part in payload)),
    "h": _unpack_reference,
    "@": lambda payload, deeper, unpacking: unpacking.part(payload),
    **{
        tag: lambda payload, deeper, unpacking, make=make: make(  # type: ignore[misc]
            payload, lambda item: _unpack(item, deeper, unpacking)
        )
        for tag, make in UNPACK_ARRAY.items()
    },
    **{
        tag: lambda payload, deeper, unpacking, make=make: make(payload)  # type: ignore[misc]
        for tag, make in UNPACK_STANDARD.items()
    },
}

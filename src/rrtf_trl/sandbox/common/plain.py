"""What the parts of :mod:`.codec` share: its errors and limits, and integers of any size."""

from __future__ import annotations

from typing import Any, Protocol

MAX_INT_BITS = 700_000
"""The largest integer that crosses, in bits (about 210,000 decimal digits)."""

MAX_DEPTH = 1000
"""The most containers inside containers."""
PART_DEPTH = 50
"""The most of them in a part: see :mod:`.codec`."""
JSON_INT = 1 << 63
"""Integers that are smaller cross as JSON numbers."""
SCALARS = frozenset({type(None), bool, str, float})
"""Types that JSON has, but for integers."""
JSON_SCALARS = SCALARS | {int}
"""Types that JSON has."""


class NotPlainData(ValueError):
    """A value that cannot cross; the message names it."""


class MalformedMessage(ValueError):
    """Bytes that :func:`.codec.encode` never writes."""


class References(Protocol):
    """Turns what is not plain data into references and back."""

    def pack(self, value: Any) -> Any:
        """Return the payload of a reference to ``value`` (JSON), or None to refuse it."""

    def unpack(self, payload: Any) -> Any:
        """Return what a payload refers to; raises :class:`MalformedMessage`."""


def type_name(kind: type) -> str:
    """Return the name of a type, bypassing its metaclass, which could falsify it."""
    return str(type.__dict__["__name__"].__get__(kind))[:60]


def pack_int(number: int) -> int | list[str]:
    """Return an integer as JSON; raises :class:`NotPlainData` for one of too many digits."""
    if -JSON_INT < number < JSON_INT:
        return number
    if number.bit_length() > MAX_INT_BITS:
        raise NotPlainData(f"an integer of more than {MAX_INT_BITS} bits")
    return ["i", hex(number)]


def unpack_int(item: Any) -> int:
    """The inverse of :func:`pack_int`; raises :class:`MalformedMessage`, or :class:`ValueError`."""
    if type(item) is int:
        return item
    if type(item) is not list or len(item) != 2 or item[0] != "i":
        raise MalformedMessage("no integer")
    return unpack_hex(item[1])


def unpack_hex(payload: Any) -> int:
    """Return an integer that is too large for JSON; raises :class:`MalformedMessage`, or :class:`ValueError`."""
    if type(payload) is not str or len(payload) > MAX_INT_BITS // 4 + 4:
        raise MalformedMessage("too large an integer")
    return int(payload, 16)

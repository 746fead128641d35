"""The part of :mod:`.codec` for values of the standard library that contain no others: numbers, times, paths.

A program may import their modules or not, and each page of a fork server is copied for every program: encoding
looks for modules that are loaded, and decoding imports what a value needs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .plain import MalformedMessage, NotPlainData, pack_int, type_name, unpack_int

_MAX_DIGITS = 300_000
_MAX_EXPONENT = 210_000
"""The largest exponent of a decimal number: a few bytes must not decode to a value that fills the judge's memory."""
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")
_PATHS = ("PurePosixPath", "PureWindowsPath", "PosixPath")
_paths_open_files = False
_CONSTANTS: dict[str, Any] = {"Ellipsis": ..., "NotImplemented": NotImplemented}
_MODULES = {
    **dict.fromkeys(("OrderedDict", "deque", "defaultdict", "Counter"), "collections"),
    **dict.fromkeys(("date", "datetime", "time", "timedelta", "timezone"), "datetime"),
    **dict.fromkeys((*_PATHS, "PurePath", "Path"), "pathlib"),
    "Decimal": "decimal",
    "Fraction": "fractions",
    "UUID": "uuid",
    "ZoneInfo": "zoneinfo",
}
"""Types beside the built-in ones that cross by name, and their modules."""
_BUILTIN: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, object),
        *(type(None), type(...), type(NotImplemented), type),
    )
}
_NAMES = {kind: name for name, kind in _BUILTIN.items()}


def let_paths_open_files() -> None:
    """Decode paths as what they are in this process, which is a program's: see :func:`_path`."""
    global _paths_open_files
    _paths_open_files = True


def name_of_type(kind: type) -> str | None:
    """Return the name by which a type crosses; None for one that does not."""
    name = _NAMES.get(kind)
    if name is None:
        name = type_name(kind)
        if name not in _MODULES or getattr(sys.modules.get(_MODULES[name]), name, None) is not kind:
            return None
    return name


def _type_of_name(name: Any) -> Any:
    if name in _BUILTIN:
        return _BUILTIN[name]
    return getattr(import_module(_MODULES[name]), name)


def pack_standard(value: Any, kind: type, note_flattened: Callable[[], None]) -> list[Any] | None:
    """Return a value of this module's types as JSON data, or None for other values.

    Args:
        value: It.
        kind: Its type.
        note_flattened: Called where the type is not kept: see :func:`_path`.

    Raises:
        NotPlainData: For a number that is too large, and for a time zone that has no name.
    """
    if value is ... or value is NotImplemented:
        return ["K", repr(value)]
    name = name_of_type(kind)
    pack = _PACK.get(name) if name is not None else None
    if pack is None:
        return None
    if name == "PosixPath":
        note_flattened()
    return pack(value)


def _pack_decimal(value: Any) -> list[Any]:
    if value.is_finite() and abs(value.adjusted()) > _MAX_EXPONENT:
        raise NotPlainData(f"a decimal number with an exponent beyond {_MAX_EXPONENT}")
    text = str(value)
    if len(text) > _MAX_DIGITS:
        raise NotPlainData(f"a decimal number of more than {_MAX_DIGITS} digits")
    return ["D", text]


def _pack_datetime(value: Any) -> list[Any]:
    day = [value.year, value.month, value.day]
    return ["M", ["datetime", *day, *_clock(value)]]


def _clock(value: Any) -> list[Any]:
    parts = [value.hour, value.minute, value.second, value.microsecond, value.fold]
    return [*parts, None if value.tzinfo is None else _pack_zone(value.tzinfo)]


def _pack_zone(zone: Any) -> list[Any]:
    dates, zones = sys.modules["datetime"], sys.modules.get("zoneinfo")
    if type(zone) is dates.timezone:
        offset, *name = zone.__getinitargs__()
        return ["Z", [offset // dates.timedelta(microseconds=1), *name]]
    if zones is not None and type(zone) is zones.ZoneInfo and type(zone.key) is str:
        if not _ZONE.fullmatch(zone.key):
            raise NotPlainData(f"a time zone of the name {zone.key[:40]}")
        return ["Z", zone.key]
    raise NotPlainData(f"a time zone of type {type_name(type(zone))}")


_PACK: dict[str, Callable[[Any], list[Any]]] = {
    "Decimal": _pack_decimal,
    "Fraction": lambda value: ["F", [pack_int(value.numerator), pack_int(value.denominator)]],
    "datetime": _pack_datetime,
    "date": lambda value: ["M", ["date", value.year, value.month, value.day]],
    "time": lambda value: ["M", ["time", *_clock(value)]],
    "timedelta": lambda value: ["M", ["timedelta", value.days, value.seconds, value.microseconds]],
    "timezone": _pack_zone,
    "ZoneInfo": _pack_zone,
    "UUID": lambda value: ["U", value.hex],
    **{name: lambda value, name=name: ["P", [name, str(value)]] for name in _PATHS},  # type: ignore[misc]
}


def _decimal(payload: Any) -> Any:
    from decimal import Decimal

    if type(payload) is not str or len(payload) > _MAX_DIGITS:
        raise MalformedMessage("no decimal number, or too many digits")
    found = Decimal(payload)
    if found.is_finite() and abs(found.adjusted()) > _MAX_EXPONENT:
        raise MalformedMessage("too large a decimal number")
    return found


def _fraction(payload: Any) -> Any:
    from fractions import Fraction

    above, below = payload
    return Fraction(unpack_int(above), unpack_int(below))


def _moment(payload: Any) -> Any:
    import datetime

    kind, *parts = payload
    zone = None
    if kind in ("datetime", "time"):
        *parts, fold, zone = parts
        if type(fold) is not int:
            raise MalformedMessage("a moment of other parts")
        if zone is not None:
            tag, packed = zone
            zone = _zone(packed) if tag == "Z" else None
            if zone is None:
                raise MalformedMessage("a moment of other parts")
    elif kind not in ("date", "timedelta"):
        raise MalformedMessage("an unknown tag")
    if any(type(part) is not int for part in parts):
        raise MalformedMessage("a moment of other parts")
    found = getattr(datetime, kind)(*parts)
    return found.replace(tzinfo=zone, fold=fold) if kind in ("datetime", "time") else found


def _zone(payload: Any) -> Any:
    if type(payload) is str and _ZONE.fullmatch(payload):
        from zoneinfo import ZoneInfo

        return ZoneInfo(payload)
    import datetime

    offset, *name = payload
    if type(offset) is not int or any(type(one) is not str for one in name):
        raise MalformedMessage("a time zone of other parts")
    return datetime.timezone(datetime.timedelta(microseconds=offset), *name)


def _uuid(payload: Any) -> Any:
    from uuid import UUID

    if type(payload) is not str or len(payload) != 32:
        raise MalformedMessage("no UUID")
    return UUID(hex=payload)


def _path(payload: Any) -> Any:
    """Return a path.

    A ``Path``, which can open and delete files, is one of the program's: the judge gets a ``PurePosixPath``, which
    equals it, since its tests must not do to the machine's files what they mean for the program's.
    """
    import pathlib

    kind, text = payload
    if kind not in _PATHS or type(text) is not str:
        raise MalformedMessage("no path")
    return getattr(pathlib, "PurePosixPath" if kind == "PosixPath" and not _paths_open_files else kind)(text)


UNPACK_STANDARD: dict[str, Callable[[Any], Any]] = {
    "D": _decimal,
    "F": _fraction,
    "K": lambda payload: _CONSTANTS[payload],
    "M": _moment,
    "P": _path,
    "T": _type_of_name,
    "U": _uuid,
    "Z": _zone,
}
"""By tag, returns the value of a payload."""

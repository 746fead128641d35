"""Checks rows against forms, and names the wrong field.

A form is a dataclass, or a type made of dataclasses by ``list``, ``dict``, ``|`` and ``Annotated``. msgspec checks the
row; if it fails, :func:`_error` finds the smallest part of the row that is wrong.
"""

from __future__ import annotations

import contextlib
import functools
import json
import operator
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from rrtf_trl.errors import UserError


class RecordError(UserError, ValueError):
    """A row is not of its form; the message names the field and what was expected."""


@dataclass(frozen=True)
class Must:
    """A constraint beside a field's type, as in ``Annotated[float, Must("a number >= 0", ge=0)]``.

    Args:
        expected: Describes the constraint in error messages.
        ge: The smallest number.
        min_length: The smallest length of a string, a list or an object.
        pattern: A regular expression that a string must match.
    """

    expected: str
    ge: float | None = None
    min_length: int | None = None
    pattern: str | None = None


NonEmpty = Annotated[str, Must("a string that is not empty", min_length=1)]


class Open:
    """Base class of forms whose rows may have further fields, which are ignored."""


def check(form: Any, value: Any, name: str = "", utf8: bool = True) -> None:
    """Raise :class:`RecordError` unless ``value`` is of ``form`` and is valid JSON (NaN, for example, is not).

    Args:
        form: A type, see above.
        value: A row, or the value of a field.
        name: The field; empty for a row.
        utf8: Refuse lone surrogates, which JSON can hold as escapes and UTF-8 cannot.
    """
    if _is_open(form) and isinstance(value, dict):
        value = {key: value[key] for key in _fields(form) if key in value}
    if _expected(form, value, utf8):
        raise _error(form, value, name, utf8)


def field_error(name: str, expected: str, value: Any) -> RecordError:
    """Return the error for a field whose value is not as expected."""
    try:
        shown = json.dumps(value, default=repr)[:80]
    except (TypeError, ValueError, RecursionError):
        shown = f"a value of type {type(value).__name__}"
    return RecordError(f"field {name or 'row'}: expected {expected}, got {shown}")


def _expected(form: Any, value: Any, utf8: bool) -> str:
    """Return what was expected in place of ``value``; empty if it is of the form."""
    import msgspec

    shape = _shape(form)
    try:
        msgspec.convert(value, shape)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for a lone surrogate in a name
        return _describe(form)
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        if b"null" not in msgspec.json.encode(value):  # it writes NaN as null; several times faster than json.dumps
            return ""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="strict" if utf8 else "surrogatepass")
    except (TypeError, ValueError, RecursionError) as error:
        return f"a value that JSON can hold ({error})"
    return ""


@functools.cache
def _shape(form: Any) -> Any:
    """Return a form as a type of msgspec."""
    import msgspec  # takes longer to import than all the records

    form, must = _split(form)
    if _is_row(form):
        members = [
            (name, _shape(kind), *([] if required else [None])) for name, (kind, required) in _fields(form).items()
        ]
        tag = {"tag_field": "kind", "tag": form.kind} if hasattr(form, "kind") else {}
        closed = not _is_open(form)
        return msgspec.defstruct(form.__name__, members, kw_only=True, forbid_unknown_fields=closed, **tag)
    parts = tuple(map(_shape, get_args(form)))
    if get_origin(form) in _UNIONS:
        form = functools.reduce(operator.or_, parts)
    elif get_origin(form) in (list, dict):
        form = types.GenericAlias(get_origin(form), parts)
    if must is None:
        return form
    limits: dict[str, Any] = {"ge": must.ge, "min_length": must.min_length, "pattern": must.pattern}
    return Annotated[form, msgspec.Meta(**limits)]


@functools.cache
def _fields(form: Any) -> dict[str, tuple[Any, bool]]:
    """Return the type of each field, and whether it is required."""
    kinds = get_type_hints(form, include_extras=True)
    return {f.name: (kinds[f.name], f.default is MISSING and f.default_factory is MISSING) for f in fields(form)}


def _split(form: Any) -> tuple[Any, Must | None]:
    """Return a form without its ``Must``, and that; ``Annotated[dict, Form]`` is ``Form``."""
    annotation = form.__metadata__[0] if get_origin(form) is Annotated else form
    return (form.__origin__, annotation) if isinstance(annotation, Must) else (annotation, None)


def _is_row(form: Any) -> bool:  # `is_dataclass` would narrow the type of `form`
    return is_dataclass(form)


def _is_open(form: Any) -> bool:
    return isinstance(form, type) and issubclass(form, Open)


# -- Error messages ---------------------------------------------------------------------------------------

_UNIONS = (Union, types.UnionType)
_DESCRIPTIONS: dict[Any, str] = {
    **{str: "a string", int: "a whole number", float: "a number", bool: "true or false"},
    **{list: "a list", dict: "an object", types.NoneType: "null"},
}


def _error(form: Any, value: Any, name: str, utf8: bool) -> RecordError:
    """Return the error that names the smallest part of ``value`` that is wrong."""
    bare, _ = _split(form)
    if get_origin(bare) in _UNIONS:
        kinds = {part.kind: part for part in get_args(bare) if hasattr(part, "kind")}
        if kinds and isinstance(value, dict):
            kind = value.get("kind")
            if not isinstance(kind, str) or kind not in kinds:
                return field_error(f"{name}.kind", f"one of {', '.join(kinds)}", kind)
            return _error(kinds[kind], {key: item for key, item in value.items() if key != "kind"}, name, utf8)
        for part in get_args(bare):
            if isinstance(value, _python_type(part)):
                return _error(part, value, name, utf8)
        return field_error(name, _describe(form), value)
    parts: list[tuple[str, Any, Any]] = []
    if isinstance(value, dict) and _is_row(bare):
        known, prefix = _fields(bare), f"{name}." if name else ""
        unknown = value.keys() - known
        if unknown and not _is_open(bare):
            return RecordError(
                f"field {prefix}{min(unknown, key=str)}: expected no such field; known are {', '.join(known)}"
            )
        for key, (kind, required) in known.items():
            if key in value:
                parts.append((prefix + key, kind, value[key]))
            elif required:
                return RecordError(f"field {prefix}{key}: missing")
    elif isinstance(value, dict) and get_origin(bare) is dict:
        key_form, value_form = get_args(bare)
        parts = [(name, key_form, key) for key in value]
        parts += [(f"{name}[{key!r}]", value_form, item) for key, item in value.items()]
    elif isinstance(value, list) and get_origin(bare) is list:
        parts = [(f"{name}[{index}]", *get_args(bare), item) for index, item in enumerate(value)]
    for where, part, item in parts:
        if _expected(part, item, utf8):
            return _error(part, item, where, utf8)
    return field_error(name, _expected(form, value, utf8), value)


def _describe(form: Any) -> str:
    """Return the description of a form for error messages."""
    form, must = _split(form)
    if must:
        return must.expected
    if get_origin(form) in _UNIONS:
        return " or ".join(dict.fromkeys(map(_describe, get_args(form))))
    if get_origin(form) is Literal:
        choices = get_args(form)
        return " or ".join(choices) if len(choices) == 2 else f"one of {', '.join(choices)}"
    return "an object with a 'kind'" if hasattr(form, "kind") else _DESCRIPTIONS[_python_type(form)]


def _python_type(form: Any) -> Any:
    form, _ = _split(form)
    return dict if _is_row(form) else str if get_origin(form) is Literal else get_origin(form) or form

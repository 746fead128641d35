"""Whether a row is of a form; if not, which field is wrong.

A form is a dataclass, or what ``list``, ``dict``, ``|`` and ``Annotated`` make of such. msgspec says whether a row is
of it. Where it is not, :func:`_refusal` looks for the smallest part of the row that is at fault.
"""

from __future__ import annotations

import contextlib
import functools
import json
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from rrtf_trl.errors import UserError


class RecordError(UserError, ValueError):
    """A record that cannot be read: the message names the field and what was expected there."""


@dataclass(frozen=True)
class Must:
    """What a field must be beyond its type, as in ``Annotated[float, Must("a number >= 0", ge=0)]``.

    Args:
        words: What the message says was expected.
        ge: The smallest number.
        min_length: The least length of a string, a list or an object.
        pattern: A regular expression that a string matches.
    """

    words: str
    ge: float | None = None
    min_length: int | None = None
    pattern: str | None = None


NonEmpty = Annotated[str, Must("a string that is not empty", min_length=1)]


class Open:
    """Base of the forms beside whose fields a row may have others, which are not looked at."""


def check(form: Any, value: Any, name: str = "", utf8: bool = True) -> None:
    """Raise :class:`RecordError` unless ``value`` is of ``form`` and can be written as JSON (NaN, for one, cannot).

    Args:
        form: A type, see above.
        value: A row, or what stands in one.
        name: The field where it stands; empty for a row.
        utf8: Whether lone surrogates are refused, which JSON can hold as escapes and UTF-8 cannot.
    """
    if _is_open(form) and isinstance(value, dict):
        value = {key: value[key] for key in _fields(form) if key in value}
    if _fault(form, value, utf8):
        raise _refusal(form, value, name, utf8)


def wrong(name: str, expected: str, value: Any) -> RecordError:
    """Return the error for a field whose value is not as expected."""
    try:
        shown = json.dumps(value, default=repr)[:80]
    except (TypeError, ValueError, RecursionError):
        shown = f"a value of type {type(value).__name__}"
    return RecordError(f"field {name or 'row'}: expected {expected}, got {shown}")


def _fault(form: Any, value: Any, utf8: bool) -> str:
    """Return what was expected where a value stands; empty if that is what it is."""
    import msgspec

    shape = _shape(form)
    try:
        msgspec.convert(value, shape)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for a lone surrogate where names are looked up
        return _words(form)
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        if b"null" not in msgspec.json.encode(value):  # as which it writes NaN; it is several times as fast
            return ""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="strict" if utf8 else "surrogatepass")
    except (TypeError, ValueError, RecursionError) as error:
        return f"what can be written as JSON ({error})"
    return ""


@functools.cache
def _shape(form: Any) -> Any:
    """Return a form as msgspec knows it, which is loaded only here: it takes longer than all the records."""
    import msgspec

    form, must = _opened(form)
    if _is_row(form):
        members = [(name, _shape(kind), *([] if needed else [None])) for name, (kind, needed) in _fields(form).items()]
        tag = {"tag_field": "kind", "tag": form.kind} if hasattr(form, "kind") else {}
        closed = not _is_open(form)
        return msgspec.defstruct(form.__name__, members, kw_only=True, forbid_unknown_fields=closed, **tag)
    parts = tuple(map(_shape, get_args(form)))
    if get_origin(form) in _UNIONS:
        form = functools.reduce(lambda one, other: one | other, parts)
    elif get_origin(form) in (list, dict):
        form = types.GenericAlias(get_origin(form), parts)
    if must is None:
        return form
    limits: dict[str, Any] = {"ge": must.ge, "min_length": must.min_length, "pattern": must.pattern}
    return Annotated[form, msgspec.Meta(**limits)]


@functools.cache
def _fields(form: Any) -> dict[str, tuple[Any, bool]]:
    """Return the type of each field, and whether a row must have it."""
    kinds = get_type_hints(form, include_extras=True)
    return {f.name: (kinds[f.name], f.default is MISSING and f.default_factory is MISSING) for f in fields(form)}


def _opened(form: Any) -> tuple[Any, Must | None]:
    """Return a form and its ``Must``. A form as annotation stands for what it annotates: ``Annotated[dict, Form]``."""
    more = form.__metadata__[0] if get_origin(form) is Annotated else form
    return (form.__origin__, more) if isinstance(more, Must) else (more, None)


def _is_row(form: Any) -> bool:
    return is_dataclass(form)


def _is_open(form: Any) -> bool:
    return isinstance(form, type) and issubclass(form, Open)


# -- What is wrong ----------------------------------------------------------------------------------------

_UNIONS = (Union, types.UnionType)
_WORDS: dict[Any, str] = {
    **{str: "a string", int: "a whole number", float: "a number", bool: "true or false"},
    **{list: "a list", dict: "an object", types.NoneType: "null"},
}


def _refusal(form: Any, value: Any, name: str, utf8: bool) -> RecordError:
    """Return the error that names the smallest part of ``value`` that is at fault."""
    bare, _ = _opened(form)
    if get_origin(bare) in _UNIONS:
        kinds = {part.kind: part for part in get_args(bare) if hasattr(part, "kind")}
        if kinds and isinstance(value, dict):
            kind = value.get("kind")
            if not isinstance(kind, str) or kind not in kinds:
                return wrong(f"{name}.kind", f"one of {', '.join(kinds)}", kind)
            return _refusal(kinds[kind], {key: held for key, held in value.items() if key != "kind"}, name, utf8)
        alike = [part for part in get_args(bare) if isinstance(value, _python_type(part))]
        return _refusal(alike[0], value, name, utf8) if alike else wrong(name, _words(form), value)
    parts: list[tuple[str, Any, Any]] = []
    if isinstance(value, dict) and _is_row(bare):
        known, inside = _fields(bare), f"{name}." if name else ""
        unknown = value.keys() - known
        if unknown and not _is_open(bare):
            return RecordError(
                f"field {inside}{min(unknown, key=str)}: expected no such field; known are {', '.join(known)}"
            )
        for key, (kind, needed) in known.items():
            if key in value:
                parts.append((inside + key, kind, value[key]))
            elif needed:
                return RecordError(f"field {inside}{key}: missing")
    elif isinstance(value, dict) and get_origin(bare) is dict:
        of_key, of_value = get_args(bare)
        parts = [(name, of_key, key) for key in value]
        parts += [(f"{name}[{key!r}]", of_value, held) for key, held in value.items()]
    elif isinstance(value, list) and get_origin(bare) is list:
        parts = [(f"{name}[{index}]", *get_args(bare), held) for index, held in enumerate(value)]
    for where, part, held in parts:
        if _fault(part, held, utf8):
            return _refusal(part, held, where, utf8)
    return wrong(name, _fault(form, value, utf8), value)


def _words(form: Any) -> str:
    """Return a form in words."""
    form, must = _opened(form)
    if must:
        return must.words
    if get_origin(form) in _UNIONS:
        return " or ".join(dict.fromkeys(map(_words, get_args(form))))
    if get_origin(form) is Literal:
        choices = get_args(form)
        return " or ".join(choices) if len(choices) == 2 else f"one of {', '.join(choices)}"
    return "an object with a 'kind'" if hasattr(form, "kind") else _WORDS[_python_type(form)]


def _python_type(form: Any) -> Any:
    form, _ = _opened(form)
    return dict if _is_row(form) else str if get_origin(form) is Literal else get_origin(form) or form

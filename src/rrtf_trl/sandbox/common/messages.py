"""Values and texts for messages: short, and never built in full only to be cut."""

from __future__ import annotations

from typing import Any

from .faults import Fault


def short(value: Any, limit: int = 150) -> str:
    """Return a value's ``repr``, cut to ``limit`` characters without building all of a large one."""
    brief = getattr(type(value), "__brief__", None)  # that of a proxy, whose repr would call the program
    if brief is not None:
        return str(brief(value))
    try:
        if isinstance(value, str | bytes | list | tuple) and len(value) > limit:
            return repr(value[:limit])[:limit] + "..."
        text = repr(value)
    except (Exception, Fault):  # an integer with too many digits, deep data; a program that ended
        text = f"<{type(value).__name__} that cannot be printed>"
    return cut(text, limit)


def cut(text: str, limit: int = 300) -> str:
    """Return at most ``limit`` characters of a text, marked where some are missing."""
    return text if len(text) <= limit else text[:limit] + "..."

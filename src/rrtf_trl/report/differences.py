"""What one answer has and another has not, marked in its text."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from html import escape
from typing import Any

_TOKEN = re.compile(r"\w+|[^\S\n]+|\n|[^\w\s]")
_ALIKE = 0.6  # texts that share less of their tokens are told apart by whole lines
_MOST_MARKS = 40  # in one text; it is no help to mark it all over, and each takes room


def marked(text: str, other: str) -> Any:
    """Return ``text`` as HTML with what ``other`` does not have in ``<mark>``, word by word.

    Texts that have little in common are compared line by line. Both should be short: the time grows with the
    product of their lengths.
    """
    from markupsafe import Markup

    if text == other:
        return Markup(escape(text))
    tokens, others = _TOKEN.findall(text), _TOKEN.findall(other)
    matcher = SequenceMatcher(None, others, tokens, autojunk=False)
    if matcher.quick_ratio() < _ALIKE or matcher.ratio() < _ALIKE:
        tokens, others = text.splitlines(keepends=True), other.splitlines(keepends=True)
        matcher = SequenceMatcher(None, others, tokens, autojunk=False)
    parts, marks = [], 0
    for kind, _, _, start, end in matcher.get_opcodes():
        piece = escape("".join(tokens[start:end]))
        if kind != "equal" and piece.strip() and marks < _MOST_MARKS:
            marks += 1
            head, core, tail = _edges(piece)
            piece = f"{head}<mark>{core}</mark>{tail}"
        parts.append(piece)
    return Markup("".join(parts))


def _edges(piece: str) -> tuple[str, str, str]:
    """Split off the white space at both ends: marked, it would look like something that is there."""
    core = piece.strip()
    start = piece.index(core)
    return piece[:start], core, piece[start + len(core) :]

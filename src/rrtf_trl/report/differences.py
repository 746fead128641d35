"""What one text has and another does not, marked as HTML."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from html import escape
from typing import Any

_TOKEN = re.compile(r"\w+|[^\S\n]+|\n|[^\w\s]")
_WITHOUT_SPACE_AROUND = re.compile(r"\S(?:.*\S)?", re.DOTALL)
_ALIKE = 0.6  # texts that have a smaller part of their tokens in common are compared by whole lines
_MOST_MARKS = 40  # in one text: more do not help a reader, and each makes the page longer


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
            piece = _WITHOUT_SPACE_AROUND.sub(r"<mark>\g<0></mark>", piece, count=1)
        parts.append(piece)
    return Markup("".join(parts))

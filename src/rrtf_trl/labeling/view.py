"""Text into what the page shows: highlighted lines, and the difference of two answers.

Answers are hostile: what leaves here as HTML was escaped by Pygments or by jinja2, and characters that hide or
reorder others are made visible.
"""

from __future__ import annotations

import ast
import re
import warnings
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from rrtf_trl.records import Prompt

_LONGEST = 60_000  # characters of a text that are shown
_HIGHLIGHTED = 20_000  # characters of a text that are coloured
_DEEPEST = 8  # steps of indentation that the style sheet knows
_COMPARED = 500  # lines of a text that are compared
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
    "|[\U000e0000-\U000e0fff]"
)
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


def visible(text: str) -> str:
    """Return text in which nothing hides: control, bidirectional and zero-width characters by their number."""
    text = text.replace("\r\n", "\n")
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}\n… {len(text) - _LONGEST:,} more characters"
    return _UNSEEN.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


@lru_cache(maxsize=256)
def highlighted(text: str) -> Markup:
    """Return a text as HTML, one ``span.line`` a line, coloured as Python where it is Python."""
    from pygments import lex
    from pygments.token import STANDARD_TYPES

    shown = visible(text).strip("\n")
    if len(shown) > _HIGHLIGHTED:
        return Markup("").join(_line(escape(line)) for line in shown.split("\n"))
    lines: list[list[Markup]] = [[]]
    for kind, value in lex(f"{shown}\n", _lexer(shown)):
        name = STANDARD_TYPES.get(kind) or STANDARD_TYPES.get(kind.parent) or ""
        for index, part in enumerate(value.split("\n")):
            if index:
                lines.append([])
            if part:
                lines[-1].append(Markup('<span class="{}">{}</span>').format(name, part) if name else escape(part))
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return Markup("").join(_line(Markup("").join(line)) for line in lines)


def _line(content: Markup) -> Markup:
    """Return one line; its class tells how far it is indented, so that where it wraps it goes on further in."""
    plain = re.sub(r"<[^>]*>", "", content)
    steps = min((len(plain) - len(plain.lstrip(" "))) // 4, _DEEPEST)
    return Markup('<span class="line in{}">{}\n</span>').format(steps, content)


def _lexer(text: str) -> Any:
    from pygments.lexers.markup import MarkdownLexer
    from pygments.lexers.python import PythonLexer
    from pygments.lexers.special import TextLexer

    options = {"stripnl": False, "ensurenl": False}
    if "```" in text:
        return MarkdownLexer(**options)
    return PythonLexer(**options) if _is_python(text) else TextLexer(**options)


def _is_python(text: str) -> bool:
    """Return whether a text is Python, whole, as a function's body, or as a function's head."""
    for code in (text, f"def f():\n{text}", f"{text}\n    pass"):
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(code)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        # A word, or some joined by operators, is Python too, and prose more often.
        if any(not isinstance(node, ast.Expr) for node in tree.body):
            return True
    return bool(re.search(r"^\s*(def|return|for|import|from|class|while|if)\b.*", text, re.MULTILINE)) and bool(
        re.search(r"[=(:]", text)
    )


def messages(prompt: Prompt) -> list[tuple[str, Markup]]:
    """Return a prompt as roles and HTML; plain text has the role ``""``."""
    if isinstance(prompt, str):
        return [("", highlighted(prompt))]
    return [(visible(str(m.get("role", ""))), highlighted(str(m.get("content", "")))) for m in prompt]


def difference(old: str, new: str) -> list[dict[str, Any]]:
    """Return what turns one text into another, line by line.

    Returns:
        A dict a line: ``op`` is ``" "``, ``"-"`` or ``"+"``; ``parts`` are ``[changed, text]`` in order, where
        ``changed`` marks what differs from the line that it replaces.
    """
    before, after = (visible(text).strip("\n").split("\n")[:_COMPARED] for text in (old, new))
    lines: list[dict[str, Any]] = []
    for op, i1, i2, j1, j2 in SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        if op == "equal":
            lines += [_whole(" ", line) for line in before[i1:i2]]
            continue
        removed, added = before[i1:i2], after[j1:j2]
        together = min(len(removed), len(added))
        pairs = [_changed(removed[i], added[i]) for i in range(together)]
        lines += [pair[0] for pair in pairs] + [_whole("-", line) for line in removed[together:]]
        lines += [pair[1] for pair in pairs] + [_whole("+", line) for line in added[together:]]
    return lines


def _whole(op: str, line: str) -> dict[str, Any]:
    return {"op": op, "parts": [[False, line]]}


def _changed(old: str, new: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two lines, the second in place of the first, with the words marked that differ."""
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    matcher = SequenceMatcher(a=a, b=b, autojunk=False)
    if len(a) * len(b) > 250_000 or matcher.ratio() < 0.6:  # hardly the same line
        return _whole("-", old), _whole("+", new)
    minus: list[list[Any]] = []
    plus: list[list[Any]] = []
    for op, i1, i2, j1, j2 in matcher.get_opcodes():
        if i2 > i1:
            minus.append([op != "equal", "".join(a[i1:i2])])
        if j2 > j1:
            plus.append([op != "equal", "".join(b[j1:j2])])
    return {"op": "-", "parts": minus}, {"op": "+", "parts": plus}

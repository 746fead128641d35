"""What the page shows of a text: highlighted lines, and the difference of two candidates.

Candidates are hostile: all text in the HTML from here is escaped, and characters that hide or reorder others are
made visible.
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

_MAX_SHOWN = 60_000  # characters of a text
_MAX_HIGHLIGHTED = 20_000  # characters of a text; a longer one is not coloured
_MAX_INDENT = 8  # steps of indentation that the style sheet has classes for
_MAX_COMPARED = 500  # lines of a text
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
    "|[\U000e0000-\U000e0fff]"
)
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


def visible(text: str) -> str:
    r"""Return text with control, bidirectional and zero-width characters as ``\uXXXX``, cut off if it is too long."""
    text = text.replace("\r\n", "\n")
    if len(text) > _MAX_SHOWN:
        text = f"{text[:_MAX_SHOWN]}\n… {len(text) - _MAX_SHOWN:,} more characters"
    return _INVISIBLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


@lru_cache(maxsize=256)
def highlighted(text: str) -> Markup:
    """Return a text as HTML, a ``span.line`` for each line, coloured as Python where it is Python."""
    from pygments import lex
    from pygments.token import STANDARD_TYPES

    shown = visible(text).strip("\n")
    if len(shown) > _MAX_HIGHLIGHTED:
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
    """Return one line; its class holds its indentation, so that a wrapped line continues further in."""
    plain = re.sub(r"<[^>]*>", "", content)
    steps = min((len(plain) - len(plain.lstrip(" "))) // 4, _MAX_INDENT)
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
    """Return whether a text is Python: a program, the body of a function, or the head of one."""
    for code in (text, f"def f():\n{text}", f"{text}\n    pass"):
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(code)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        # A word, or several joined by operators, parses too, but is more often prose.
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
    """Return the difference of two texts, line by line.

    Returns:
        A dict for each line: ``op`` is ``" "``, ``"-"`` or ``"+"``; ``parts`` is a list of ``[changed, text]``, where
        ``changed`` marks what differs from the line that it replaces.
    """
    before, after = (visible(text).strip("\n").split("\n")[:_MAX_COMPARED] for text in (old, new))
    lines: list[dict[str, Any]] = []
    for op, i1, i2, j1, j2 in SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        if op == "equal":
            lines += [_whole(" ", line) for line in before[i1:i2]]
            continue
        removed, added = before[i1:i2], after[j1:j2]
        pairs = [_changed(minus, plus) for minus, plus in zip(removed, added, strict=False)]
        lines += [pair[0] for pair in pairs] + [_whole("-", line) for line in removed[len(pairs) :]]
        lines += [pair[1] for pair in pairs] + [_whole("+", line) for line in added[len(pairs) :]]
    return lines


def _whole(op: str, line: str) -> dict[str, Any]:
    return {"op": op, "parts": [[False, line]]}


def _changed(old: str, new: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a line and the one that replaces it, with the words marked that differ."""
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

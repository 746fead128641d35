"""Lines of a text that may be code, prose, or both: strings that go over lines, indents, and runs of code in prose.

A small lexer of Python's strings, comments and brackets, which takes any text in linear time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .syntax import LONGEST, is_idle, is_text, parsed

_TOKEN = re.compile(r"""#[^\n]*|"{3}|'{3}|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[()\[\]{}]|\\\n|\n""")
_ENDS = {quote: re.compile(rf"(?:[^\\]|\\.)*?{quote}", re.DOTALL) for quote in ('"""', "'''")}
_GOES_ON = re.compile(r"(?:else|elif|except|finally)\b.*:|[)\]}]")
# A definition or an import: no bracket goes on over it.
_STARTS = re.compile(r"(?:async[ \t]+)?(?:def|class)[ \t]+\w+[ \t]*[(:\[]|from[ \t]+[\w.]+[ \t]+import\b|@\w")
# What prose hardly begins with, so that a chunk that is no Python is code with an error, or of Python 2.
_CODE = re.compile(
    _STARTS.pattern
    + r"""|(?:async[ \t]+)?(?:def|class)[ \t]+\w+$|import[ \t]+[\w.]+(?:[ \t]+as[ \t]+\w+)?(?:,[ \t]*[\w.]+)*[ \t]*$"""
    + r"""|(?:if|for|while|with|try|match)\b.*:[ \t]*(?:#.*)?\n[ \t]+\S|(?:print|exec|raise|return)[ \t]+["'\w(]"""
    + r"""|[\w.]+\(|\w[\w.\[\]]*[ \t]*[-+*/|&]?=(?!=)""",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Run:
    """Lines of code within prose.

    Args:
        text: The code.
        ended: Whether something that is no part of it follows.
    """

    text: str
    ended: bool


def open_quote(text: str, quote: str | None = None) -> str | None:
    """Return the triple quote that is open after ``text``, if ``quote`` was before it."""
    position = 0
    if quote is None and '"""' not in text and "'''" not in text:
        return None
    while True:
        if quote is not None:
            end = _ENDS[quote].match(text, position)
            if end is None:
                return quote
            position, quote = end.end(), None
        token = next((found for found in _TOKEN.finditer(text, position) if found[0] in _ENDS), None)
        if token is None:
            return None
        position, quote = token.end(), token[0]


def continued(text: str) -> list[str]:
    """Return for each line in what it begins: ``"string"``, ``"bracket"`` (or after a backslash), or ``""``."""
    states, position, depth = [""], 0, 0
    while token := _TOKEN.search(text, position):
        position, mark = token.end(), token[0]
        if mark in _ENDS:
            end = _ENDS[mark].match(text, position)
            stop = end.end() if end else len(text)
            states += ["string"] * text.count("\n", position, stop)
            position = stop
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth = max(0, depth - 1)
        elif mark == "\\\n":
            states.append("bracket")
        elif mark == "\n":
            if depth and _STARTS.match(text, position):
                depth = 0  # a bracket of prose, or one that was forgotten
            states.append("bracket" if depth else "")
    return states


def indent_of(line: str) -> str:
    """Return the white space that a line begins with."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def is_python(text: str) -> bool:
    """Return whether text is Python as a whole, at column 0 or all of it indented."""
    return len(text) <= LONGEST and (parsed(text) is not None or parsed(dedented(text)) is not None)


def dedented(text: str) -> str:
    """Return text without the indent that all lines of code have in common; strings lose it where they have it."""
    lines, states = text.split("\n"), continued(text)
    indents = [indent_of(line) for line, state in zip(lines, states, strict=True) if line.strip() and not state]
    if not indents:
        return text
    low, high = min(indents), max(indents)
    margin = low[: next((i for i, sign in enumerate(low) if sign != high[i]), len(low))]
    whole = all(line.startswith(margin) for line in lines if line.strip())
    return "\n".join(
        line[len(margin) :] if line.startswith(margin) and (whole or state != "string") else line
        for line, state in zip(lines, states, strict=True)
    )


def indented(text: str, indent: str) -> str:
    """Return text with each line of code indented; lines within strings stay as they are."""
    lines = zip(text.split("\n"), continued(text), strict=True)
    return "\n".join(indent + line if line.strip() and state != "string" else line for line, state in lines)


def chunks(text: str) -> list[str]:
    """Split text before each line at column 0 that begins something: a statement of code, or a line of prose."""
    found: list[list[str]] = []
    decorated = False
    for line, state in zip(text.split("\n"), continued(text), strict=True):
        begins = bool(line.strip()) and not state and line[0] not in " \t" and not _GOES_ON.match(line)
        if not found or (begins and not decorated):
            found.append([])
        if begins:
            decorated = line.startswith("@")
        found[-1].append(line)
    return ["\n".join(lines) for lines in found]


def kind(chunk: str, by_words: bool = False) -> str:
    """Return what a chunk is: ``"code"``, ``"comment"`` (or blank), ``"text"`` (a string alone) or ``"prose"``.

    Args:
        chunk: A chunk.
        by_words: Whether to go by its first words alone, as for what is no Python.
    """
    first = chunk.lstrip("\n")
    if not first.strip() or all(line.startswith("#") or not line.strip() for line in first.split("\n")):
        return "comment"
    tree = None if by_words else parsed(chunk)
    if tree is None:
        return "code" if _CODE.match(first) else "prose"
    if all(map(is_text, tree.body)):
        return "text"
    return "prose" if all(map(is_idle, tree.body)) else "code"


def runs(text: str, within: bool = True) -> list[Run]:
    """Return the runs of code in text without fences: what is between lines of prose, or before a string alone.

    Args:
        text: Any text.
        within: Whether to look at what is indented below a line of prose, too.
    """
    found: list[Run] = []
    kept: list[tuple[str, str]] = []

    def end(ended: bool) -> None:
        while kept and kept[-1][1] != "code":
            kept.pop()
            ended = True
        if kept:
            found.append(Run("\n".join(chunk for chunk, _ in kept), ended))
        kept.clear()

    read, kept_code = 0, False
    for chunk in chunks(text):
        what = kind(chunk, read > LONGEST)
        read += len(chunk)
        if what == "prose" or (what == "text" and kept_code):
            end(True)
            kept_code = False
        if what != "prose":
            kept.append((chunk, what))
            kept_code |= what == "code"
            continue
        below = chunk.partition("\n")[2]
        if within and below.strip():
            found.extend(Run(run.text, True) for run in runs(dedented(below.strip("\n")), within=False))
    end(False)
    return found

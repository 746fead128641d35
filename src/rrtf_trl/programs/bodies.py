"""Prompts of code that end within a function, and the bodies that continue them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .lines import chunks, continued, dedented, indent_of, indented, kind
from .syntax import LONGEST, Entry, is_idle, is_stub, parsed

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_LEAVES = re.compile(r"(?:return|raise)\b")
_STARTS = re.compile(r"(?:async[ \t]+def|def|class|import|from|if[ \t]+__name__)\b|@")


@dataclass(frozen=True)
class Head:
    """A prompt of code.

    Args:
        text: The prompt.
        path: The definitions in which it ends, outermost first: a class and its method, or a function. Empty where
            what follows is at the top level.
        indent: That of the function's body.
        before: What stands before the outermost of them.
    """

    text: str
    path: tuple[ast.stmt, ...]
    indent: str
    before: str

    @property
    def name(self) -> str:
        """The name of the function that the prompt begins."""
        return getattr(self.path[-1], "name", "") if self.path else ""

    @property
    def lines(self) -> str:
        """The prompt, up to a new line."""
        return self.text if self.text.endswith("\n") else self.text.rstrip() + "\n"


def read_head(prompt: str, entry: Entry | None) -> Head:
    """Return what a prompt of code ends in."""
    tree = parsed(prompt)
    path = _open_path(tree, entry) if tree else ()
    filled = prompt
    if tree is None:
        lines = [line for line in prompt.split("\n") if line.strip()] or [""]
        signatures = [indent_of(line) for line in lines if re.match(r"[ \t]*(?:async[ \t]+def|def|class)\b", line)]
        base = signatures[-1] if signatures else ""
        for indent in (indent_of(lines[-1]), base + "    ", base + "\t"):
            filled = prompt.rstrip() + f"\n{indent}pass\n"
            if len(indent) > len(base) and (tree := parsed(filled)):
                path = _open_path(tree, entry)
                break
    if not path:
        return Head(prompt, (), "", prompt)
    inner = path[-1]
    assert isinstance(inner, _DEFINITION)
    lines = filled.split("\n")
    indent = indent_of(lines[inner.body[0].lineno - 1]) or "    "
    outer = path[0]
    first = min([outer.lineno, *(node.lineno for node in getattr(outer, "decorator_list", ()))])
    return Head(prompt, path, indent, "".join(f"{line}\n" for line in lines[: first - 1]))


def _open_path(tree: ast.Module, entry: Entry | None) -> tuple[ast.stmt, ...]:
    path: list[ast.stmt] = []
    body = tree.body
    while body and isinstance(body[-1], _DEFINITION):
        path.append(body[-1])
        body = body[-1].body
    if not path or not isinstance(path[-1], _DEFINITION):
        return ()
    named = entry is not None and path[-1].name in (entry.name, entry.outer)
    return tuple(path) if named or is_stub(path[-1].body) else ()


def continue_body(head: Head, text: str) -> tuple[str, str] | None:
    """Return the prompt with the body that ``text`` starts with, and what follows the body; ``None`` if there is none.

    Of the body, its first line's indent may have been lost or changed, or that of all lines; which, the parser tells.

    Args:
        head: A prompt that ends within a function.
        text: What follows it.
    """
    if not head.path or len(text) > LONGEST:
        return None
    for before, body, rest in _candidates(head, text):
        if before + body != head.text and _is_body(head, before + body):
            return before + body, rest
    return None


def plain_body(head: Head, text: str) -> tuple[str, str]:
    """Return the prompt with the lines that ``text`` starts with, as they are, and what follows them."""
    body, rest = _cut(text.split("\n"))
    return head.text + body, rest


def _candidates(head: Head, text: str) -> Iterator[tuple[str, str, str]]:
    lines = text.split("\n")
    states = continued(text)
    code = [i for i, line in enumerate(lines) if line.strip() and not states[i] and not line.startswith("#")]
    if not head.text.endswith("\n"):
        yield head.text, *_cut(lines)
    if not code:
        return
    first = code[0]
    fixed = [*lines[:first], head.indent + lines[first].lstrip(), *lines[first + 1 :]]
    if lines[first].startswith((" ", "\t")):
        body, rest = _cut(lines)
        yield head.lines, body, rest
        yield head.lines, *_cut(fixed)
        yield head.lines, indented(dedented(body), head.indent), rest
        yield head.lines, *_cut(_apart(lines, first, head.indent))
    else:
        flat = _flat(text, head.indent)
        lost = _cut(fixed)
        at_margin = len(code) > 1 and lines[code[1]][0] not in " \t" and not _LEAVES.match(lines[first])
        for body, rest in (flat, lost) if at_margin else (lost, flat):
            yield head.lines, body, rest
        yield head.lines, *_cut(_apart(lines, first, head.indent))


def _apart(lines: list[str], first: int, indent: str) -> list[str]:
    """Return lines of which the first, and the others of the body together, get an indent of their own."""
    body, rest = _cut(["    " + lines[first].lstrip(), *lines[first + 1 :]])
    others = indented(dedented(body.partition("\n")[2].rstrip("\n")), indent)
    return [*lines[:first], indent + lines[first].lstrip(), *others.split("\n"), *rest.split("\n")]


def _cut(lines: list[str]) -> tuple[str, str]:
    """Split lines where the body ends: at one of column 0 that is no comment between its lines."""
    states = continued("\n".join(lines))
    end, seen = len(lines), False
    for number, (line, state) in enumerate(zip(lines, states, strict=True)):
        if not line.strip() or line.startswith("#"):
            continue
        if not state and line[0] not in " \t" and (seen or _ends(line)):
            end = number
            break
        seen = True
    kept = lines[:end]
    while kept and (not kept[-1].strip() or (kept[-1].startswith("#") and states[len(kept) - 1] != "string")):
        kept.pop()
    return "".join(f"{line}\n" for line in kept), "\n".join(lines[len(kept) :])


def _ends(line: str) -> bool:
    return _STARTS.match(line) is not None or line.startswith(("```", "~~~"))


def _flat(text: str, indent: str) -> tuple[str, str]:
    """Return a body that is written at column 0, with its indent, and what follows it."""
    parts = chunks(text)
    end = 0
    for number, part in enumerate(parts):
        what, starts = kind(part), _STARTS.match(part)
        if what == "prose" or (what == "code" and starts and part.startswith("if")):
            break
        if what == "code" and not starts:  # a definition is part of the body if more of the body follows
            end = number + 1
            if _LEAVES.match(part):
                break
    return indented("\n".join(parts[:end]).rstrip(), indent) + "\n", "\n".join(parts[end:])


def _is_body(head: Head, program: str) -> bool:
    """Return whether a program is the prompt with more statements in its function, which do something."""
    tree = parsed(program)
    if tree is None:
        return False
    known = parsed(head.text)
    body, old = tree.body, known.body if known else None
    for depth, node in enumerate(head.path):
        place = next(
            (i for i, each in enumerate(body) if each.lineno == node.lineno and type(each) is type(node)), None
        )
        if place is None or not all(isinstance(each, _FUNCTION) for each in body[place + 1 :]):
            return False
        if depth == 0 and body[place + 1 :]:
            return False
        found = body[place]
        assert isinstance(found, _DEFINITION)
        body = found.body
        same = old is not None and place < len(old) and isinstance(old[place], _DEFINITION)
        old = getattr(old[place], "body", None) if same and old is not None else None
    new = body[len(old) if old is not None else 0 :]
    return any(not isinstance(node, _DEFINITION | ast.Import | ast.ImportFrom) and not is_idle(node) for node in new)

"""Which of several pieces of code is the program, and what it needs of the others."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from .fences import PYTHON, Block, find_blocks
from .lines import Run, chunks, dedented, runs
from .syntax import (
    LONGEST,
    Entry,
    Helper,
    after_future_imports,
    bound_names,
    free_names,
    helpers,
    is_idle,
    is_text,
    parsed,
    reads_input,
    top_level,
    writes_output,
)

_MOST = 200  # pieces that are looked at, so that time does not grow with their square
_SHELL = re.compile(r"^[ \t]*(?:\$|>>>|%|!|In \[\d*\]:)[ \t]*\S", re.MULTILINE)
_READS = re.compile(r"\b(?:raw_input|input|stdin|open)\b")
_WRITES = re.compile(r"\b(?:print|stdout)\b")


@dataclass(frozen=True)
class Piece:
    """A piece of code of a response.

    Args:
        raw: Its text as it was.
        ended: Whether its end was seen.
        language: What its fence says; empty for nothing.
    """

    raw: str
    ended: bool
    language: str = ""

    @cached_property
    def text(self) -> str:
        """The text, without the indent of all of it where only that makes it Python."""
        if not self.raw.lstrip("\n").startswith((" ", "\t")):
            return self.raw
        flat = dedented(self.raw)
        return flat if parsed(flat) is not None else self.raw

    @cached_property
    def tree(self) -> ast.Module | None:
        """Its syntax tree; None where it is no Python."""
        return parsed(self.text)

    @cached_property
    def helpers(self) -> list[Helper]:
        """Its statements that other pieces may need."""
        return helpers(self.text, self.tree) if self.tree else []

    def strength(self, entry: Entry) -> int:
        """Return how well it defines the entry point, as `Entry.strength`; code with an error by its words."""
        if self.tree is not None:
            return entry.strength(self.tree)
        name = entry.outer if entry.owner else entry.name
        found = re.search(rf"^(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(name)}\b.*", self.text, re.MULTILINE)
        if found is None:
            return 0
        return 3 if self.text[found.end() :].strip() else 1


def from_blocks(blocks: Sequence[Block]) -> list[Piece]:
    """Return the pieces that the last blocks hold: those of Python or of no language, or all where there are none.

    What was not closed and is no Python may go on in prose, and is taken as text without fences.
    """
    of_python = [block for block in blocks if block.is_python or not block.language] or blocks
    of_python = of_python[-_MOST:]
    pieces = []
    for block in of_python:
        piece = Piece(block.text, block.closed, block.language)
        apart = runs(block.text) if not block.closed and piece.tree is None and len(block.text) <= LONGEST else []
        pieces += [Piece(run.text, run.ended, block.language) for run in apart] or [piece]
    return pieces


def from_runs(found: Sequence[Run]) -> list[Piece]:
    """Return the pieces of text without fences."""
    return [Piece(run.text.strip("\n"), run.ended) for run in found[-_MOST:]]


def pieces_of(text: str, entry: Entry | None) -> list[Piece]:
    """Return a response's pieces of code: its blocks, or what is code in a text without; all of it if all is code."""
    if is_program(text):
        return [Piece(text, False)]
    if blocks := find_blocks(text):
        return in_blocks(text, blocks, entry)
    return _without_cut_statement(from_runs(runs(text)), entry)


def in_blocks(text: str, blocks: Sequence[Block], entry: Entry | None) -> list[Piece]:
    """Return the pieces of a response with blocks; and the code before them, where only that has the entry point."""
    pieces = _without_cut_statement(from_blocks(blocks), entry)
    if entry is not None and not any(piece.strength(entry) for piece in reversed(pieces)):
        before = from_runs(runs("\n".join(text.split("\n")[: blocks[0].start])))
        pieces += [replace(piece, ended=True) for piece in before if piece.strength(entry)]
    return pieces


def _without_cut_statement(pieces: list[Piece], entry: Entry | None) -> list[Piece]:
    """Return the pieces, the last one without the statement in which it breaks off, if the entry point is before it.

    A response that reaches its limit often does so in an example after the function.
    """
    if entry is None or not pieces or pieces[-1].ended or pieces[-1].tree is not None:
        return pieces
    before = Piece("\n".join(chunks(pieces[-1].text)[:-1]), True, pieces[-1].language)
    is_whole = before.tree is not None and before.strength(entry) == 3
    return [*pieces[:-1], before] if is_whole else pieces


def is_program(text: str) -> bool:
    """Return whether text is Python as a whole, and does not begin with words that happen to be."""
    tree = parsed(text)
    return tree is not None and any(not is_idle(node) for node in tree.body) and not _is_word(tree.body[0])


def _is_word(statement: ast.stmt) -> bool:
    return is_idle(statement) and not is_text(statement)


def choose(pieces: Sequence[Piece], entry: Entry | None) -> Piece:
    """Return the piece that is the program, with the imports, definitions and constants that only others hold.

    With an entry point it is the last that defines it in full, even if wrongly; then the last stub of it. Without one
    it is the last that is a whole program: it acts, reads its input, prints, and needs nothing but helpers; an excerpt
    of another is none. If none is whole, it is the longest that is Python.
    """
    last_first = range(len(pieces))[::-1]
    if entry is not None:
        index = _first_best(last_first, lambda index: pieces[index].strength(entry))
    else:
        index = _first_best(last_first, lambda index: _wholeness(pieces, index))
        if not _wholeness(pieces, index):
            index = max(last_first, key=lambda index: (pieces[index].tree is not None, len(pieces[index].text)))
    added = _needed(pieces, index)
    text = after_future_imports(pieces[index].text, "\n".join(helper.text for helper in added))
    return replace(pieces[index], raw=text)


def _first_best(order: Iterable[int], rank: Callable[[int], int]) -> int:
    """Return the first of the highest rank; nothing is looked at behind a first 3, which is the highest there is."""
    ranks: dict[int, int] = {}
    for index in order:
        ranks[index] = rank(index)
        if ranks[index] == 3:
            break
    return max(ranks, key=lambda index: ranks[index])


def with_needed(code: str, rest: Sequence[Piece]) -> str:
    """Return code, followed by the helpers that it needs and only ``rest`` holds."""
    added = _needed([*rest, Piece(code, True)], len(rest))
    return code + "".join(f"{helper.text}\n" for helper in added)


def _needed(pieces: Sequence[Piece], index: int) -> list[Helper]:
    wanted = list(free_names(pieces[index].text))
    if not wanted:
        return []
    known: dict[str, int] = {}  # the nearest piece before that holds a name, or the nearest after
    for other in [*range(len(pieces) - 1, index, -1), *range(index)]:
        known.update({name: other for helper in pieces[other].helpers for name in helper.names})
    tree = pieces[index].tree
    seen = {name for node in top_level(tree.body if tree else ()) for name in bound_names(node)}
    found: set[tuple[int, Helper]] = set()
    while wanted:
        name = wanted.pop()
        if name not in known and name not in seen:
            name = "*"  # perhaps from there
        if name in seen or name not in known:
            continue
        seen.add(name)
        for helper in pieces[known[name]].helpers:
            if name in helper.names and (known[name], helper) not in found:
                found.add((known[name], helper))
                wanted += free_names(helper.text)
    return [helper for _, helper in sorted(found, key=lambda each: (each[0], each[1].line))]


def _wholeness(pieces: Sequence[Piece], index: int) -> int:
    """Return 3 for a program that reads its input and prints, 2 for one that prints, 0 for others."""
    piece = pieces[index]
    if piece.tree is None:
        return _by_words(piece)
    if _is_excerpt(pieces, index) or all(map(_does_nothing, piece.tree.body)):
        return 0
    added = _needed(pieces, index)
    trees = [piece.tree, *filter(None, (parsed(helper.text) for helper in added))]
    known = {name for helper in added for name in helper.names}
    missing = set() if "*" in known else free_names(piece.text) - known
    state = [helper for helper in added if isinstance(ast.parse(helper.text).body[0], ast.Assign | ast.AnnAssign)]
    fragment = missing or any(not name.isupper() for helper in state for name in helper.names)
    if fragment or not any(map(writes_output, trees)):
        return 0
    return 3 if any(map(reads_input, trees)) else 2


def _by_words(piece: Piece) -> int:
    """Return the wholeness of what is no Python: with an error, of Python 2, or cut off, it is an answer as well."""
    if piece.language not in PYTHON or _SHELL.search(piece.text):
        return 0
    reads, writes = _READS.search(piece.text), _WRITES.search(piece.text)
    if not piece.ended:
        return 3 if reads or writes else 0
    return 3 if reads and writes else 2 if writes else 0


def _does_nothing(statement: ast.stmt) -> bool:
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
    return isinstance(statement, definitions) or is_idle(statement) or is_text(statement)


def _is_excerpt(pieces: Sequence[Piece], index: int) -> bool:
    """Return whether all lines of a piece are in a longer one, one after the other."""
    text = _bare(pieces[index].text)
    return any(len(other.text) > len(pieces[index].text) and text in _bare(other.text) for other in pieces)


def _bare(text: str) -> str:
    return "\n" + "".join(f"{line.strip()}\n" for line in text.split("\n") if line.strip())

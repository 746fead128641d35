"""The program of a response to a prompt of code: the rest of a function that the prompt begins, or the whole."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from .bodies import Head, continue_body, plain_body
from .choose import Piece, choose, from_blocks, from_runs, in_blocks, is_program, pieces_of, with_needed
from .fences import Block, find_blocks
from .lines import chunks, dedented, indent_of, indented, kind, runs
from .syntax import Entry, after_future_imports, is_text, parsed

_BEGINNING = 10_000  # characters


def continuation(text: str, head: Head, entry: Entry | None) -> Piece:
    """Return the program.

    Args:
        text: The response without thoughts.
        head: The prompt.
        entry: What the program should define; None for a whole program.
    """
    if entry is None:
        return _whole_program(text, head)
    blocks = [] if is_program(text) else find_blocks(text)
    return _in_blocks(text, blocks, head, entry) if blocks else _in_text(text, head, entry)


def _whole_program(text: str, head: Head) -> Piece:
    if head.path and parsed(head.lines + text) is not None:
        return Piece(head.lines + text, False)
    pieces = pieces_of(text, None)
    if not pieces:
        return Piece(head.lines + text, False)
    program = pieces[0] if _begins_with_code(text) else choose(pieces, None)
    return replace(program, raw=_with_head(program.text, head, None))


def _in_text(text: str, head: Head, entry: Entry) -> Piece:
    """Return the program of a response without fences."""
    alone = Piece(text, False)
    if alone.tree is not None and _restates(alone, entry):
        return replace(alone, raw=_with_head(alone.text, head, entry))
    if body := _body(text, head):
        return body
    pieces = [piece for piece in map(_finished, from_runs(runs(text))) if _restates(piece, entry)]
    if pieces:
        program = pieces[0] if _begins_with_code(text) else choose(pieces, entry)
        return replace(program, raw=_with_head(program.text, head, entry))
    if not head.path and (pieces := from_runs(runs(text))):
        return replace(pieces[0], raw=_with_head(pieces[0].text, head, entry))
    if not head.path and parsed(head.text) is None and parsed(head.text + text) is None:
        return Piece(text, False)  # a prompt of prose with some code in it
    program_text, rest = plain_body(head, text)
    return Piece(program_text, bool(rest.strip()))


def _in_blocks(text: str, blocks: Sequence[Block], head: Head, entry: Entry) -> Piece:
    """Return the program of a response with blocks, which may hold the function or its body, or follow its body."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    is_body = first.startswith((" ", "\t")) and not first.lstrip().startswith(("```", "~~~"))
    before = text if is_body else "\n".join(text.split("\n")[: blocks[0].start])
    if body := _body(before, head):
        return replace(body, ended=True)
    pieces = in_blocks(text, blocks, entry)
    repeats = [piece.text.startswith(head.text.rstrip()) for piece in pieces]
    if any(repeats) or any(_restates(piece, entry) and piece.strength(entry) > 1 for piece in pieces):
        program = choose([_as_method(piece, head, entry) for piece in pieces], entry)
        return replace(program, raw=_with_head(program.text, head, entry))
    marked = from_blocks(blocks)
    bodies = [(piece, body) for piece in marked if (body := _body(piece.raw, head))]
    answers = [each for each in bodies if _answers(each[0])] or bodies[:1]
    if answers:
        piece, body = answers[-1]
        return replace(body, ended=piece.ended or body.ended)
    if not head.path or any(piece.strength(entry) for piece in pieces):
        program = choose(pieces, entry)
        return replace(program, raw=_with_head(program.text, head, entry))
    program_text, rest = plain_body(head, marked[0].raw)
    return Piece(program_text, marked[0].ended or bool(rest.strip()))


def _restates(piece: Piece, entry: Entry) -> bool:
    """Return whether a piece defines the entry point itself, and is no body that defines an inner function."""
    if piece.tree is not None and any(isinstance(node, ast.Return) for node in piece.tree.body):
        return False
    return piece.strength(entry) > 0


def _answers(piece: Piece) -> bool:
    return any(word in piece.raw for word in ("return", "yield"))


def _body(text: str, head: Head) -> Piece | None:
    """Return the prompt with the body that text starts with, and the helpers that it needs of what follows."""
    if (found := continue_body(head, text)) is None:
        return None
    program, rest = found
    if not rest.strip():
        return Piece(program, False)
    return Piece(with_needed(program, [_finished(piece) for piece in from_runs(runs(rest))]), True)


def _finished(piece: Piece) -> Piece:
    """Return a piece without a last definition that was cut off."""
    if piece.tree is not None:
        return piece
    parts = chunks(piece.raw)
    before = "\n".join(parts[:-1])
    return Piece(before, True) if len(parts) > 1 and is_program(before) else piece


def _begins_with_code(text: str) -> bool:
    parts = (kind(chunk) for chunk in chunks(text[:_BEGINNING]))
    return next((what for what in parts if what != "comment"), "") == "code"


def _as_method(piece: Piece, head: Head, entry: Entry) -> Piece:
    """Return a piece that defines a method apart from its class with the class that the prompt begins."""
    if len(head.path) < 2 or head.name != entry.name or piece.tree is None or piece.strength(entry) != 2:
        return piece
    lines = head.text.split("\n")
    start = head.path[-1].lineno - 1
    before = "".join(f"{line}\n" for line in lines[:start])
    return replace(piece, raw=before + indented(dedented(piece.text), indent_of(lines[start])))


def _with_head(code: str, head: Head, entry: Entry | None) -> str:
    """Return a program with the imports and helpers of its prompt, if it does not repeat them."""
    if code.startswith(head.text):
        return code
    code = _as_method(Piece(code, True), head, entry).text if entry else code
    before = head.before if head.path else head.text
    tree, known = parsed(before), parsed(code)
    if tree is None:  # prose with some code in it, or code that only the response completes
        return before + code if known is None and parsed(before + code) else code
    statements = [node for node in tree.body if not is_text(node)]
    written = {ast.dump(node) for node in known.body} if known else set()
    if all(ast.dump(node) in written or (known is None and _source(before, node) in code) for node in statements):
        return code
    lines = before.split("\n")
    if is_text(tree.body[0]):
        lines = lines[tree.body[0].end_lineno :]
    return after_future_imports(code, "\n".join(lines))


def _source(text: str, node: ast.stmt) -> str:
    return "\n".join(text.split("\n")[node.lineno - 1 : node.end_lineno])

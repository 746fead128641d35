"""Extracts the program from a model's response: a bare body, a whole function, or fenced blocks within prose."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rrtf_trl.records import Prompt

from .assemble import is_code
from .thoughts import without_thoughts

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_TOP_LEVEL_CODE = re.compile(r"^(?:def |async def |class |import |from \w|@\w)", re.MULTILINE)
_CLOSERS = (")", "]", "}", '"""', "'''")


@dataclass(frozen=True)
class Extracted:
    """A program extracted from a response.

    Args:
        code: The program, complete with the prompt where the response continues it, ending in one newline.
        ended: Whether the program ends before the response does (at a closed fence, or a line that is not part
            of it), so that the program is whole even if the response was cut off.
    """

    code: str
    ended: bool


def extract_code(response: str, prompt: Prompt, entry_point: str | None) -> Extracted:
    """Return the program in ``response``, whatever drafts are in a reasoning model's thoughts.

    Args:
        response: The response.
        prompt: The problem's prompt. A response may continue it where it is code, not messages.
        entry_point: The function that the program should define, or a method of the class that it should, as
            ``Solution.two_sum``; ``None`` for whole programs.
    """
    response = without_thoughts(response)
    entry_point = entry_point and entry_point.partition(".")[0]
    head = prompt if isinstance(prompt, str) else ""
    continues = bool(head) and is_code(head)
    blocks = list(_FENCE.finditer(response))
    if blocks and not (continues and _starts_indented(response)):
        block = _best_block(blocks, entry_point)
        closed = block.group(0).rstrip().endswith("```") and block.group(0).count("```") > 1
        return Extracted(_as_program(block.group(2), head, entry_point), closed)
    if _defines(response, entry_point):
        start = _TOP_LEVEL_CODE.search(response)
        text = response[start.start() if start else 0 :]
        program, ended = _until_prose(text, entry_point)
        return Extracted(_as_program(program, head, entry_point), ended)
    if continues:
        body, ended = _body(response)
        return Extracted(head + body, ended)
    return Extracted(_one_newline(response), False)


def _starts_indented(text: str) -> bool:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return first.startswith((" ", "\t")) and not first.strip().startswith("```")


def _best_block(blocks: list[re.Match[str]], entry_point: str | None) -> re.Match[str]:
    python = [block for block in blocks if block.group(1).lower() in ("", "python", "py", "python3")] or blocks
    return next((block for block in python if _defines(block.group(2), entry_point)), python[0])


def _defines(text: str, entry_point: str | None) -> bool:
    if entry_point is None:
        return False
    return re.search(rf"^(?:async )?(?:def|class) {re.escape(entry_point)}\b", text, re.MULTILINE) is not None


def _as_program(code: str, head: str, entry_point: str | None) -> str:
    """Return a whole program from ``code``, which may define the function or be its body only."""
    if not head or not is_code(head) or entry_point is None or code.startswith(head):
        return _one_newline(code)
    if not _defines(code, entry_point):
        if code.strip() and not _starts_indented(code) and not _TOP_LEVEL_CODE.match(code.lstrip()):
            code = "".join("    " + line if line.strip() else line for line in code.splitlines(keepends=True))
        return head + _body(code)[0]
    # The response repeats the function: of the prompt keep what comes before it (imports, helpers), but not the
    # paper's instruction in triple quotes.
    definition = rf"^(?:(?:async )?def|class) {re.escape(entry_point)}\b"
    before = re.split(definition, head, maxsplit=1, flags=re.MULTILINE)[0]
    before = re.sub(r'^(?:"""(?:.*?)"""|\'\'\'(?:.*?)\'\'\')\n', "", before, flags=re.DOTALL)
    return _one_newline(before + code)


def _body(text: str) -> tuple[str, bool]:
    """Return the indented lines that ``text`` starts with, and whether something else followed them."""
    kept: list[str] = []
    ended = False
    quote: str | None = None
    for line in text.splitlines(keepends=True):
        inside = quote is not None
        quote = _open_quote(line, quote)
        stripped = line.strip()
        outside = bool(stripped) and not line.startswith((" ", "\t")) and not stripped.startswith(_CLOSERS)
        if outside and not inside and (kept or _TOP_LEVEL_CODE.match(line) or stripped.startswith("```")):
            ended = True
            break
        kept.append(line)
    return _one_newline("".join(kept)), ended


def _until_prose(text: str, entry_point: str | None) -> tuple[str, bool]:
    """Return ``text`` up to the first top-level line after a definition that is not code, and whether there is one.

    After its program a base model often writes the docstring of a next task, which may be cut off.
    """
    kept: list[str] = []
    quote: str | None = None
    for line in text.splitlines(keepends=True):
        inside = quote is not None
        quote = _open_quote(line, quote)
        stripped = line.strip()
        top_level = bool(stripped) and not inside and not line.startswith((" ", "\t", "#", "@"))
        next_task = line.startswith(('"""', "'''")) and _defines("".join(kept), entry_point)
        if kept and top_level and (next_task or _is_prose(stripped)):
            return _one_newline("".join(kept)), True
        kept.append(line)
    return _one_newline("".join(kept)), False


def _is_prose(line: str) -> bool:
    try:
        compile(line, "<line>", "exec")
    except SyntaxError:
        return not line.endswith((":", "(", "[", "{", ",", "\\")) and not line.startswith(_CLOSERS)
    except ValueError:
        return False
    return False


def _open_quote(line: str, quote: str | None) -> str | None:
    """Return the triple quote that is open after ``line``.

    Args:
        line: A line.
        quote: The triple quote that is open before it; None for none.
    """
    position = 0
    while True:
        if quote is not None:
            end = line.find(quote, position)
            if end < 0:
                return quote
            quote, position = None, end + 3
        found = [(line.find(mark, position), mark) for mark in ('"""', "'''")]
        found = [(index, mark) for index, mark in found if index >= 0]
        if not found:
            return None
        index, quote = min(found)
        position = index + 3


def _one_newline(text: str) -> str:
    return text.rstrip() + "\n"

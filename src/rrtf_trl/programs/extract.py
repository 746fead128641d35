r"""Extracts the program from a model's response: a body, a function or a whole program, in fences, in prose or alone.

What is extracted is what the response gives as its answer, right or wrong: of several drafts the last, with an error
where it has one. Candidates are checked by parsing (``ast.parse``), never run. The only changes to the model's text:

- line ends become ``\n``, and a byte order mark, thoughts and the tokens of chat templates go;
- a block loses the indent that its fence has, or that all of its lines have;
- imports, definitions and constants that the program needs come from other blocks, if only they have them;
- a body gets its prompt, and its indent back where its first line, or every line, has another one;
- a function that repeats its prompt gets the imports and helpers of the prompt;
- without fences, or behind a last fence that is not closed, prose is cut; so is what follows a body, but for the
  helpers that it needs; and the statement in which a response breaks off after a whole entry point.

Nothing else is added, completed or cut. Where nothing parses, the text is taken by the same rules, and fails when it
is judged. Of an answer of more than 100,000 characters only the part about its last fence is looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rrtf_trl.records import Prompt

from .assemble import is_code
from .bodies import read_head
from .choose import Piece, choose, pieces_of
from .continuation import continuation
from .syntax import LONGEST, Entry
from .thoughts import without_thoughts


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
    text = _window(without_thoughts(_normal(response)))
    entry = Entry(entry_point) if entry_point else None
    if isinstance(prompt, str) and is_code(prompt):
        program = continuation(text, read_head(_normal(prompt), entry), entry)
    else:
        pieces = pieces_of(text, entry)
        program = choose(pieces, entry) if pieces else Piece(text, False)
    return Extracted(program.text.strip("\n").rstrip() + "\n", program.ended)


def _window(text: str) -> str:
    """Return the part of an overlong answer that is looked at: about its last fence, or its beginning.

    Time would be linear in its length without this too, but a million characters of junk took ten seconds.
    """
    if len(text) <= LONGEST:
        return text
    last = max(text.rfind("```"), text.rfind("~~~"))
    if last < 0:
        return text[: text.rfind("\n", 0, LONGEST) + 1 or LONGEST]
    text = text[: last + LONGEST]
    opening = re.compile(r"^[ \t]*(?:```+|~~~+)[ \t]*[{\w]", re.MULTILINE)
    if found := opening.search(text, max(0, last - LONGEST)):
        return text[found.start() :]
    # One block that is longer than any program, or fences that say nothing.
    start = max((found.start() for found in opening.finditer(text)), default=max(0, last - LONGEST))
    return text[start : start + 2 * LONGEST]


def _normal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "")

"""The blocks of code that a response marks: fences of Markdown, and the tags that some models write instead."""

from __future__ import annotations

import functools
import html
import re
from dataclasses import dataclass, replace

from .lines import continued, dedented, indent_of, is_python, open_quote
from .syntax import is_idle, parsed

PYTHON = ("python", "python3", "py", "py3", "python2", "ipython", "pycon", "sage")
# A fence at the start of a line, of a list's item or a quotation, or after words.
_FENCE = re.compile(
    r"^(?P<lead>[ \t]*(?:>[ \t]?|[-*+][ \t]+|\d+[.)][ \t]+)*)(?P<words>(?:[^`~]|~(?!~~)|`[^`]+`)*?)"
    r"(?P<mark>`{3,}|~{3,})(?P<info>[^`]*)$"
)
_CODE = re.compile(r"(?:\w+[ \t]+)??(?P<code>(?:(?:async[ \t]+)?(?:def|class)|import|from)[ \t]+\w.*)")  # on its line
_ONE_LINE = re.compile(r"^[ \t]*```(?:python[ \t]+)?(?P<code>[^`]+)```[ \t]*$")
_LANGUAGE = re.compile(r"[ \t]*[\w+#.{}-]*[ \t]*")
_LONGEST_LINE = 1_000  # of prose before a fence
_TAGS = "pre|code|answer|solution|python"
_OPENING = re.compile(rf"^[ \t]*(?:(?P<names>(?:<(?:{_TAGS})(?:[ \t][^>\n]*)?>[ \t]*)+)|\[PYTHON\])", re.IGNORECASE)
_NAME = re.compile(r"<(\w+)")
_MOST_NESTED = 3


@dataclass(frozen=True)
class Block:
    """A marked block.

    Args:
        text: What is in it.
        language: The first word of its info string in lower case; empty for none.
        closed: Whether its end was seen.
        start: Its first line in the response, that of its mark.
        stop: The line after its last; that of a mark which also opens the next block is not its own.
    """

    text: str
    language: str
    closed: bool
    start: int
    stop: int

    @property
    def is_python(self) -> bool:
        """Whether it says that it is Python."""
        return self.language in PYTHON


def find_blocks(text: str, nested: int = 0) -> list[Block]:
    r"""Return the blocks of a text in order; those that are blank only where all are.

    A fence ends at the next line that closes it, or where another one opens, but not within a string in triple quotes
    where the code that ends at a later fence is Python. Blocks within a block of another language are found as well.
    If code stands before a first fence that says nothing, that fence ends it: its opening is in the prompt.

    Args:
        text: A response, with ``\n`` for line ends.
        nested: In how many blocks it is.
    """
    lines = text.split("\n")
    blocks: list[Block] = []
    line, spare = 0, 4 * len(text) + 10_000
    while line < len(lines):
        if opening := _OPENING.match(lines[line]):
            block, line = _tagged(lines, line, opening)
        elif (one := _ONE_LINE.match(lines[line])) and _is_code(one["code"]):
            block, line = Block(one["code"], "", True, line, line), line + 1
        elif (fence := _opens(lines[line])) is None:
            line += 1
            continue
        elif not blocks and not nested and _is_bare(fence) and _is_code("\n".join(lines[:line])):
            block, line = Block("\n".join(lines[:line]), "", True, 0, line), line + 1
        else:
            block, line, used = _fenced(lines, line, fence, spare)
            spare -= used
        inner = []
        if nested < _MOST_NESTED and not block.is_python and ("```" in block.text or "~~~" in block.text):
            inner = [] if is_python(block.text) else find_blocks(block.text, nested + 1)
        if inner:
            blocks += [
                replace(each, start=block.start, stop=block.stop, closed=each.closed or block.closed) for each in inner
            ]
        else:
            blocks.append(block)
    return [block for block in blocks if block.text.strip()] or blocks[-1:]


def _opens(line: str) -> re.Match[str] | None:
    """Return the match of a line that opens a fence; after words it says no more than a language."""
    if len(line) > _LONGEST_LINE or ("```" not in line and "~~~" not in line):
        return None
    fence = _FENCE.match(line)
    if fence and fence["words"] and (fence["mark"][0] == "~" or not _LANGUAGE.fullmatch(fence["info"])):
        return None
    return fence


def _is_bare(fence: re.Match[str]) -> bool:
    return not fence["words"] and not _says_language(fence["info"])


def _is_code(text: str) -> bool:
    """Return whether text is code, which may be a body whose first line has lost its indent."""
    for candidate in (dedented(text), dedented("    " + text.lstrip())):
        tree = parsed(candidate)
        if tree is not None:
            return not all(map(is_idle, tree.body))
    return False


def _fenced(lines: list[str], start: int, fence: re.Match[str], spare: int) -> tuple[Block, int, int]:
    """Return the block that a fence opens, the line to go on at, and how many characters were read to find its end.

    Args:
        lines: The lines of the text.
        start: The line of the fence.
        fence: Its match.
        spare: How many characters may be read beyond a first end, within strings.
    """
    info = fence["info"].strip()
    code = _CODE.match(info)
    first_line = [code["code"]] if code else []
    language = "python" if code else re.sub(r"^\{?[ \t]*\.?", "", info.lower())
    language = re.split(r"[\s:,;{}=]", language, maxsplit=1)[0]
    quoted = ">" in fence["lead"]
    column = "" if fence["words"] else re.sub(r"[^ \t]", " ", fence["lead"])
    first: tuple[int, str, int] | None = None
    quote, part, offset, used = None, start + 1, 0, 0

    def block(line: int, rest: str) -> Block:
        inside = _inside([*first_line, *lines[start + 1 : line], *([rest] if rest else [])], column, quoted)
        return Block(inside, language, True, start, line)

    for line in range(start + 1, len(lines)):
        if (end := _end(lines[line], fence["mark"])) is None:
            continue
        rest, opens_next = end
        found = line, rest, line + (not opens_next)
        first = first or found
        segment = "\n".join([*lines[part:line], rest])[offset:]
        quote, part, offset, used = open_quote(segment, quote), line, len(rest), used + len(segment)
        if quote is None:
            ended = block(line, rest)
            if found == first or is_python(ended.text):
                return ended, found[2], used
        if quote is None or used > spare:
            break
    if first is not None:
        return block(first[0], first[1]), first[2], used
    inside = _inside([*first_line, *lines[start + 1 :]], column, quoted)
    return Block(inside, language, False, start, len(lines)), len(lines), used


def _end(line: str, mark: str) -> tuple[str, bool] | None:
    """Return how a line ends a fence: the code before the mark, and whether it opens the next one; ``None`` if not."""
    if mark[0] * 3 not in line:
        return None
    own = _own(mark).match(line)
    if own:
        return "", _says_language(own["info"])
    code = line.rstrip().rstrip(mark[0])
    if len(line.rstrip()) - len(code) >= len(mark) and "#" not in line:
        return code, False
    after = _opens(line)
    return (
        ("", True) if after and after["words"] and after["info"].strip() and after["mark"].startswith(mark) else None
    )


@functools.lru_cache(64)
def _own(mark: str) -> re.Pattern[str]:
    """Return the pattern of a line that begins with a fence which ends that of ``mark``."""
    return re.compile(rf"^[ \t>]*(?:[-*+][ \t]+)?{mark[0]}{{{len(mark)},}}(?P<info>[^{mark[0]}]*)$")


def _says_language(info: str) -> bool:
    """Return whether what follows a mark is an info string, and not the prose that follows a closing fence."""
    words = info.split()
    if len(words) < 2:
        return bool(words)
    return not info[0].isspace() and ("=" in info or re.split(r"\W", words[0].lower().lstrip("{."))[0] in PYTHON)


def _inside(lines: list[str], column: str, quoted: bool) -> str:
    """Return a block's lines without the marks of a quotation, and without as much indent as the fence has."""
    if quoted:
        lines = [re.sub(r"^[ \t]*>[ \t]?", "", line) for line in lines]
        column = ""
    first = next((line for line in lines if line.strip()), "")
    width = min(len(column), len(indent_of(first)))
    if width:
        lines = [line[min(len(indent_of(line)), width) :] for line in lines]
    return "\n".join(lines)


def _tagged(lines: list[str], start: int, opening: re.Match[str]) -> tuple[Block, int]:
    """Return the block that a tag opens, and the line to go on at."""
    names = _NAME.findall(opening["names"] or "")
    closing = rf"</{names[-1]}>" if names else r"\[/PYTHON\]"
    end = re.compile(rf"^(?P<code>.*?){closing}", re.IGNORECASE)
    rest = [lines[start][opening.end() :], *lines[start + 1 :]]
    language = "" if names else "python"
    states = continued("\n".join(rest)) if "'''" in "".join(rest) or '"""' in "".join(rest) else []
    for number, line in enumerate(rest):
        if "</" not in line and "[/" not in line:
            continue
        found = end.match(line)
        if found and not (states and states[number] == "string"):
            inside = "\n".join([*rest[:number], found["code"]]).lstrip("\n")
            if "&" in inside and not is_python(inside) and is_python(html.unescape(inside)):
                inside = html.unescape(inside)
            return Block(inside, language, True, start, start + number), start + number + 1
    return Block("\n".join(rest).lstrip("\n"), language, False, start, len(lines)), len(lines)

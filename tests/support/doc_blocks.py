"""The code blocks and commands of the documentation, as the tests run them.

A comment on the line above a block says what a test has to know; readers do not see it:

    <!-- skip: needs a GPU -->             it is not run, for this reason; its commands are parsed all the same
    <!-- with: problems.train.limit=8 -->  options that its `rrtf` commands get too, so that they are done sooner
    <!-- file: conf/ranking/mine.yaml -->  the block is this file
    <!-- given: rows = [...] -->           Python that a Python block needs and does not show
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
MARKERS = ("skip", "with", "file", "given")
RUN, SHOWN = ("sh", "python", "yaml", "json", "toml"), ("text",)

_BLOCK = re.compile(r"^(?P<fence>`{3,})(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"<!-- (\w+): ((?:(?!-->).)*) -->\n\Z", re.DOTALL)
_SPAN = re.compile(r"(?<!`)`(rrtf [^`]+)`(?!`)")


@dataclass
class Block:
    """A fenced block of a page.

    Args:
        page: The page.
        line: Where it begins.
        language: What stands behind the fence.
        text: What is in it.
        markers: What the comments above it say, by their word.
    """

    page: Path
    line: int
    language: str
    text: str
    markers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """Return the commands of a block for a shell, each in one piece, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        commands = (re.sub(r"\s+#.*", "", line).strip() for line in lines)
        return [command for command in commands if command and not command.startswith("#")]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order, those of Sphinx' own directives left out."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        language = match["language"].strip()
        if language.startswith("{"):
            continue
        markers, before = {}, text[: match.start()]
        while marker := _MARKER.search(before):
            markers[marker[1]] = " ".join(marker[2].split()) if marker[1] != "given" else marker[2]
            before = before[: marker.start()]
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, language, match["text"], markers))
    return found


def spoken_commands(page: Path) -> list[str]:
    """Return the `rrtf` commands in the running text of a page."""
    return _SPAN.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))


def words(command: str) -> list[str]:
    """Return the words of a command; what only stands for others, an ellipsis, is left out."""
    return [word for word in shlex.split(command) if not word.endswith(("...", "…"))]

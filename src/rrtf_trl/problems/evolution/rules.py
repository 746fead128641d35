"""Which evolved tasks are eliminated, and why.

The first rules are those of Evol-Instruct's elimination step (WizardLM, arXiv 2304.12244, section 3.2): no difference
from the parent, a teacher that gives up, only punctuation and stop words, and words of the instruction copied into the
task. The others keep tasks that can be tested: one function of plain data. PanGu-Coder2 cut 100K tasks to 68K by rules
that are not published.
"""

from __future__ import annotations

import re

from .seeds import Seed, function_of

_LEAKED = re.compile(
    r"\b(?:new|given|original|rewritten|evolved|previous) (?:task|prompt|problem|exercise)\b|#\s*(?:given|rewritten)",
    re.IGNORECASE,
)
_GIVES_UP = re.compile(r"\b(?:sorry|I cannot|I can't|as an AI)\b", re.IGNORECASE)
_UNTESTABLE = re.compile(
    r"\b(?:input\(\)|from the user|user input|stdin|standard input|read (?:from )?a file|write (?:to )?a file|"
    r"download|http|web ?page|database|sql|gui|tkinter|plot|draw|matplotlib|current (?:time|date)|today|"
    r"random(?:ly)?|shuffle|thread|asyncio|infinite loop)\b",
    re.IGNORECASE,
)
_SHORTEST, _LONGEST = 20, 4000


def eliminated(child: Seed, parent: Seed) -> str | None:
    """Return why an evolved task is eliminated, or ``None`` if it is not."""
    text = child.task.strip()
    if len(re.findall(r"[^\W_]", text)) < _SHORTEST:
        return "it has hardly any text"
    if len(text) > _LONGEST:
        return f"it is longer than {_LONGEST} characters"
    if _GIVES_UP.search(text) and len(text.split()) < 80:
        return "the teacher gives up"
    if _plain(text) == _plain(parent.task):
        return "it is the same as its parent"
    if found := _LEAKED.search(text):
        return f"it mentions how it was made: {found[0]!r}"
    if found := _UNTESTABLE.search(text):
        return f"it cannot be tested by calls: {found[0]!r}"
    assert child.signature is not None
    if function_of(child.signature)[1] == 0:
        return "its function takes nothing"
    return None


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))

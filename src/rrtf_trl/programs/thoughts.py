"""Removes a reasoning model's thoughts from its response: what is left is its answer.

Thoughts hold drafts of programs, which must be neither judged nor trained on in place of the answer.
"""

from __future__ import annotations

import re

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|seed:think"
# Opening and closing marks, as models and their chat templates write them.
_MARKS = (
    (rf"<(?P<name>{_NAMES})>", r"</(?P=name)>"),
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker
    (r"◁think▷", r"◁/think▷"),  # Kimi
)
# A mark in the middle of a line may be a string of the program: it begins a line, or ends one.
_BLOCKS = [re.compile(rf"^[ \t]*{opening}.*?{closing}", re.DOTALL | re.MULTILINE) for opening, closing in _MARKS]
_OPEN = [re.compile(rf"^[ \t]*{opening}.*", re.DOTALL | re.MULTILINE) for opening, _ in _MARKS]
_CLOSINGS = "|".join([rf"</(?:{_NAMES})>", *(closing for _, closing in _MARKS[1:])])
_CLOSING = re.compile(rf"^[ \t]*(?:{_CLOSINGS})|(?:{_CLOSINGS})[ \t]*$", re.MULTILINE)
# gpt-oss: channels; without its special tokens their names are left.
_FINAL = re.compile(r".*<\|channel\|>final<\|message\|>|\A\s*analysis(?=[A-Z\s]).*assistantfinal", re.DOTALL)
_ANALYSIS = re.compile(r"<\|channel\|>analysis<\|message\|>.*", re.DOTALL)
_END = re.compile(r"<\|(?:end|return)\|>.*", re.DOTALL)


def without_thoughts(response: str) -> str:
    """Return a response without its thoughts; empty where they were not ended.

    A response that only ends thoughts began them in its prompt, as some chat templates do.
    """
    if final := _FINAL.match(response):
        return _END.sub("", response[final.end() :])
    if "<|channel|>analysis" in response:
        return _ANALYSIS.sub("", response)
    for block in _BLOCKS:
        response = block.sub("", response)
    if ends := list(_CLOSING.finditer(response)):
        response = response[ends[-1].end() :]
    for opening in _OPEN:
        response = opening.sub("", response)
    return response

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


_OPENED = re.compile(rf"(?:{'|'.join(opening.replace('?P<name>', '?:') for opening, _ in _MARKS)})\s*\Z")


def continued(opening: str, response: str) -> str:
    """Return a response as the text that follows the opening of the assistant's turn.

    Some chat templates open the thoughts themselves. A response that opens them again loses that mark; one without
    thoughts, as a reference or another model's, ends them first, for else the policy would learn to answer in them.

    Args:
        opening: The rendered prompt, up to where the response begins.
        response: The response.
    """
    opened = _OPENED.search(opening)
    if opened is None:
        return response
    mark = opened[0].strip()
    if response.lstrip().startswith(mark):
        return response.lstrip().removeprefix(mark).removeprefix("\n")
    closing = _closing_of(mark)
    return response if closing in response else f"\n{closing}\n\n{response}"


def _closing_of(mark: str) -> str:
    """Return the mark that ends what ``mark`` begins."""
    return mark.replace("begin", "end") if "begin" in mark else re.sub(r"^([<\[◁])", r"\1/", mark)

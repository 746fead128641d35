"""Removes thoughts of reasoning models and tokens of chat templates from a response: what is left is its answer.

Thoughts hold drafts of programs, which must be neither judged nor trained on in place of the answer.
"""

from __future__ import annotations

import re

from .fences import find_blocks
from .lines import is_python

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|seed:think"
# Opening and closing marks, as models and their chat templates write them. One that opens begins a line; one that
# closes begins a line, or ends one, or stands where no space is, as in "I am sure.</think>This is it".
_MARKS = (
    *((f"<{name}>", f"</{name}>") for name in _NAMES.split("|")),
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A
    (r"◁think▷", r"◁/think▷"),  # Kimi
)
_CLOSING = "|".join(closing for _, closing in _MARKS)
_MARK = re.compile(
    rf"^[ \t]*(?P<opening>{'|'.join(opening for opening, _ in _MARKS)})"
    rf"|(?:^[ \t]*|(?<=\S))(?P<closing>{_CLOSING})|(?P<glued>{_CLOSING})(?=\S|[ \t]*$)",
    re.MULTILINE | re.IGNORECASE,
)
# gpt-oss: channels; without its special tokens their names are left.
_FINAL = re.compile(r"<\|channel\|>final[^\n<]*(?:<\|constrain\|>[^\n<]*)?<\|message\|>")
_ANALYSIS = re.compile(r"<\|channel\|>(?:analysis|commentary)")
_BARE_ANALYSIS = re.compile(r"\A\s*analysis(?=[A-Z]|\s.*assistantfinal)", re.DOTALL)
_BARE_FINAL = "assistantfinal"
# Granite writes them as prose, and other models its first line: both or none.
_PROCESS = re.compile(r"\A\s*Here is my thought process:.*^[ \t]*Here is my response:", re.DOTALL | re.MULTILINE)
# Tokens of templates that begin an answer, with the name of its role.
_START = re.compile(
    r"\A(?:\s*(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<\|python_tag\|>|\[/INST\]|<\|START_RESPONSE\|>|"
    r"<\|begin_of_solution\|>|<\|CHATBOT_TOKEN\|>|<\|START_OF_TURN_TOKEN\|>|<\|assistant\|>|<｜Assistant｜>|"
    r"<\|im_start\|>(?:assistant)?|<\|start\|>(?:assistant)?|<start_of_turn>(?:model)?|"
    r"<\|start_of_role\|>(?:assistant)?<\|end_of_role\|>|<\|start_header_id\|>assistant<\|end_header_id\|>)\n*)+"
)
# They end the answer; whatever follows is another turn, or another file.
_END = re.compile(
    r"<\|(?:im_end|endoftext|end_of_text|eot_id|eom_id|end|return|EOT|user|im_start|start_header_id|end_of_solution|"
    r"END_RESPONSE|END_OF_TURN_TOKEN)\|>|<｜end▁of▁sentence｜>|<end_of_turn>|<seed:eos>|<(?:/s|eos)>(?=\s*$)|"
    r"<(?:file_sep|fim_prefix|fim_pad|jupyter_start|issue_start|commit_before)>",
    re.MULTILINE,
)
# What is looked for before anything else: most responses have none of it.
_ANY = re.compile(
    rf"<[|｜]|</?(?:{_NAMES}|s|bos|eos|\w+_of_turn|seed:eos|file_sep|fim_\w+|jupyter_start|issue_start|commit_before)>"
    r"|\[/?(?:THINK|INST)\]|◁|\A\s*(?:analysis|Here is my)",
    re.IGNORECASE,
)
_SPACE = re.compile(r"[ \t]*(?=\S)")
_STRING = re.compile(r"""(?<!\w)[rbfuRBFU]{0,2}(?:"[^"\n]*"|'[^'\n]*'|`[^`\n]+`)""")


def without_thoughts(response: str) -> str:
    r"""Return a response without its thoughts and its template's tokens; empty where the thoughts were not ended.

    A response that only ends thoughts began them in its prompt, as some chat templates do. What is in a string is no
    mark: within quotes on its line, or anywhere in a block that is Python.

    Args:
        response: The response, with ``\n`` for line ends.
    """
    if not _ANY.search(response) or is_python(response):
        return response
    marks = _without_strings(response)
    kept = []
    for start, end in _answers(marks):
        if began := _START.match(marks, start, end):
            start = began.end()
        kept.append((start, end))
    stop = next((found.start() for start, end in kept for found in _END.finditer(marks, start, end)), len(marks))
    return "".join(response[start : min(end, stop)] for start, end in kept if start < stop)


def _answers(marks: str) -> list[tuple[int, int]]:
    """Return the parts of a response that are no thoughts."""
    start, stop = _channels(marks)
    if began := _START.match(marks[start:stop]):
        start += began.end()
    answers: list[tuple[int, int]] = []
    position, within = start, ""
    for found in _MARK.finditer(marks[start:stop]):
        name = re.sub(r"end|begin|start|\W|_", "", (found["opening"] or found["closing"] or found["glued"]).lower())
        if found["opening"]:
            if not within:
                answers.append((position, start + found.start()))
                within = name
        elif within in ("", name):
            if not within:
                answers = []  # the template opened them
            space = _SPACE.match(marks, start + found.end())
            position, within = space.end() if space else start + found.end(), ""
    if not within:
        answers.append((position, stop))
    return answers


def _channels(marks: str) -> tuple[int, int]:
    """Return where the answer begins and ends, by what models write that name the parts of a response in words."""
    if finals := list(_FINAL.finditer(marks)):
        return finals[-1].end(), len(marks)
    if analysis := _ANALYSIS.search(marks):
        return 0, analysis.start()
    if _BARE_ANALYSIS.match(marks):
        final = marks.rfind(_BARE_FINAL)
        return final + len(_BARE_FINAL) if final >= 0 else len(marks), len(marks)
    process = _PROCESS.match(marks)
    return process.end() if process else 0, len(marks)


def _without_strings(response: str) -> str:
    """Return a text of the same length in which no string holds a mark."""
    marks = _STRING.sub(lambda found: "·" * len(found[0]), response)
    lines = marks.split("\n")
    for block in find_blocks(response):
        if block.closed and is_python(block.text):
            for number in range(block.start + 1, block.stop):
                lines[number] = "·" * len(lines[number])
    return "\n".join(lines)


def continued(opening: str, response: str) -> str:
    """Return a response as the text that follows the opening of the assistant's turn.

    Some chat templates open the thoughts themselves. A response that opens them again loses that mark; one without
    thoughts, as a reference or another model's, ends them first, for else the policy would learn to answer in them.

    Args:
        opening: The rendered prompt, up to where the response begins.
        response: The response.
    """
    for begins, ends in _MARKS:
        if opened := re.search(rf"{begins}\s*\Z", opening):
            mark, closing = opened[0].strip(), ends.replace("\\", "")
            if response.lstrip().startswith(mark):
                return response.lstrip().removeprefix(mark).removeprefix("\n")
            return response if closing in response else f"\n{closing}\n\n{response}"
    return response

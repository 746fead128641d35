"""How a problem is put to a model."""

from __future__ import annotations

import ast
import dataclasses
import warnings
from typing import Literal

from rrtf_trl.records import Problem, RecordError

PromptForm = Literal["as_is", "paper", "chat"]

_CHAT = "Solve this task with a Python program. Answer with the code alone, in one fenced block.\n\n{prompt}"


def render_prompt(problem: Problem, form: PromptForm) -> Problem:
    """Return the problem with its prompt in another form.

    Args:
        problem: A problem whose prompt is plain text, either an instruction in prose or the head of a
            function with a docstring.
        form: ``as_is`` leaves the prompt alone. ``paper`` is PanGu-Coder2's: the instruction in triple
            quotes before the signature, so that the response is the function's body. ``chat`` makes one
            user message, for models with a chat template.

    Raises:
        RecordError: If the prompt is a list of messages already, or the signature cannot be found.
    """
    if form == "as_is":
        return problem
    if not isinstance(problem.prompt, str):
        raise RecordError(f"field prompt: the form {form!r} is made from text, but this prompt is chat messages")
    if form == "chat":
        content = _CHAT.format(prompt=problem.prompt)
        return dataclasses.replace(problem, prompt=[{"role": "user", "content": content}])
    if form != "paper":
        raise RecordError(f"prompt form {form!r} is not one of as_is, paper, chat")
    return dataclasses.replace(problem, prompt=_paper_prompt(problem))


def _paper_prompt(problem: Problem) -> str:
    assert isinstance(problem.prompt, str)
    head = _function(problem.prompt + "\n    pass\n", problem.entry_point)
    if head is not None:
        before, signature, docstring = head
        return f'{before}"""{docstring or problem.prompt.strip()}"""\n{signature}\n'
    known = _function(problem.reference or "", problem.entry_point)
    if known is None:
        raise RecordError(
            f"field prompt: no signature of {problem.entry_point!r} in the prompt or the reference, which the form "
            "'paper' needs; use prompt_form=chat or as_is"
        )
    return f'"""{problem.prompt.strip()}"""\n{known[1]}\n'


def _function(code: str, name: str | None) -> tuple[str, str, str] | None:
    """Return (the code before the function, its signature, its docstring), or None if it is not there."""
    try:
        with warnings.catch_warnings(action="ignore"):  # published prompts have escapes such as \w
            tree = ast.parse(code)
    except SyntaxError:
        return None
    lines = code.splitlines(keepends=True)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            body_line = node.body[0].lineno
            signature = "".join(lines[node.lineno - 1 : body_line - 1]).rstrip() or lines[node.lineno - 1].rstrip()
            return "".join(lines[: node.lineno - 1]), signature, (ast.get_docstring(node) or "").strip()
    return None

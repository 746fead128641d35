"""The forms of a problem's prompt."""

from __future__ import annotations

import ast
import dataclasses
import re
from typing import Literal, get_args

from rrtf_trl.programs.assemble import is_code
from rrtf_trl.records import PUBLISHED_PROMPT, SIGNATURE, AssertTests, Problem, RecordError, StdioTests

from .syntax import functions

PromptForm = Literal["as_is", "completion", "paper", "chat"]

_CHAT = "Solve this task with a Python program. Answer with the code alone, in one fenced block.\n\n{prompt}"
_CHAT_STDIO = (
    "Solve this task with a whole Python program that reads its standard input and writes the answer to its "
    "standard output. Answer with the code alone, in one fenced block.\n\n{prompt}"
)


def render_prompt(problem: Problem, form: PromptForm, system_prompt: str | None = None) -> Problem:
    """Return the problem with its prompt in another form.

    Args:
        problem: A problem whose prompt is plain text, either an instruction in prose or the head of a
            function with a docstring.
        form: ``as_is`` keeps the prompt. ``completion`` is for base models: code that the response continues. An
            instruction in prose becomes a docstring, followed by the signature if the problem has one; otherwise the
            docstring ends in the first assert statement, which names the function (as the BigCode harness and EvalPlus
            ask MBPP). ``paper`` is PanGu-Coder2's: the instruction in triple quotes before the signature, so that the
            response is the function's body. ``chat`` makes one user message with the same hints, for models with a
            chat template.

        system_prompt: A system message to come before the others, of prompts that are messages.

    Raises:
        RecordError: If the prompt is a list of messages already, or the signature cannot be found; or there is a
            system prompt, and the prompt is text or has a system message of its own.
    """
    if form not in get_args(PromptForm):
        raise RecordError(f"prompt form {form!r} is not one of {', '.join(get_args(PromptForm))}")
    if form == "as_is":
        return _with_system_prompt(problem, system_prompt)
    if not isinstance(problem.prompt, str):
        raise RecordError(f"field prompt: the form {form!r} is made from text, but this prompt is chat messages")
    if form == "chat":
        prompt = [{"role": "user", "content": _chat_text(problem)}]
        return _with_system_prompt(_with_prompt(problem, prompt), system_prompt)
    if system_prompt is not None:
        raise RecordError(f"a system prompt is a chat message, and the form {form!r} makes text: use prompt_form=chat")
    return _with_prompt(problem, _paper_prompt(problem) if form == "paper" else _completion_prompt(problem))


def _with_system_prompt(problem: Problem, system_prompt: str | None) -> Problem:
    if system_prompt is None:
        return problem
    if isinstance(problem.prompt, str):
        raise RecordError("a system prompt is a chat message, and this prompt is text: use prompt_form=chat")
    if problem.prompt[0]["role"] == "system":
        raise RecordError(
            "field prompt: it begins with a system message already, beside which there is a system prompt"
        )
    return dataclasses.replace(problem, prompt=[{"role": "system", "content": system_prompt}, *problem.prompt])


def _with_prompt(problem: Problem, prompt: str | list[dict[str, str]]) -> Problem:
    if prompt == problem.prompt:
        return problem
    metadata = {PUBLISHED_PROMPT: problem.prompt, **problem.metadata}
    return dataclasses.replace(problem, prompt=prompt, metadata=metadata)


def _chat_text(problem: Problem) -> str:
    prompt = str(problem.prompt).rstrip() + "\n"
    text = (_CHAT_STDIO if isinstance(problem.tests, StdioTests) else _CHAT).format(prompt=prompt)
    if is_code(str(problem.prompt)):
        return text
    if example := _example(problem):
        text += f"\nYour code should pass this test:\n\n{example}\n"
    if signature := _signature(problem):
        text += f"\nComplete this code:\n\n```python\n{signature.rstrip()}\n```\n"
    return text


def _completion_prompt(problem: Problem) -> str:
    prompt = str(problem.prompt)
    if is_code(prompt):
        return prompt
    signature = _signature(problem)
    # After a signature the response is the body; an example would only repeat the function's name.
    example = "" if signature else _example(problem)
    text = _quotable("\n".join(filter(None, [prompt.strip(), example])))
    return f'"""\n{text}\n"""\n' + (signature.rstrip() + "\n" if signature else "")


def _example(problem: Problem) -> str:
    """Return the first assert statement if the prompt does not show a call of the function, else ``""``."""
    if not isinstance(problem.tests, AssertTests) or not problem.entry_point:
        return ""
    name = problem.entry_point.rpartition(".")[2]
    return "" if re.search(rf"\b{re.escape(name)}\(", str(problem.prompt)) else problem.tests.asserts[0].strip()


def _signature(problem: Problem) -> str:
    signature = problem.metadata.get(SIGNATURE) or ""
    return signature if isinstance(signature, str) else ""


def _quotable(text: str) -> str:
    return text.replace('"""', "'''")


def _paper_prompt(problem: Problem) -> str:
    assert isinstance(problem.prompt, str)
    head = _function(problem.prompt + "\n    pass\n", problem.entry_point)
    if head is not None:
        before, signature, docstring = head
        return f'{before}"""{docstring or problem.prompt.strip()}"""\n{signature}\n'
    instruction = _quotable(_unquoted(problem.prompt.strip()))
    if signature := _signature(problem):
        return f'"""{instruction}"""\n{signature.rstrip()}\n'
    known = _function(problem.reference or "", problem.entry_point)
    if known is None:
        raise RecordError(
            f"field prompt: no signature of {problem.entry_point!r} in the prompt or the reference, which the form "
            "'paper' needs; use prompt_form=chat or as_is"
        )
    return f'"""{instruction}"""\n{known[1]}\n'


def _unquoted(text: str) -> str:
    """Return the instruction of a prompt that is only a docstring, as EvalPlus' MBPP prompts are."""
    match = re.fullmatch(r'"""(.*)"""', text, re.DOTALL)
    return match[1].strip() if match and '"""' not in match[1] else text


def _function(code: str, name: str | None) -> tuple[str, str, str] | None:
    """Return the code before a function, its signature and its docstring; ``None`` if the function is not there."""
    node = next((node for node in functions(code) if node.name == name), None)
    if node is None:
        return None
    lines = code.splitlines(keepends=True)
    start, body = node.lineno - 1, node.body[0].lineno - 1
    signature = "".join(lines[start:body]).rstrip() or lines[start].rstrip()
    return "".join(lines[:start]), signature, (ast.get_docstring(node) or "").strip()

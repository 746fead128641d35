"""Where the response of a base model is cut: it goes on to the next task, up to the limit, if nothing ends it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from rrtf_trl.programs.assemble import is_code
from rrtf_trl.records import Problem

Stops: TypeAlias = Literal["auto"] | Sequence[str] | None
"""Texts that end a response, ``None`` for none, or ``auto``: those of :func:`stops_of` for the form of the prompt."""

# Much as BigCode's harness and EvalPlus end the responses of base models; a comment at column 0 may be in a body.
_AFTER_BODY = (
    "\ndef ", "\nasync def ", "\nclass ", "\n@", "\nif ", "\nprint(", "\nassert ", "\nimport ", "\nfrom ", "\n```",
)  # fmt: skip
_AFTER_PROGRAM = ("\nassert ", "\nprint(", "\nif __name__", '\n"""', "\n```")


def stops_of(problem: Problem, stops: Stops) -> tuple[str, ...]:
    """Return the texts of which the first ends a response to a problem.

    Args:
        problem: The problem. Chat models end their responses themselves, and so does whoever is asked in prose: for
            these ``auto`` has none.
        stops: See :data:`Stops`.
    """
    if stops != "auto":
        return tuple(stops or ())
    if not isinstance(problem.prompt, str) or not is_code(problem.prompt) or not problem.entry_point:
        return ()
    name = problem.entry_point.partition(".")[0]
    is_body = re.search(rf"^(?:async )?(?:def|class) {re.escape(name)}\b", problem.prompt, re.MULTILINE)
    return _AFTER_BODY if is_body else _AFTER_PROGRAM


def cut_at_stop(response: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return a response up to the first text that ends it, and whether there is one.

    What is at its start ends nothing: a response may begin with a fence.

    Args:
        response: The response.
        stops: The texts.
    """
    start = len(response) - len(response.lstrip())
    found = [place for stop in stops if (place := response.find(stop, start)) >= 0]
    return (response[: min(found)], True) if found else (response, False)

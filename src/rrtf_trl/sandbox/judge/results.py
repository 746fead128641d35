"""What the judge says of one program.

States, by the first rule that applies:

- ``timeout``, ``memory``, ``refused``: the program ran out of time or memory, or wrote to the judge's
  channel, or the tests pass it what cannot cross;
- ``compile_error``: it does not compile;
- ``runtime_error``: its module ended in an exception, or lacks the entry point, or no test passed and in
  at least one an exception was raised or the program's process ended;
- ``passed``: every test passed;
- ``partial``: it ran, and at least one answer was wrong; ``passed`` may be 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..common.faults import Fault, LoadError
from .conversation import Conversation


@dataclass
class ProgramResult:
    """The judge's part of a :class:`..job.Outcome`, which describes the fields.

    Args:
        state: As above; ``infrastructure`` where the sandbox failed.
        retry: Whether to run the program again: see :attr:`.conversation.Conversation.accident`. No part of outcomes.
        used_up: For ``timeout``, whether it used up its processor time. No part of outcomes.
        idle: Whether it used hardly any processor time. No part of outcomes.
    """

    state: str
    passed: int
    total: int
    message: str = ""
    test: str | None = None
    test_index: int | None = None
    expected: str | None = None
    got: str | None = None
    exception: str | None = None
    decided_by: str = "judge"
    retry: bool = False
    used_up: bool = False
    idle: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return dict(vars(self))


def of_failure(error: LoadError | Fault, total: int, retry: bool = False) -> ProgramResult:
    """Return the result of a program that failed as a whole, before or between its tests."""
    if isinstance(error, LoadError):
        state = "compile_error" if error.stage == "compile" else "runtime_error"
    else:
        states = {"ended": "runtime_error", "raised": "runtime_error", "unsupported": "refused"}
        state = states.get(error.kind, error.kind)
    return ProgramResult(state, 0, total, str(error), exception=error.exception, retry=retry)


def if_answered_once(result: ProgramResult, conversation: Conversation) -> ProgramResult:
    """Return ``result``, or a refusal if the program answered a request twice; for an exchange that has ended."""
    if conversation.answered_too_much and result.passed:
        message = "the program wrote to the judge's channel: a reply that was not requested"
        return ProgramResult("refused", 0, result.total, message)
    return result

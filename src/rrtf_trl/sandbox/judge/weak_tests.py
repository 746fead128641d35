"""Judges a program by tests that its own process runs, with expected values and all: with weak trust."""

from __future__ import annotations

from typing import Any

from ..common import codec
from ..common.faults import Fault, LoadError
from ..common.messages import cut
from .replay import load_failure
from .results import ProgramResult, if_answered_once, of_failure
from .runner import Runner


def judge_weakly(kind: str, tests: dict[str, Any], entry: str | None, code: str, runner: Runner) -> ProgramResult:
    """Have the program's own process run the tests; see :mod:`..guest.weak`."""
    conversation = runner.conversation()
    request = {"weak": kind, "tests": codec.pack(tests), "entry_point": entry, "code": code}
    try:
        conversation.send(codec.dump({"id": conversation.first, **request}))
        answer, payload = conversation.answer(conversation.first)
        if answer == "f":
            raise load_failure(payload, conversation)
        passed, total, message = payload
        passed, total, message = int(passed), int(total), cut(str(message), 1000)
        result = ProgramResult("passed" if passed == total > 0 else "partial", passed, total, message)
    except (LoadError, Fault) as error:
        result = of_failure(error, 1)
    except (TypeError, ValueError):
        result = ProgramResult("refused", 0, 1, "the program wrote to the judge's channel")
    finally:
        runner.end(conversation)
    result.retry = conversation.accident
    return if_answered_once(result, conversation)

"""Count failed candidates by state, exception and first failed test."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rrtf_trl.records import Judgement

# Judgements of older stores have the exception only in their messages.
_NAME = r"(?:\w*(?:Error|Exception|ExceptionGroup|Interrupt|Exit|Warning)|Stop(?:Async)?Iteration)"
_EXCEPTION = re.compile(rf"\b({_NAME})\b(?=:| |$|,|\))")
# An assertion's text or a returned value may name an exception too. The one that ended a call is between the test's
# label and the call.
_ENDED_A_CALL = re.compile(
    rf"(?:check|(?:test|case) \d+(?:: assert (?:(?! returned ).)*)?): "
    rf"(?:({_NAME})(?:: .*)?|the program ended.*) in \w+\(",
    re.DOTALL,
)
_TEST = re.compile(r"^(?:test|case) (\d+)\b")

WRONG_ANSWER = "wrong answer"
"""The ``exception`` of a failure where the program returned a wrong answer."""


@dataclass(frozen=True)
class Failure:
    """How one candidate failed.

    Args:
        state: The judgement's state.
        exception: The exception's type; ``wrong answer`` where there was none; empty where neither is known, as for
            a timeout or a program that ended its own process.
        test: The index of the first failed test; ``None`` where it is not known, since the program did not load or
            the tests are one function, as HumanEval's.
    """

    state: str
    exception: str
    test: int | None

    @classmethod
    def of(cls, judgement: Judgement) -> Failure | None:
        """Return how a candidate failed, or ``None`` if it passed.

        Raises:
            ValueError: If the judgement is not one of tests.
        """
        if judgement.state is None:
            raise ValueError(f"{judgement.feedback} gives no state: only judgements of tests have failures")
        if judgement.state == "passed":
            return None
        state, detail = judgement.state, judgement.detail
        message = str(detail.get("message", ""))
        label = _TEST.match(str(detail.get("test") or message))
        test = detail.get("test_index", int(label[1]) if label else None)
        known = "test" in detail or "exception" in detail
        exception = detail.get("exception") if known else _in_message(state, message)
        if state in ("timeout", "memory", "refused"):
            exception = ""
        elif exception is None:
            exception = WRONG_ANSWER if state == "partial" else ""
        return cls(state, exception, test)


def _in_message(state: str, message: str) -> str | None:
    """Return the exception that the message of a judgement from an older store names."""
    ended = _ENDED_A_CALL.match(message)
    if ended:
        return ended[1] or ""
    found = _EXCEPTION.search(message) if state != "partial" else None
    return found[1] if found else None


def count_failures(counts: Counter[Failure]) -> list[dict[str, Any]]:
    """Return rows of ``state``, ``exception``, ``test`` and ``count``, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0].state, item[0].exception, item[0].test or 0))
    return [{**asdict(failure), "count": count} for failure, count in ordered]


def base_passed(judgement: Judgement, base_tests: int) -> bool:
    """Return whether a candidate passes the first ``base_tests`` of its tests, which are EvalPlus' base tests."""
    failure = Failure.of(judgement)
    return failure is None or (failure.test is not None and failure.test >= base_tests)

"""Judges a whole program by what it prints: each case runs in a process of its own, with limits of its own."""

from __future__ import annotations

import os
import tempfile
from typing import IO, Any

from ..common import codec, protocol
from ..common.compare import first_difference
from ..common.faults import Fault, LoadError
from ..common.messages import cut
from .conversation import Conversation
from .replay import load_failure
from .results import ProgramResult, of_failure
from .runner import Runner

_OUTPUT_MARGIN = 65536
"""Bytes that a program may always print beyond what is expected."""


def judge_program(tests: dict[str, Any], code: str, runner: Runner) -> ProgramResult:
    """Judge a whole program.

    Args:
        tests: Under ``stdio``, ``input`` and ``output`` of each case; and the options of the comparison.
        code: The program.
        runner: Starts its processes.

    Raises:
        Broken: If the sandbox failed.
    """
    cases: list[dict[str, str]] = tests["stdio"]
    blanks, tolerance = tests.get("ignore_trailing_blanks", True), tests.get("float_tolerance", 0.0)
    result, raised = ProgramResult("partial", 0, len(cases)), False
    for index, case in enumerate(cases):
        expected = case["output"].encode("utf-8", "surrogateescape")
        most = max(runner.limits.output_bytes, len(expected) + _OUTPUT_MARGIN)
        wrong = ""
        failure: LoadError | Fault | None = None
        with _file() as stdin, _file() as stdout:
            stdin.write(case["input"].encode("utf-8", "surrogateescape"))
            stdin.seek(0)
            conversation = runner.conversation((stdin.fileno(), stdout.fileno()))
            try:
                _run(code, conversation)
                wrong = _difference(stdout, expected, most, blanks, tolerance)
            except (LoadError, Fault) as error:
                failure, wrong = error, str(error)
            finally:
                runner.end(conversation)
        result.retry |= conversation.accident
        if isinstance(failure, LoadError):
            if failure.stage == "compile":
                return of_failure(failure, len(cases))
            raised = True
        # A program that was ended has failed, whatever else it sent.
        if not isinstance(failure, Fault) and conversation.answered_too_much:
            return ProgramResult("refused", 0, len(cases), "the program wrote to the judge's channel")
        if not wrong:
            result.passed += 1
        elif not result.message:
            result.test, result.test_index = f"case {index}", index
            result.message = f"case {index}: {wrong}"[:1000]
            result.exception = failure.exception if failure is not None else None
        if isinstance(failure, Fault):
            result.state = of_failure(failure, len(cases)).state
            return result
    if result.passed == result.total:
        result.state = "passed"
    elif raised and not result.passed:
        result.state = "runtime_error"
    return result


def _run(code: str, conversation: Conversation) -> None:
    """Have a program executed as ``__main__``; returns when its process has ended with status 0.

    Raises:
        LoadError: If it does not compile, or ends in an exception or with another status.
        Fault: If it hangs, is killed or breaks the protocol.
    """
    conversation.send(codec.dump({"id": conversation.first, "code": code}))
    try:
        kind, payload = conversation.receive(conversation.first)
    except protocol.Closed:
        fault = conversation.end_fault()
        if fault is None:
            return
        if fault.kind == "ended":
            raise LoadError("load", fault.text, fault.exception) from None
        raise conversation.note_fault(fault) from None
    if kind != "f":
        raise conversation.fail("refused", "a reply of the wrong shape")
    raise load_failure(payload, conversation)


def _difference(stdout: IO[bytes], expected: bytes, most: int, blanks: bool, tolerance: float) -> str:
    """Return how what was printed differs from what is expected; empty where it does not."""
    stdout.seek(0)
    printed = stdout.read(most + 1)
    if len(printed) > most:
        return f"it printed more than {most} bytes"
    return cut(first_difference(printed, expected, blanks, tolerance) or "")


def _file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("rrtf"), "wb+")
    return tempfile.TemporaryFile()

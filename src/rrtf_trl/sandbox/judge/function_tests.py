"""Judges a program by tests that use its functions and classes.

The tests are a :class:`.script.Script`: all of it is sent to the program's process at once, which answers with plain
data; the answers are compared after that process has ended.
"""

from __future__ import annotations

from typing import Any

from ..common.faults import Fault, LoadError
from .compiled_tests import CompiledTests, Needs
from .conversation import Conversation
from .replay import UnitAnswers, UnitResult, collect, decide, load_failure, request
from .results import ProgramResult, of_failure
from .runner import Runner
from .script import Script


def judge_functions(tests: CompiledTests, code: str, runner: Runner) -> ProgramResult:
    """Judge a program that defines functions and classes.

    Raises:
        Broken: If the sandbox failed.
        BadTests: If the tests are wrong.
    """
    result, results = _run(tests, code, runner)
    needs = any(one.operation or one.in_place or one.live for one in results)
    if needs and tests.learn(lambda: _needs(tests, runner)):
        result, _ = _run(tests, code, runner)
    return result


def _needs(tests: CompiledTests, runner: Runner) -> Needs:
    """Return what the reference's answers need."""
    _, results = _run(tests, tests.context_source, runner)
    operations = {one.operation for one in results if one.operation}
    return Needs(operations, any(one.in_place for one in results), {name for one in results for name in one.live})


def _run(tests: CompiledTests, code: str, runner: Runner) -> tuple[ProgramResult, list[UnitResult]]:
    script, data = tests.script()
    total = len(script.units) - 1
    conversation = runner.conversation()
    answers: list[UnitAnswers] = []
    failure: LoadError | Fault | None = None
    try:
        defined = _load(conversation, request(data, code, tests.names, conversation.first))
        if tests.must_define and tests.entry not in defined:
            raise LoadError("load", f"the program does not define {tests.entry}")
        collect(script, conversation, answers)
    except (LoadError, Fault) as error:
        failure = error
    finally:
        runner.end(conversation)
    if conversation.broken is not None:
        raise conversation.broken
    if not answers:
        assert failure is not None
        return of_failure(failure, total, conversation.accident), []
    if failure is None and conversation.answered_too_much:
        return ProgramResult("refused", 0, total, "the program wrote to the judge's channel: one answer too many"), []
    runner.alarm.set(runner.limits.wall, lambda fault: Fault("timeout", "its answers take too long to compare"))
    try:
        variables: dict[str, Any] = {}
        results = [decide(script, one, tests.entry, tests.in_place, variables) for one in answers]
    except Fault as error:
        return of_failure(error, total), []
    finally:
        runner.alarm.clear()
    result = _result(script, answers, results, failure)
    if not script.calls and result.state in ("passed", "partial", "runtime_error"):
        result.state, result.passed = "partial" if tests.must_define else "runtime_error", 0
        result.message = result.message or "the tests call nothing of the program"
    missing = [name for name in tests.names if name not in defined]
    if missing and not result.passed and result.state == "runtime_error":
        result.message = f"the program does not define {', '.join(missing)}"
        result.test = result.test_index = result.exception = None
    result.retry = conversation.accident and all(not one.error for one in results[:-1])
    return result, results


def _load(conversation: Conversation, first: bytes) -> list[str]:
    """Have the program executed; return those of the names in the request that it defines."""
    conversation.send(first)
    kind, payload = conversation.answer(conversation.first)
    if kind == "f":
        raise load_failure(payload, conversation)
    if kind != "l" or type(payload) is not list or not all(type(one) is str for one in payload):
        raise conversation.fail("refused", "a reply of the wrong shape")
    return payload


def _result(
    script: Script, answers: list[UnitAnswers], results: list[UnitResult], failure: LoadError | Fault | None
) -> ProgramResult:
    """Return the result of all units; those that were not reached have failed."""
    setup, *tests = results
    total = len(script.units) - 1
    passed, raised = 0, False
    first: ProgramResult | None = None
    by_program = setup.by_program or not script.judged
    for index, (one, answer) in enumerate(zip(tests, answers[1:], strict=True)):
        ended_here = failure is not None and not answer.complete
        if ended_here and not one.error:
            assert isinstance(failure, Fault)
            one.error = f"{failure.text} in {one.where}" if one.where else failure.text
            one.exception = failure.exception
            one.kind = "raised" if failure.kind in ("ended", "raised") else "assertion"
        if not one.error and not setup.error:
            passed += 1
            by_program |= one.by_program
            continue
        raised |= one.kind == "raised"
        if first is None and one.error:
            message = f"{one.label}: {one.error}"[:1000]
            at = index if one.label.startswith(("test ", "case ")) else None
            first = ProgramResult("", 0, 0, message, one.label, at, one.expected, one.got, one.exception)
    if setup.error:
        first = ProgramResult("", 0, 0, f"setup: {setup.error}"[:1000], exception=setup.exception)
        raised |= setup.kind == "raised"
    result = first or ProgramResult("", 0, 0)
    if isinstance(failure, Fault) and failure.kind in ("timeout", "memory", "refused"):
        state: str = failure.kind
    elif any(one.kind == "memory" for one in results):
        state = "memory"
    elif passed == total and failure is None:
        state = "passed"
    else:
        state = "runtime_error" if (raised or failure is not None) and passed == 0 else "partial"
    if failure is not None and not result.message:
        result.message, result.exception = str(failure), failure.exception
    result.state, result.passed, result.total = state, passed, total
    result.decided_by = "program" if by_program else "judge"
    return result

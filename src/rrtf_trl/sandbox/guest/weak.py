"""Runs tests in the program's own process, for jobs with ``trust="weak"``.

The program can reach the tests, the expected values and the counts here, so the outcome is true of an honest program
only. It is isolated as any program.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from typing import Any

from ..common import codec, protocol
from ..common.compare import same
from ..common.pytest_files import run_files, write_files
from .script import describe


def run(channel: protocol.Channel, request: dict[str, Any]) -> None:
    """Execute the program and its tests, and send ``[passed, total, message]``."""
    kind, tests = request["weak"], codec.unpack(request["tests"])
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    stage = "compile"
    try:
        code = compile(request["code"].removeprefix("\ufeff"), "<solution>", "exec", dont_inherit=True)
        stage = "load"
        exec(code, module.__dict__)
        answer = _KINDS[kind](module.__dict__, tests, request["entry_point"])
    except BaseException as error:
        channel.send(codec.dump([request["id"], "f", [stage, describe(error)]]))
        return
    channel.send(codec.dump([request["id"], "w", answer]))


def _count(runs: list[Callable[[], None]]) -> list[Any]:
    passed, message = 0, ""
    for index, one in enumerate(runs):
        try:
            one()
            passed += 1
        except BaseException as error:
            message = message or f"test {index}: {type(error).__name__}: {error}"[:500]
    return [passed, len(runs), message]


def _check(scope: dict[str, Any], tests: dict[str, Any], entry: str) -> list[Any]:
    exec(compile(tests["check"], "<check>", "exec", dont_inherit=True), scope)
    return _count([lambda: scope["check"](scope[entry])])


def _asserts(scope: dict[str, Any], tests: dict[str, Any], entry: str | None) -> list[Any]:
    exec(compile(tests["setup"], "<setup>", "exec", dont_inherit=True), scope)
    return _count([lambda line=line: exec(line, scope) for line in tests["asserts"]])  # type: ignore[misc]


def _cases(scope: dict[str, Any], tests: dict[str, Any], entry: str) -> list[Any]:
    def run(case: dict[str, Any]) -> None:
        if not same(case["expected"], scope[entry](*case["args"], **case.get("kwargs", {})), tests["atol"]):
            raise AssertionError(f"expected {case['expected']!r}"[:200])

    return _count([lambda case=case: run(case) for case in tests["cases"]])  # type: ignore[misc]


def _pytest(scope: dict[str, Any], tests: dict[str, Any], entry: str | None) -> list[Any]:
    folder = os.getcwd()
    write_files(tests["files"], folder)
    counts = run_files(folder, list(tests["files"]))
    return [counts.passed, max(counts.collected, 1), counts.message]


_KINDS = {"check": _check, "asserts": _asserts, "cases": _cases, "pytest": _pytest}

"""Plain execution of a program with its tests, by which the sandbox is measured."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import tempfile
import types
from collections.abc import Callable
from typing import Any

import _pytest.config

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, PytestTests, Tests

for _plugin in _pytest.config.default_plugins:  # once, and not in every process
    importlib.import_module(f"_pytest.{_plugin}")

SECONDS = 2
_MEMORY = 2**31


def passes(code: str, tests: Tests, entry: str) -> bool | None:
    """Return whether a program passes its tests, in a process of its own; None where it takes too long to say.

    Args:
        code: The program.
        tests: Its tests.
        entry: The function or class that is judged.
    """
    answer = apart(lambda: _run(code, tests, entry))
    return None if answer == "slow" else answer == "passed"


def apart(run: Callable[[], str | None]) -> str:
    """Return what a function returns in a process of its own; ``failed`` if it raises, ``slow`` if it does not end."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer = "failed"
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nothing, number)
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(4 * SECONDS)
            os.chdir(tempfile.gettempdir())
            answer = run() or "passed"
        finally:
            os.write(write, answer.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return answer or "slow"


def executed(code: str) -> dict[str, Any]:
    """Execute a program as module ``solution``; return its globals."""
    sys.setrecursionlimit(1000)
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    exec(compile(code, "<solution>", "exec"), module.__dict__)
    return module.__dict__


def _run(code: str, tests: Tests, entry: str) -> None:
    scope = executed(code)
    if isinstance(tests, AssertTests):
        exec(tests.setup, scope)
        for text in tests.asserts:
            exec(text, scope)
    elif isinstance(tests, CheckTests):
        exec(tests.check, scope)
        scope["check"](scope[entry])
    elif isinstance(tests, CaseTests):
        for case in tests.cases:
            assert scope[entry](*case["args"], **case.get("kwargs", {})) == case["expected"]
    elif isinstance(tests, PytestTests):
        _run_pytest(tests)
    else:
        raise TypeError(tests)


def _run_pytest(tests: PytestTests) -> None:
    from rrtf_trl.sandbox.common.pytest_files import run_files, write_files

    with tempfile.TemporaryDirectory() as folder:
        write_files(tests.files, folder)
        counts = run_files(folder, list(tests.files))
        os.chdir("/")
    assert counts.collected and counts.collected == counts.passed, counts.message

"""How each kind of tests is run against a program, and what the results amount to.

This runs in a process of the judge that is forked for one job. It executes the tests, which are trusted, and
reaches the program through a :class:`~.session.Session` only: functions of the program appear in the tests as
:class:`Proxy` objects, and what comes back is plain data, so every ``==`` here is Python's own.

States, by the first rule that fits:

- ``timeout``, ``memory``, ``refused``: the program ran out of time or memory, or wrote to the judge's
  channel; ``refused`` also where the tests need what cannot cross (objects of the program's own classes);
- ``compile_error``: it does not compile;
- ``runtime_error``: its module ended in an exception, or lacks the entry point, or no test passed and at
  least one ended in an exception or with the program's process gone;
- ``passed``: every test passed;
- ``partial``: it ran, and at least one test failed; ``passed`` may be 0.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import os
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

from .compare import first_difference, lines, same
from .session import Broken, Fault, Limits, LoadError, Session, cut, end_program, short

Verdict = dict[str, Any]
"""``state``, ``passed``, ``total`` and ``message``; the state may also be ``infrastructure``."""


class BadTests(Exception):
    """The tests themselves are at fault, whatever the program."""


class Proxy:
    """A function of the program, as the tests see it: a call goes out and comes back by value."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the program's function; see :meth:`.session.Session.call`."""
        return self._session.call(self.__name__, args, kwargs)


class Tally:
    """Counts tests and keeps the first failure's message."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.passed = 0
        self._message = ""
        self._raised = False
        self._stop: Fault | None = None

    def test(self, session: Session, run: Callable[[], None], label: str) -> bool:
        """Run one test, which passes by returning; return whether the program can take another."""
        session.fault = None
        error: BaseException | None = None
        try:
            run()
        except BaseException as caught:
            if isinstance(caught, Broken) or (isinstance(caught, LoadError) and caught.stage == "compile"):
                raise
            error = caught
        call = session.last_call()
        where = f" in {call}" if call else ""
        fault = session.fault  # also where the test swallowed it and went on
        if fault is not None:
            self._raised |= fault.kind in ("ended", "raised")
            self._stop = fault if fault.kind in ("timeout", "memory", "refused") else None
            self._fail(f"{label}: {fault.text}{where}")
            return not fault.fatal
        if error is None:
            self.passed += 1
        elif isinstance(error, AssertionError):
            self._fail(f"{label}: " + "; ".join(part for part in (call, cut(str(error))) if part))
        elif isinstance(error, LoadError):
            self._raised = True
            self._fail(f"{label}: {error}")
        else:
            self._raised = True
            self._fail(f"{label}: {type(error).__name__}: {cut(str(error))}{where}")
        return True

    def _fail(self, message: str) -> None:
        self._message = self._message or message[:1000]

    def verdict(self) -> Verdict:
        """What the tests so far amount to; those that were never run have failed."""
        if self._stop is not None:
            state: str = self._stop.kind
        elif self.passed == self.total:
            state = "passed"
        else:
            state = "runtime_error" if self._raised and self.passed == 0 else "partial"
        return {"state": state, "passed": self.passed, "total": self.total, "message": self._message}


def judge(job: dict[str, Any], control: socket.socket, limits: Limits) -> Verdict:
    """Judge one program and return the verdict.

    Args:
        job: ``code``, ``kind``, ``tests``, ``entry_point`` and ``context``, as :mod:`.pool` sends them.
        control: The socket to an idle fork server.
        limits: What the program may use.

    Raises:
        Broken: If our own machinery failed.
    """
    total = _count(job)
    try:
        return _KINDS[job["kind"]](job, control, limits)
    except LoadError as error:
        return _failed("compile_error" if error.stage == "compile" else "runtime_error", total, str(error))
    except Fault as fault:
        state = {"ended": "runtime_error", "raised": "runtime_error", "unsupported": "refused"}.get(
            fault.kind, fault.kind
        )
        return _failed(state, total, fault.text)
    except BadTests as error:
        return _failed("infrastructure", total, f"the tests are broken: {error}")


def _check(job: dict[str, Any], control: socket.socket, limits: Limits) -> Verdict:
    entry, session = job["entry_point"], Session(control, limits)
    scope = _scope("rrtf_tests")
    scope.update(_helpers(job["context"], entry))
    # Tests that call the function by its name must meet the program's, not the reference in the context.
    scope[entry] = proxy = Proxy(session, entry)
    _run_trusted(job["tests"]["check"], scope, "check")
    check = scope.get("check")
    if not callable(check):
        raise BadTests("check: no function 'check' is defined")
    _load(session, job["code"], [entry])
    tally = Tally(1)

    def run() -> None:
        try:
            check(proxy)
        except AssertionError as error:
            raise AssertionError(_failing_line(error, job["tests"]["check"])) from error
        if session.calls == 0:
            raise AssertionError("the check made no call")

    tally.test(session, run, "check")
    return tally.verdict()


def _cases(job: dict[str, Any], control: socket.socket, limits: Limits) -> Verdict:
    entry, session = job["entry_point"], Session(control, limits)
    cases, atol = job["tests"]["cases"], job["tests"]["atol"]
    _load(session, job["code"], [entry])
    tally = Tally(len(cases))
    for index, case in enumerate(cases):

        def run(case: dict[str, Any] = case) -> None:
            answer = session.call(entry, case["args"], case.get("kwargs", {}))
            if not same(case["expected"], answer, atol):
                raise AssertionError(f"expected {short(case['expected'])}")

        if not tally.test(session, run, f"case {index}"):
            break
    return tally.verdict()


def _asserts(job: dict[str, Any], control: socket.socket, limits: Limits) -> Verdict:
    setup, asserts = job["tests"]["setup"], job["tests"]["asserts"]
    session, scope = Session(control, limits), _scope("rrtf_tests")
    # Without an entry point, any name may be the one that is judged: then the context's word is not taken.
    helpers = _helpers(job["context"], job["entry_point"]) if job["entry_point"] else {}
    names = [name for name in _called_names(setup, asserts, job["entry_point"]) if name not in helpers]
    found = session.load(job["code"], names)
    missing = [name for name in names if name not in found]
    if session.classes:
        used = ", ".join(sorted(session.classes))
        return _failed("refused", len(asserts), f"the tests make objects of the program's own class {used}, "
                       "which cannot cross to the judge")  # fmt: skip
    # A few tests lean on imports of the reference; a module of the standard library is ours to give.
    scope.update((name, importlib.import_module(name)) for name in missing if name in sys.stdlib_module_names)
    scope.update(helpers)
    scope.update((name, Proxy(session, name)) for name in found)
    _run_trusted(setup, scope, "setup")
    tally = Tally(len(asserts))
    for index, line in enumerate(asserts):
        code = _compile(line, f"test {index}")

        def run(code: types.CodeType = code) -> None:
            exec(code, scope)

        if not tally.test(session, run, f"test {index}: {cut(line.strip())}"):
            break
    verdict = tally.verdict()
    if session.calls == 0 and verdict["state"] != "refused":
        what = (
            f"the program does not define {', '.join(missing)}"
            if missing
            else "the tests called nothing of the program"
        )
        return _failed("runtime_error", len(asserts), what)
    return verdict


def _stdio(job: dict[str, Any], control: socket.socket, limits: Limits) -> Verdict:
    cases = job["tests"]["stdio"]
    tally = Tally(len(cases))
    for index, case in enumerate(cases):
        with open(os.memfd_create("stdin"), "wb+") as stdin, open(os.memfd_create("stdout"), "rb+") as stdout:
            stdin.write(case["input"].encode("utf-8", "surrogateescape"))
            stdin.seek(0)
            session = Session(control, limits, (stdin.fileno(), stdout.fileno()))

            def run(case: dict[str, str] = case, session: Session = session, stdout: Any = stdout) -> None:
                session.run_program(job["code"])
                stdout.seek(0)
                printed = stdout.read(limits.output_bytes + 1)
                if len(printed) > limits.output_bytes:
                    raise AssertionError(f"it printed more than {limits.output_bytes} bytes")
                answer, expected = lines(printed.decode("utf-8", "replace")), lines(case["output"])
                if answer != expected:
                    raise AssertionError(first_difference(answer, expected))

            try:
                goes_on = tally.test(session, run, f"case {index}")
            finally:
                end_program(control)
            if not goes_on:
                break
    return tally.verdict()


_KINDS = {"check": _check, "cases": _cases, "asserts": _asserts, "stdio": _stdio}


def _load(session: Session, code: str, names: list[str]) -> None:
    found = session.load(code, names)
    missing = [name for name in names if name not in found]
    if missing:
        raise LoadError("load", f"the program does not define {', '.join(missing)}")


def _helpers(context: str, entry_point: str) -> dict[str, Any]:
    """What the trusted context defines, but for the function that is judged."""
    scope = _scope("rrtf_context")
    _run_trusted(context, scope, "context")
    return {name: value for name, value in scope.items() if name != entry_point and not name.startswith("__")}


def _scope(name: str) -> dict[str, Any]:
    module = types.ModuleType(name)
    sys.modules[name] = module  # dataclasses and the like look their module up
    return module.__dict__


def _compile(code: str, what: str) -> types.CodeType:
    try:
        return compile(code, f"<{what}>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise BadTests(f"{what}: {error}") from None


def _run_trusted(code: str, scope: dict[str, Any], what: str) -> None:
    try:
        exec(_compile(code, what), scope)
    except Fault:
        raise
    except BaseException as error:
        if isinstance(error, BadTests):
            raise
        raise BadTests(f"{what}: {type(error).__name__}: {error}") from None


def _called_names(setup: str, asserts: list[str], entry_point: str | None) -> list[str]:
    """The names that the tests use and that only the program can define.

    A built-in name counts where it is the entry point, or, without one, where the tests call nothing else:
    MBPP has a task whose function is called ``sum``.
    """
    used: dict[str, None] = {}
    defined: set[str] = set()
    for text in (setup, *asserts):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            raise BadTests(f"{error} in {text[:80]!r}") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    used[node.id] = None
                else:
                    defined.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.arg):
                defined.add(node.arg)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                defined.update((item.asname or item.name).partition(".")[0] for item in node.names)
    names = [name for name in used if name not in defined and not hasattr(builtins, name)]
    if entry_point is not None:
        return list(dict.fromkeys([entry_point, *names]))
    if names:
        return names
    return list(dict.fromkeys(name for text in asserts for name in _first_called(text)))


def _first_called(line: str) -> list[str]:
    """``["f"]`` for ``assert f(...) == ...``."""
    for node in ast.parse(line).body:
        if isinstance(node, ast.Assert):
            first = node.test.left if isinstance(node.test, ast.Compare) else node.test
            if isinstance(first, ast.Call) and isinstance(first.func, ast.Name):
                return [first.func.id]
    return []


def _failing_line(error: BaseException, source: str) -> str:
    """The line of the check that raised, with its message."""
    lines, text, trace = source.splitlines(), str(error), error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<check>" and 0 < trace.tb_lineno <= len(lines):
            text = lines[trace.tb_lineno - 1].strip() + (f" ({error})" if str(error) else "")
        trace = trace.tb_next
    return text


def _count(job: dict[str, Any]) -> int:
    return 1 if job["kind"] == "check" else len(job["tests"][job["kind"]])


def _failed(state: str, total: int, message: str) -> Verdict:
    return {"state": state, "passed": 0, "total": total, "message": message[:1000]}

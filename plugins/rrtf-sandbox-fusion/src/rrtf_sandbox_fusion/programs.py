"""The programs that are sent to the server, and the reading of their output.

A function's answers are compared on this machine, which the program cannot influence: these outcomes are ``strict``.
Tests that must run in the program's process (``check``, asserts other than one call and one value) are ``weak``.
"""

from __future__ import annotations

import ast
import json
import secrets
from typing import Any

from rrtf_trl.records import AssertTests, CaseTests
from rrtf_trl.sandbox import Job

_CALLS = """\
import io, json, os, sys
_out = os.fdopen(os.dup(1), "w")
_request = json.loads(sys.stdin.read())
sys.stdout = sys.stderr = io.StringIO()

def _tagged(value, depth=0):
    if depth > 50: raise ValueError("too deep")
    if value is None or type(value) in (bool, int, str): return value
    if type(value) is float: return {"f": repr(value)}
    if type(value) in (list, tuple, set):
        return {type(value).__name__[:1]: [_tagged(item, depth + 1) for item in value]}
    if type(value) is dict:
        return {"d": [[_tagged(k, depth + 1), _tagged(v, depth + 1)] for k, v in value.items()]}
    return {"o": type(value).__name__}

def _print_and_exit(answers):
    _out.write(_request["mark"] + json.dumps(answers) + "\\n")
    _out.flush()
    os._exit(0)

try:
    _code = compile(_request["code"], "solution.py", "exec", dont_inherit=True)
except (SyntaxError, ValueError) as error:
    _print_and_exit({"compile_error": f"{type(error).__name__}: {error}"})
_names = {"__name__": "solution"}
try:
    exec(_code, _names)
    _function = _names[_request["entry"]]
except BaseException as error:
    _print_and_exit({"load_error": f"{type(error).__name__}: {error}"})
_answers = []
for _case in _request["cases"]:
    try:
        _answers.append([_tagged(_function(*_case["args"], **_case["kwargs"]))])
    except BaseException as error:
        _answers.append(f"{type(error).__name__}: {error}"[:500])
_print_and_exit({"answers": _answers})
"""


def called(job: Job, tests: CaseTests) -> tuple[str, str, str]:
    """Return the program that makes a job's calls, its stdin, and the mark that its line of answers begins with."""
    mark = f"rrtf-{secrets.token_hex(16)}:"
    cases = [{"args": case["args"], "kwargs": case.get("kwargs") or {}} for case in tests.cases]
    request = {"mark": mark, "code": job.code, "entry": job.entry_point, "cases": cases}
    return _CALLS, json.dumps(request), mark


def answers_in(printed: str, mark: str) -> Any:
    """Return the answers that a program of :func:`called` printed, or ``None`` if there are none."""
    lines = [line for line in printed.splitlines() if line.startswith(mark)]
    try:
        return json.loads(lines[0].removeprefix(mark)) if lines else None
    except (ValueError, RecursionError):
        return None


def untagged(value: Any) -> Any:
    """Return the value of a tagged answer; for a value that is not plain data, an object that equals nothing.

    Raises:
        ValueError: If the tags are not valid.
    """
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError("not one tag")
    [(tag, body)] = value.items()
    if tag == "f":
        return float(body)
    if tag == "d":
        return {untagged(key): untagged(item) for key, item in body}
    if tag in ("l", "t", "s"):
        return {"l": list, "t": tuple, "s": set}[tag](untagged(item) for item in body)
    return object()


def as_cases(tests: AssertTests, entry_point: str | None) -> CaseTests | None:
    """Return asserts as calls with expected results, if each is ``assert f(literals) == literal``; else ``None``."""
    cases = []
    try:
        for source in tests.asserts:
            [node] = ast.parse(source).body
            assert isinstance(node, ast.Assert)
            assert isinstance(node.test, ast.Compare)
            assert [type(op) for op in node.test.ops] == [ast.Eq]
            call = node.test.left
            assert isinstance(call, ast.Call)
            assert isinstance(call.func, ast.Name)
            assert call.func.id == entry_point
            kwargs = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
            assert len(kwargs) == len(call.keywords)
            case = {"args": [ast.literal_eval(arg) for arg in call.args], "kwargs": kwargs}
            assert json.loads(json.dumps(case)) == case  # the program would get a tuple as a list
            cases.append({**case, "expected": ast.literal_eval(node.test.comparators[0])})
    except (AssertionError, SyntaxError, ValueError, TypeError):
        return None
    return CaseTests(cases) if cases and not tests.setup.strip() else None


def with_tests(job: Job) -> tuple[str, str]:
    """Return a program that runs the tests in its own process, and the line that it prints if all pass."""
    mark = f"rrtf-{secrets.token_hex(16)}: passed"
    tests = job.tests
    if isinstance(tests, AssertTests):
        after = "\n".join([tests.setup, *tests.asserts])
    else:
        after = f"{getattr(tests, 'check', '')}\ncheck({job.entry_point})\n"
    return f"{job.code}\n\n{after}\nprint({mark!r})\n", mark

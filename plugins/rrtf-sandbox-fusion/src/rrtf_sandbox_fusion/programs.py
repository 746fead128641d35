"""The programs that are sent, and what is read of what they print.

The answers of a function come back and are compared here, where the program cannot reach: so a verdict is ``strict``.
Tests that can only run beside the program (``check``, asserts that are more than one call and one value) are ``weak``.
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
_said = json.loads(sys.stdin.read())
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

def _tell(answers):
    _out.write(_said["mark"] + json.dumps(answers) + "\\n")
    _out.flush()
    os._exit(0)

try:
    _code = compile(_said["code"], "solution.py", "exec", dont_inherit=True)
except (SyntaxError, ValueError) as error:
    _tell({"compile_error": f"{type(error).__name__}: {error}"})
_names = {"__name__": "solution"}
try:
    exec(_code, _names)
    _function = _names[_said["entry"]]
except BaseException as error:
    _tell({"load_error": f"{type(error).__name__}: {error}"})
_answers = []
for _case in _said["cases"]:
    try:
        _answers.append([_tagged(_function(*_case["args"], **_case["kwargs"]))])
    except BaseException as error:
        _answers.append(f"{type(error).__name__}: {error}"[:500])
_tell({"answers": _answers})
"""


def called(job: Job, tests: CaseTests) -> tuple[str, str, str]:
    """Return the program that makes a job's calls, its stdin, and the mark that its line of answers begins with."""
    mark = f"rrtf-{secrets.token_hex(16)}:"
    cases = [{"args": case["args"], "kwargs": case.get("kwargs") or {}} for case in tests.cases]
    said = {"mark": mark, "code": job.code, "entry": job.entry_point, "cases": cases}
    return _CALLS, json.dumps(said), mark


def answers_in(printed: str, mark: str) -> Any:
    """Return what a program of :func:`called` told, or ``None`` if it told nothing."""
    lines = [line for line in printed.splitlines() if line.startswith(mark)]
    try:
        return json.loads(lines[0].removeprefix(mark)) if lines else None
    except (ValueError, RecursionError):
        return None


def untagged(value: Any) -> Any:
    """Return the value that a program's answer stands for; what is no plain data equals nothing.

    Raises:
        ValueError: If it stands for none.
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
            assert json.loads(json.dumps(case)) == case  # a tuple would come there as a list
            cases.append({**case, "expected": ast.literal_eval(node.test.comparators[0])})
    except (AssertionError, SyntaxError, ValueError, TypeError):
        return None
    return CaseTests(cases) if cases and not tests.setup.strip() else None


def beside(job: Job) -> tuple[str, str]:
    """Return a program that runs the tests in the program's own process, and what it prints where all of them pass."""
    mark = f"rrtf-{secrets.token_hex(16)}: passed"
    tests = job.tests
    if isinstance(tests, AssertTests):
        after = "\n".join([tests.setup, *tests.asserts])
    else:
        after = f"{getattr(tests, 'check', '')}\ncheck({job.entry_point})\n"
    return f"{job.code}\n\n{after}\nprint({mark!r})\n", mark

# ruff: noqa: E501 - the programs are as they are
"""Jobs and outcomes as JSON, a backend on the other end of HTTP, and verdicts that are marked as weak."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from rrtf_trl.errors import FeedbackError
from rrtf_trl.feedback import UnitTests
from rrtf_trl.records import (  # fmt: skip
    AssertTests,
    Candidate,
    CaseTests,
    CheckTests,
    Problem,
    PytestTests,
    RecordError,
    StdioTests,
    Tests,
)  # fmt: skip
from rrtf_trl.sandbox import Job, Outcome, Sandbox, SandboxBackend, check_job

KINDS: dict[str, tuple[Tests, str, str | None]] = {
    "check": (CheckTests("def check(candidate):\n    assert candidate(2) == 4\n"), "def f(x): return x * x", "f"),
    "asserts": (AssertTests(["assert f(2) == 4", "assert f(3) == 9"]), "def f(x): return x * x", None),
    "cases": (CaseTests([{"args": [2], "expected": 4}], atol=1e-6), "def f(x): return x * x", "f"),
    "stdio": (StdioTests([{"input": "2", "output": "4"}], float_tolerance=1e-6), "print(int(input()) ** 2)", None),
    "pytest": (PytestTests({"test_f.py": "from solution import f\ndef test(): assert f(2) == 4\n"}), "def f(x): return x * x", None),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_jobs_and_outcomes_survive_json(kind: str, sandbox: Sandbox) -> None:
    tests, code, entry = KINDS[kind]
    job = Job("id", code, tests, entry, context="import math\n")
    again = Job.from_json(json.loads(json.dumps(job.to_json())))
    assert again == job
    for wrong in ("", "x = 1\nraise ValueError"):
        for outcome in sandbox.run_many([again, Job("id", wrong, tests, entry)]):
            assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


def test_what_is_wrong_with_a_row_is_named() -> None:
    row = Job("id", "x", KINDS["cases"][0], "f").to_json()
    for change, message in (
        ({"trust": "some"}, "field trust: expected strict or weak"),
        ({"tests": {"kind": "cases", "cases": []}}, "field tests.cases"),
        ({"code": 3}, "field code: expected a string"),
        ({"timeout": 3}, "field timeout: expected no such field"),
    ):
        with pytest.raises(RecordError, match=message):
            Job.from_json({**row, **change})
    outcome = Outcome("id", "passed", 1, 1, "", 0.1, "layers").to_json()
    for change, message in (
        ({"state": "good"}, "field state: expected one of"),
        ({"passed": 0}, "field passed: expected all tests"),
        ({"passed": True}, "field passed: expected a number"),
        ({"total": -1}, "field total"),
    ):
        with pytest.raises(RecordError, match=message):
            Outcome.from_json({**outcome, **change})
    with pytest.raises(ValueError, match="values that JSON cannot"):
        Job("id", "x", CaseTests([{"args": [(1, 2)], "expected": {3}}]), "f").to_json()


class _Remote:
    """A backend as a plugin would write it: each job goes out by HTTP."""

    def __init__(self, url: str, forget: str | None = None) -> None:
        self._url = url
        self._pool: ThreadPoolExecutor | None = None

    def identity(self) -> dict[str, Any]:
        return {"backend": "remote"}

    def __enter__(self) -> SandboxBackend:
        self._pool = ThreadPoolExecutor(2)
        return self

    def __exit__(self, *error: Any) -> None:
        assert self._pool is not None
        self._pool.shutdown()

    def run_many(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        assert self._pool is not None
        yield from self._pool.map(self._run, jobs)

    def _run(self, job: Job) -> Outcome:
        request = urllib.request.Request(self._url, json.dumps(job.to_json()).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Outcome.from_json(json.load(answer))


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, Any]]]:
    changes: dict[str, Any] = {}
    with Sandbox(workers=1, timeout=2) as sandbox:

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                row = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                (outcome,) = sandbox.run_many([Job.from_json(row)])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({**outcome.to_json(), **changes}).encode())

            def log_message(self, *arguments: Any) -> None:
                pass

        http = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/", changes
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.mark.slow
def test_unit_tests_by_a_backend_elsewhere(server: tuple[str, dict[str, Any]]) -> None:
    url, changes = server
    problem = Problem("t", "p", CaseTests([{"args": [n], "expected": n * n} for n in (2, 3)]), "f")
    codes = ["def f(x): return x * x", "def f(x): return 4", "def f(x) return"]
    candidates = [Candidate(str(i), "t", "", code, "student", "m", {}, "stop") for i, code in enumerate(codes)]
    feedback = UnitTests(backend=_Remote(url))
    found = {each.candidate_id: each.state for each in feedback.judge((problem, c) for c in candidates)}
    assert found == {"0": "passed", "1": "partial", "2": "compile_error"}
    changes["trust"] = "weak"
    with pytest.raises(FeedbackError, match="judged in its own process"):
        list(feedback.judge([(problem, candidates[0])]))
    changes.update(trust="strict", state="infrastructure", passed=0)
    with pytest.raises(FeedbackError, match="the sandbox failed"):
        list(feedback.judge([(problem, candidates[0])]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["check", "asserts", "cases", "pytest"])
def test_weak_trust_is_marked_and_is_isolated_as_any(kind: str, sandbox: Sandbox) -> None:
    tests, code, entry = KINDS[kind]
    liar = "class A:\n    def __eq__(self, other): return True\ndef f(x): return A()\n"
    reader = "import os\ndef f(x):\n    assert not os.path.exists('/etc/hostname') and len(os.environ) < 5\n    return x * x\n"
    for program, state in ((code, "passed"), ("def f(x): return 5", "partial"), ("def f(x) return", "compile_error"),
                           ("import os\nos._exit(0)", "runtime_error"), (liar, "passed"), (reader, "passed")):  # fmt: skip
        if program is liar and kind == "cases":
            continue
        (outcome,) = sandbox.run_many([Job("one", program, tests, entry, trust="weak")])
        assert (outcome.state, outcome.trust, outcome.tier) == (state, "weak", sandbox.tier), outcome
    (outcome,) = sandbox.run_many([Job("one", liar, tests, entry)])
    assert outcome.state != "passed"
    assert outcome.trust == "strict"


def test_weak_trust_runs_what_cannot_be_run_strictly(sandbox: Sandbox) -> None:
    tests = AssertTests(["assert f(2) == 4"])
    code = "class Four:\n    def __eq__(self, other): return other == 4\ndef f(x): return Four()\n"
    for trust, passes in (("weak", True), ("strict", False)):
        (outcome,) = sandbox.run_many([Job("one", code, tests, trust=trust)])  # type: ignore[arg-type]
        assert (outcome.state == "passed") is passes, outcome
    with pytest.raises(ValueError, match="always strict"):
        check_job(Job("x", "", KINDS["stdio"][0], trust="weak"))


@pytest.mark.parametrize(
    ("printed", "expected", "options", "passes"),
    [
        ("1\n", "1", {}, True),
        ("1  \n\n\n", "1\n", {}, True),
        ("1\r\n", "1\n", {}, True),
        (" 1\n", "1\n", {}, False),
        ("1\n2\n", "1\n", {}, False),
        ("1\n\n2\n", "1\n2\n", {}, False),
        ("1\n", "1\n2\n", {}, False),
        ("1\n", "1\n", {"ignore_trailing_blanks": False}, True),
        ("1 \n", "1\n", {"ignore_trailing_blanks": False}, False),
        ("1", "1\n", {"ignore_trailing_blanks": False}, False),
        ("1.0000001 x\n", "1 x\n", {"float_tolerance": 1e-6}, True),
        ("1.1 x\n", "1 x\n", {"float_tolerance": 1e-6}, False),
        ("1.0\n", "1\n", {}, False),
        ("1.0 2\n", "1\n", {"float_tolerance": 1e-6}, False),
        ("nan\n", "1\n", {"float_tolerance": 1e9}, False),
        ("1e6\n", "1000000.5\n", {"float_tolerance": 1e-6}, True),
        ("", "", {}, True),
        ("\xe9\x00\n", "\xe9\x00\n", {}, True),
    ],
)
def test_output_is_compared_as_bytes(
    printed: str, expected: str, options: dict[str, Any], passes: bool, sandbox: Sandbox
) -> None:
    code = f"import sys\nsys.stdout.buffer.write({printed.encode()!r})\n"
    tests = StdioTests([{"input": "", "output": expected}], **options)
    (outcome,) = sandbox.run_many([Job("one", code, tests)])
    assert (outcome.state == "passed") is passes, outcome


def test_outcomes_say_which_test_what_it_wanted_and_what_it_got(sandbox: Sandbox) -> None:
    for kind, test in (("check", "check"), ("asserts", "test 0: assert f(2) == 4"), ("cases", "case 0")):
        tests, _, entry = KINDS[kind]
        (outcome,) = sandbox.run_many([Job("one", "def f(x): return 5", tests, entry)])
        assert (outcome.test, outcome.expected, outcome.got) == (test, "4", "5")
    check = CheckTests(
        "def check(candidate):\n    want = [n for n in range(3)]\n    assert candidate(2) == want, 'no'\n"
    )
    (outcome,) = sandbox.run_many([Job("one", "def f(x): return [0]", check, "f")])
    assert (outcome.expected, outcome.got) == ("[0, 1, 2]", "[0]")

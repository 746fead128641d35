"""Against a server that speaks SandboxFusion's /run_code, runs what it is sent in processes, and fails as told."""

from __future__ import annotations

import itertools
import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rrtf_sandbox_fusion.backend import SandboxFusion
from rrtf_trl.errors import FeedbackError
from rrtf_trl.feedback import UnitTests
from rrtf_trl.records import AssertTests, Candidate, CaseTests, CheckTests, Problem, PytestTests, StdioTests, Tests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

pytest_plugins = ["rrtf_trl.testing"]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        fault = next(self.server.faults, None)
        if isinstance(fault, int):
            self.reply(fault, {"detail": "no"})
        elif fault is not None:
            self.reply(200, fault)
        else:
            self.reply(200, self.run(body))

    def run(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            done = subprocess.run(
                [sys.executable, "-c", body["code"]],
                input=body["stdin"],
                capture_output=True,
                text=True,
                timeout=body["run_timeout"],
            )
        except subprocess.TimeoutExpired:
            return {"status": "Failed", "run_result": {"status": "TimeLimitExceeded", "stdout": "", "stderr": ""}}
        result = {
            "status": "Finished",
            "execution_time": 0.1,
            "return_code": done.returncode,
            "stdout": done.stdout,
            "stderr": done.stderr,
        }
        return {"status": "Failed" if done.returncode else "Success", "run_result": result}

    def reply(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    faults: Iterator[Any] = iter(())

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


CASES = CaseTests([{"args": [n], "expected": [n, n + 1]} for n in (1, 2)])
SIMPLE = AssertTests(["assert f(1) == [1, 2]", "assert f(x=2) == [2, 3]"])
STDIO = StdioTests([{"input": "1\n", "output": "1 2\n"}, {"input": "2\n", "output": "2 3\n"}])
PROGRAMS = {
    "passed": "def f(x):\n    return [x, x + 1]\n",
    "partial": "def f(x):\n    return [x, 2]\n",
    "tuple": "def f(x):\n    return (x, x + 1)\n",
    "raises": "def f(x):\n    return x[0]\n",
    "syntax": "def f(x:\n",
    "load": "import nowhere\ndef f(x): pass\n",
    "missing": "def g(x): pass\n",
    "prints": "print('hello')\ndef f(x):\n    print('there')\n    return [x, x + 1]\n",
    "exits": "import os\ndef f(x):\n    os._exit(0)\n",
    "object": "class A: pass\ndef f(x):\n    return A()\n",
}


def judge(server: Server, tests: Tests, *programs: str, **options: Any) -> list[Outcome]:
    jobs = [Job(str(number), code, tests, entry_point="f") for number, code in enumerate(programs)]
    with SandboxFusion(server.url, timeout=5.0, **options) as backend:
        found = {outcome.job_id: outcome for outcome in backend.run_many(jobs)}
    return [found[job.job_id] for job in jobs]


@pytest.mark.parametrize("tests", [CASES, SIMPLE], ids=["cases", "asserts"])
def test_it_says_what_the_sandbox_here_says(server: Server, tests: Tests) -> None:
    theirs = judge(server, tests, *PROGRAMS.values())
    with Sandbox(workers=2) as sandbox:
        jobs = [Job(name, code, tests, entry_point="f") for name, code in PROGRAMS.items()]
        ours = {outcome.job_id: outcome for outcome in sandbox.run_many(jobs)}
    for name, outcome in zip(PROGRAMS, theirs, strict=True):
        assert outcome.trust == "strict"
        assert (outcome.state == "passed") == (ours[name].state == "passed"), name
        if name in ("passed", "partial", "tuple", "syntax", "load", "prints"):
            assert (outcome.state, outcome.passed, outcome.total) == (
                ours[name].state,
                ours[name].passed,
                ours[name].total,
            ), name


def test_whole_programs(server: Server) -> None:
    good = "x = int(input())\nprint(x, x + 1)\n"
    passed, partial, wrong, crash, syntax, slow = judge(
        server, STDIO, good, good.replace("x + 1", "2"), "print(7)", "1 / 0", "print(", "while True: pass"
    )
    assert (passed.state, passed.passed, passed.total, passed.trust) == ("passed", 2, 2, "strict")
    assert (partial.state, partial.passed) == ("partial", 1)
    assert partial.message == "case 1: line 1: expected '2 3', got '2 2'"
    assert (wrong.state, crash.state, syntax.state, slow.state) == (
        "partial",
        "runtime_error",
        "compile_error",
        "timeout",
    )


def test_tests_beside_the_program_are_weak_and_no_feedback(server: Server) -> None:
    check = CheckTests("def check(candidate):\n    assert candidate(1) == [1, 2]\n")
    passed, partial = judge(server, check, PROGRAMS["passed"], "def f(x): return 0")
    assert (passed.state, passed.trust) == ("passed", "weak")
    assert (partial.state, partial.trust) == ("partial", "weak")
    problem = Problem("t", "def f(x):\n", check, "f")
    with pytest.raises(FeedbackError, match="was judged in its own process"):
        list(UnitTests(backend=SandboxFusion(server.url)).judge([(problem, candidate(PROGRAMS["passed"]))]))
    with pytest.raises(ValueError, match="cannot run tests of kind 'pytest'"):
        judge(server, PytestTests({"test_a.py": "def test(): pass"}), "")


def candidate(code: str) -> Candidate:
    return Candidate.create(
        task_id="t", response=code, code=code, source="student", model="m", sampling={}, finish_reason="stop"
    )


def test_faults_of_the_server_are_tried_again_and_never_scored(server: Server) -> None:
    sandbox_error = {"status": "SandboxError", "message": "no room"}
    server.faults = iter([500, sandbox_error, {"status": "Success"}])
    (outcome,) = judge(server, CASES, PROGRAMS["passed"], retries=3)
    assert outcome.state == "passed"
    assert len(server.requests) == 4
    server.faults = itertools.repeat(sandbox_error)
    (outcome,) = judge(server, CASES, PROGRAMS["passed"], retries=1)
    assert outcome.state == "infrastructure"
    assert "the server's sandbox failed: no room" in outcome.message
    server.faults, server.requests = itertools.repeat(422), []
    (outcome,) = judge(server, CASES, PROGRAMS["passed"])
    assert (outcome.state, len(server.requests)) == ("infrastructure", 1)
    problem = Problem("t", "def f(x):\n", CASES, "f")
    with pytest.raises(FeedbackError, match="the sandbox failed on candidate"):
        list(UnitTests(backend=SandboxFusion(server.url)).judge([(problem, candidate(PROGRAMS["passed"]))]))


def test_jobs_are_read_as_there_is_room(server: Server) -> None:
    taken = 0

    def endless() -> Iterator[Job]:
        nonlocal taken
        for taken in itertools.count(1):
            yield Job(str(taken), PROGRAMS["passed"], CASES, entry_point="f")

    outcomes = SandboxFusion(server.url, concurrency=2).run_many(endless())
    assert [next(outcomes).state for _ in range(5)] == ["passed"] * 5
    assert taken <= 10
    start = time.monotonic()
    outcomes.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 5


def test_wrong_options_and_pickling() -> None:
    for options, name in (({"url": "here"}, "url"), ({"concurrency": 0}, "concurrency"), ({"timeout": 0}, "timeout")):
        with pytest.raises(ValueError, match=name):
            SandboxFusion(**{"url": "http://x", **options})  # type: ignore[arg-type]
    source = UnitTests(backend=SandboxFusion("http://x"))
    assert pickle.loads(pickle.dumps(source)).backend.client == source.backend.client  # type: ignore[union-attr]


def test_its_verdicts_are_kept_apart_by_its_own_limits() -> None:
    here, there = UnitTests().identity(), UnitTests(backend=SandboxFusion("http://x")).identity()
    assert there["executor"] == {"executor": "sandboxfusion", "version": 1, "timeout": 10.0, "memory_mb": 1024}
    assert there == UnitTests(timeout=1, backend=SandboxFusion("http://y", concurrency=1)).identity() != here
    assert there != UnitTests(backend=SandboxFusion("http://x", timeout=2.0)).identity()


def test_a_run_is_judged_there(server: Server, run_rrtf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_FUSION_URL", server.url)
    monkeypatch.setenv("RRTF_PLUGINS", "sandbox-fusion")
    run = run_rrtf("+sandbox=fusion", "sampler=[transformers,reference]")
    assert server.requests
    states = [json.loads(line)["state"] for line in (run / "judgements.jsonl").read_text().splitlines()]
    assert states[4::5] == ["passed"] * 4  # the references
    assert set(states) > {"passed"}

"""What a program does is its own failure; the sandbox's is told from it by a canary; and who is tried again, when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import rrtf_trl
from rrtf_trl.records import AssertTests, CaseTests, CheckTests, PytestTests, StdioTests, Tests
from rrtf_trl.sandbox import Job, Outcome, Sandbox, worker_process
from rrtf_trl.sandbox.attempts import Attempts, Pending, failure_of
from support.sandbox_processes import alive, descendants

RIGHT = "def f(x): return x * x\n"
CHECK = "def check(candidate):\n    assert candidate(2) == 4\n"
# A worker with faults: what a program's text names happens where it is judged, and each attempt is written down.
FAULTY = """
import os, signal, sys, time
from rrtf_trl.sandbox import worker
from rrtf_trl.sandbox.common.faults import Broken
original = worker._Worker._attempt
def attempt(self, tests, code):
    def note(what):
        with open({log!r}, "a") as file: file.write(f"{{what}} {{code.splitlines()[0]}}\\n")
    note("start")
    at = code + tests.context_source
    if "SIGFPE" in at: os.kill(os.getpid(), signal.SIGFPE)
    if "SIGKILL" in at: os.kill(os.getpid(), signal.SIGKILL)
    if "EXIT" in at: os._exit(3)
    if "RAISE" in at: raise RuntimeError("a bug")
    if "DEEP" in at: raise RecursionError
    if "BROKEN" in at: raise Broken("no fork server")
    if "STUCK" in at: sum(range(10**13))
    try:
        return original(self, tests, code)
    finally:
        note("end")
worker._Worker._attempt = attempt
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Start workers with faults; return what reads which attempts there were."""
    path, command = tmp_path / "log", worker_process.python_command
    monkeypatch.setattr(worker_process, "python_command", lambda code: command(FAULTY.format(log=str(path)) + code))
    return lambda: path.read_text().splitlines() if path.exists() else []


def judge(jobs: list[Job], workers: int = 1, timeout: float = 0.3) -> dict[str, Outcome]:
    with Sandbox(workers=workers, timeout=timeout) as sandbox:
        return {outcome.job_id: outcome for outcome in sandbox.run_many(jobs)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "state", "attempts", "message"),
    [
        ("SIGFPE", "refused", 2, "the judge was ended by SIGFPE"),
        ("SIGKILL", "refused", 5, "the judge ended 5 times"),
        ("EXIT", "refused", 5, "the judge ended 5 times"),
        ("RAISE", "refused", 1, "the judge failed: RuntimeError: a bug"),
        ("DEEP", "refused", 1, "the judge failed: RecursionError"),
        ("BROKEN", "refused", 5, "the judge failed: no fork server"),
        ("STUCK", "timeout", 1, "the tests did not end in time"),
    ],
)
def test_where_the_sandbox_fails_a_canary_decides(
    fault: str, state: str, attempts: int, message: str, log: Callable[[], list[str]]
) -> None:
    tests, others = CheckTests(CHECK), CheckTests(CHECK)
    jobs = [
        Job("bad", f"# {fault}\n", tests, "f"),
        Job("good", RIGHT, tests, "f"),
        Job("sick", RIGHT, others, "f", context=f"# {fault}\n"),  # whatever the program
        Job("last", RIGHT, CaseTests([{"args": [2], "expected": 4}]), "f"),
    ]
    found = judge(jobs)
    assert {name: outcome.state for name, outcome in found.items()} == {
        "bad": state, "good": "passed", "sick": "infrastructure", "last": "passed"
    }  # fmt: skip
    assert found["bad"].message == f"{message} (with this program, and not with a harmless one)"
    assert found["sick"].message == f"{message} (with a harmless program too)"
    assert (found["bad"].passed, found["bad"].total, found["bad"].tier) == (0, 1, found["good"].tier)
    assert log().count(f"start # {fault}") == 2 * attempts  # and as often for the canary of the sick tests


@pytest.mark.slow
def test_a_right_program_survives_a_few_deaths_of_others(log: Callable[[], list[str]]) -> None:
    tests = CheckTests(CHECK)
    jobs = [Job(f"{number}", "# SIGFPE\n" if number % 3 == 0 else RIGHT, tests, "f") for number in range(12)]
    states = [outcome.state for _, outcome in sorted(judge(jobs, workers=2).items(), key=lambda pair: int(pair[0]))]
    assert states == ["refused", "passed", "passed"] * 4


USED_UP = "import os, signal\nos.kill(os.getpid(), signal.SIGXCPU)\n"  # as the kernel does, however long that takes
SLEEPS = "import time\ntime.sleep(1000)\n"


@pytest.mark.slow
def test_second_tries_are_made_together_and_only_where_another_may_have_been_in_the_way(
    log: Callable[[], list[str]],
) -> None:
    tests = CaseTests([{"args": [2], "expected": 4}])
    busy = [Job(f"busy {n}", f"# busy {n}\n{USED_UP}", tests, "f") for n in range(2)]
    idle = [Job(f"idle {n}", f"# idle {n}\n{SLEEPS}", tests, "f") for n in range(4)]
    wrong = [Job(f"wrong {n}", f"# wrong {n}\ndef f(x): return 5\n", tests, "f") for n in range(4)]
    found = judge([*busy, *idle, *wrong], workers=2)
    lines = log()
    assert {name: outcome.state for name, outcome in found.items()} == {
        job.job_id: "partial" if "wrong" in job.job_id else "timeout" for job in (*busy, *idle, *wrong)
    }
    assert {one.message for name, one in found.items() if "idle" in name} == {"no answer in time"}
    for job in (*busy, *wrong):
        assert lines.count(f"start # {job.job_id}") == 1
    for job in idle:
        assert lines.count(f"start # {job.job_id}") == 2
    first_second = max(lines.index(f"end # {job.job_id}") for job in (*busy, *wrong))
    second = lines[first_second + 1 :]
    assert not any("busy" in line or "wrong" in line for line in second)
    if len(os.sched_getaffinity(0)) > 1:
        running, most = 0, 0
        for line in second:
            running += 1 if line.startswith("start") else -1
            most = max(most, running)
        assert most == 2


@pytest.mark.slow
def test_an_endless_stream_of_sleepers_is_answered() -> None:
    tests = CaseTests([{"args": [2], "expected": 4}])
    read = []

    def jobs() -> object:
        for number in range(1000):
            read.append(number)
            yield Job(str(number), SLEEPS, tests, "f")

    with Sandbox(workers=1, timeout=0.05) as sandbox:
        outcomes = sandbox.run_many(jobs())  # type: ignore[arg-type]
        assert next(outcomes).state == "timeout"
        assert len(read) <= 6


ENDLESS: dict[str, tuple[Tests, str, str]] = {
    "a loop of the judge's part": (CheckTests("while True: pass\n" + CHECK), RIGHT, "do not end in time"),
    "a loop after the program": (CheckTests(CHECK + "    while candidate: pass\n"), RIGHT, "check"),
    "a loop before any answer": (CheckTests("def check(candidate):\n    while candidate: pass\n"), "", "check"),
    "asserts": (AssertTests(["assert f(2) == 4", "while f(2): pass"]), RIGHT, "test 1: while f(2): pass"),
    "asserts that wait": (
        AssertTests(["import time\ntime.sleep(1000 * f(2))\nassert f(2) == 4"]),
        RIGHT,
        "the reference",
    ),
    "a file": (
        PytestTests(
            {"test_f.py": "from solution import f\ndef test():\n    assert f(2) == 4\n    while f(2): pass\n"}
        ),
        RIGHT,
        "",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
def test_tests_that_never_end_are_the_problems_fault(name: str, log: Callable[[], list[str]]) -> None:
    tests, reference, named = ENDLESS[name]
    jobs = [Job(str(number), f"# sample {number}\n{RIGHT}", tests, "f", context=reference) for number in range(5)]
    found = judge(jobs)
    assert {outcome.state for outcome in found.values()} == {"infrastructure"}
    (message,) = {outcome.message for outcome in found.values()}
    assert message.startswith("the tests are broken: ")  # also that of the first
    # Which of several tests it was is not known where all answers were still on their way.
    assert named in message or message.startswith("the tests are broken: they did not end in time")
    assert sum(line.startswith("start # sample") for line in log()) <= 2  # later ones do not wait for it again


@pytest.mark.slow
@pytest.mark.parametrize(
    "tests",
    [
        CheckTests(
            "def check(candidate):\n    n = candidate(2)\n    while n != 4: n = candidate(2)\n    assert n == 4\n"
        ),
        AssertTests(["n = f(2)\nwhile n != 4: n = f(2)\nassert n == 4"]),
        AssertTests(["assert 3.5 not in f(2)"]),
    ],
)
def test_tests_that_do_not_end_because_of_an_answer_fail_it(tests: Tests) -> None:
    right = "def f(x): return [4]\n" if "in" in str(tests) and "while" not in str(tests) else RIGHT
    jobs = [
        Job("bad", "def f(x): return range(10**18)\n", tests, "f", context=right),
        Job("good", right, tests, "f", context=right),
    ]
    found = judge(jobs)
    assert (found["bad"].state, found["good"].state) == ("timeout", "passed"), found


def test_what_becomes_of_a_job() -> None:
    attempts = Attempts({})
    job = Job("one", RIGHT, StdioTests([{"input": "", "output": ""}]))
    known = {"tier": "full", "isolation": "", "seconds": 1.0}
    fine = {**known, "state": "partial", "passed": 1, "total": 3, "message": "wrong"}
    nothing = {"failure": "", "broken_tests": False, "second_try": False}
    crash = failure_of(-signal.SIGSEGV, hangs=False)

    def taken() -> Pending:
        return attempts.queue.pop()

    attempts.queue.append(Pending(job, 1, b""))
    assert attempts.failed(taken(), crash, known) is None
    assert attempts.failed(taken(), crash, known) is None
    canary = taken()
    assert canary.canary_for == crash
    outcome = attempts.judged(canary, {**fine, "notes": nothing})
    assert outcome is not None
    assert (outcome.state, outcome.passed, outcome.total, outcome.seconds) == ("refused", 0, 3, 1.0)
    attempts.queue.append(Pending(job, 1, b"", canary_for=crash))
    attempts.failed(taken(), crash, known)
    outcome = attempts.failed(taken(), crash, known)
    assert outcome is not None
    assert (outcome.state, outcome.total) == ("infrastructure", 0)
    slow = Pending(job, 1, b"")
    assert attempts.judged(slow, {**fine, "notes": {**nothing, "second_try": True}}) is None
    assert attempts.later == [slow]
    outcome = attempts.judged(slow, {**fine, "notes": {**nothing, "second_try": True}})
    assert outcome is not None
    assert outcome.to_json() == {**outcome.to_json(), **fine}
    stuck = failure_of(0, hangs=True)
    attempts.failed(Pending(job, 7, b"", canary_for=stuck), stuck, known)
    assert list(attempts.broken) == [7]


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["auto", "no-namespaces"])
def test_a_stuck_worker_does_not_outlive_its_caller(tier: str) -> None:
    program = f"""
from rrtf_trl.records import CheckTests
from rrtf_trl.sandbox import Job, Sandbox
with Sandbox(workers=2, timeout=50, tier={tier!r}) as sandbox:
    print("ready", flush=True)
    tests = CheckTests("sum(range(10**13))\\ndef check(candidate): candidate()")
    list(sandbox.run_many(Job(str(n), "", tests, "f") for n in range(4)))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(rrtf_trl.__file__).parent.parent)}
    caller = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    assert caller.stdout is not None
    assert caller.stdout.readline() == "ready\n"
    time.sleep(1.5)
    below = descendants(caller.pid)
    assert len(below) >= 4
    caller.kill()
    caller.wait()
    caller.stdout.close()
    end = time.monotonic() + 20
    while any(alive(pid) for pid in below) and time.monotonic() < end:
        time.sleep(0.05)
    assert [pid for pid in below if alive(pid)] == []


@pytest.mark.slow
def test_what_a_stuck_worker_runs_ends_with_it() -> None:
    before = set(descendants(os.getpid()))
    tests = CheckTests("sum(range(10**13))\ndef check(candidate): candidate()")
    with Sandbox(workers=1, timeout=0.1) as sandbox:
        (outcome,) = sandbox.run_many([Job("x", RIGHT, tests, "f")])
        assert outcome.state == "infrastructure"
        assert "with a harmless program too" in outcome.message
        iteration = sandbox.run_many([Job("y", RIGHT, CaseTests([{"args": [1], "expected": 1}]), "f")] * 9)
        next(iteration)
        own = set(descendants(os.getpid())) - before
        iteration.close()  # type: ignore[attr-defined]
        assert [pid for pid in own if alive(pid)] == []
    assert set(descendants(os.getpid())) == before

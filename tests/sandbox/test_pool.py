"""The caller's side: streaming, exactly one outcome a job, faults of our own, nothing left behind."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rrtf_trl
from rrtf_trl.records import CaseTests, CheckTests, PytestTests
from rrtf_trl.sandbox import Job, Sandbox, pool
from support.sandbox_processes import alive, children, descendants

ONE = CaseTests([{"args": [], "expected": 1}])
RIGHT = "def f(): return 1"


@pytest.mark.slow
def test_streams_an_endless_iterable() -> None:
    taken = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for taken in itertools.count(1):
            yield Job(str(taken), RIGHT, ONE, "f")

    with Sandbox(workers=2) as sandbox:
        outcomes = list(itertools.islice(sandbox.run_many(jobs()), 20))
        assert len({outcome.job_id for outcome in outcomes}) == 20
        assert taken <= 20 + 4  # two a worker
        assert len(list(sandbox.run_many([Job("after", RIGHT, ONE, "f")]))) == 1


@pytest.mark.slow
def test_a_caller_that_looks_late_finds_all_that_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_SILENCE", 0.5)  # with the time below, a worker may be silent for 1.8 seconds

    def jobs() -> Iterator[Job]:
        for number in range(4):  # two for each worker: the first one has answered both before it is looked at
            if number == 3:
                time.sleep(3)
            yield Job(str(number), RIGHT, ONE, "f")

    with Sandbox(workers=2, timeout=0.1) as sandbox:
        workers = children(os.getpid())
        assert sorted(outcome.job_id for outcome in sandbox.run_many(jobs())) == ["0", "1", "2", "3"]
        assert children(os.getpid()) == workers, "a worker that had answered was taken for a silent one"


def test_one_iteration_at_a_time() -> None:
    with Sandbox(workers=1) as sandbox:
        first = sandbox.run_many(Job(str(number), RIGHT, ONE, "f") for number in range(3))
        next(first)
        with pytest.raises(RuntimeError, match="already judging"):
            next(sandbox.run_many([Job("x", RIGHT, ONE, "f")]))
        first.close()  # type: ignore[attr-defined]
        assert [outcome.job_id for outcome in sandbox.run_many([Job("x", RIGHT, ONE, "f")])] == ["x"]
    with pytest.raises(RuntimeError, match="with"):
        next(Sandbox().run_many([]))


def test_bad_jobs_are_refused_before_any_work() -> None:
    with Sandbox(workers=1) as sandbox:
        for job, message in (
            (Job("a", RIGHT, PytestTests({})), "job a: there are no tests"),
            (Job("b", RIGHT, ONE), "job b: tests of kind 'cases' need an entry_point"),
            (Job("c", RIGHT, CaseTests([]), "f"), "job c: there are no tests"),
            (
                Job("d", RIGHT, CaseTests([{"args": [object()], "expected": 1}]), "f"),
                "job d: test data must be plain",
            ),
        ):
            with pytest.raises(ValueError, match=message):
                list(sandbox.run_many([job]))
    for wrong in ({"workers": 0}, {"timeout": 0}, {"memory_mb": 1}, {"output_kb": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Sandbox(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_duplicate_ids_and_large_jobs() -> None:
    with Sandbox(workers=2) as sandbox:
        large = CaseTests([{"args": [list(range(100_000))], "expected": 100_000}])
        jobs = [Job("same", RIGHT, ONE, "f"), Job("same", "def f(x): return len(x)", large, "f")] * 4
        assert [outcome.state for outcome in sandbox.run_many(jobs)] == ["passed"] * 8


@pytest.mark.slow
def test_killed_workers_and_fork_servers_lose_nothing() -> None:
    slow = "import time\ntime.sleep(0.05)\ndef f(): return 1"
    with Sandbox(workers=2) as sandbox:
        seen = []
        for count, outcome in enumerate(sandbox.run_many(Job(str(n), slow, ONE, "f") for n in range(60))):
            seen.append(outcome)
            if count in (5, 20):
                os.kill(sandbox._pool[count % 2]._process.pid, signal.SIGKILL)
            if count in (10, 30):
                server = max(children(sandbox._pool[0]._process.pid), default=0)
                if server:
                    os.kill(server, signal.SIGKILL)
        assert sorted(int(outcome.job_id) for outcome in seen) == list(range(60))
        assert {outcome.state for outcome in seen} == {"passed"}


@pytest.mark.slow
def test_a_job_that_always_kills_its_worker_is_infrastructure() -> None:
    # The tests are ours and run with our rights; only they can do this.
    kill = "import sys\nos = sys.modules['os']\ndone = os.kill(os.getpid(), 9)\n"
    killer = CheckTests(f"{kill}def check(candidate): candidate()")
    with Sandbox(workers=1) as sandbox:
        outcomes = list(sandbox.run_many([Job("bad", RIGHT, killer, "f"), Job("good", RIGHT, ONE, "f")]))
    assert {outcome.job_id: outcome.state for outcome in outcomes} == {
        "bad": "infrastructure",
        "good": "passed",
    }


@pytest.mark.slow
def test_tests_that_hang_are_ended() -> None:
    hang = CheckTests("def check(candidate):\n    while True: pass")
    with Sandbox(workers=1, timeout=0.2) as sandbox:
        (outcome,) = sandbox.run_many([Job("hang", RIGHT, hang, "f")])
    assert outcome.state == "infrastructure"
    assert "the tests are broken: the tests themselves do not end in time" in outcome.message


def test_close_leaves_no_process() -> None:
    before = set(descendants(os.getpid()))
    with Sandbox(workers=2) as sandbox:
        list(sandbox.run_many([Job("x", RIGHT, ONE, "f")]))
        own = set(descendants(os.getpid())) - before
        assert len(own) >= 4
    assert [pid for pid in own if alive(pid)] == []


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["auto", "no-namespaces"])
def test_a_killed_caller_leaves_no_process(tier: str) -> None:
    program = f"""
from rrtf_trl.records import CaseTests
from rrtf_trl.sandbox import Job, Sandbox
with Sandbox(workers=2, timeout=50, tier={tier!r}) as sandbox:
    tests = CaseTests([{{"args": [], "expected": 1}}])
    list(sandbox.run_many([Job("x", "def f(): return 1", tests, "f")]))
    print("ready", flush=True)
    list(sandbox.run_many(Job(str(n), "import time\\ntime.sleep(1000)", tests, "f") for n in range(4)))
"""
    source = str(Path(rrtf_trl.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": source}
    caller = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    assert caller.stdout is not None
    assert caller.stdout.readline() == "ready\n"
    time.sleep(0.5)
    below = descendants(caller.pid)
    assert len(below) >= 6
    caller.kill()
    caller.wait()
    caller.stdout.close()
    end = time.monotonic() + 10
    while any(alive(pid) for pid in below) and time.monotonic() < end:
        time.sleep(0.05)
    assert [pid for pid in below if alive(pid)] == []


def test_importing_the_sandbox_is_light() -> None:
    code = "import sys, rrtf_trl.sandbox; print(sorted({'torch', 'numpy', 'trl'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(Path(rrtf_trl.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"

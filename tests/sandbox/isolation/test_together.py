"""Limits that hold for all processes of a program together, in every tier, also for those that have ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from rrtf_trl.records import CaseTests, StdioTests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

pytestmark = pytest.mark.slow

TIERS = ("full", "no-landlock", "no-namespaces", "unsafe")
ONE = CaseTests([{"args": [], "expected": 1}])
# Where a program may start no process, it fails by that.
SHARED_MEMORY = """
import mmap, os, time
def fill():
    block = mmap.mmap(-1, 60 << 20)
    for at in range(0, len(block), 4096): block[at] = 1
    return block
def f():
    for _ in range(12):
        if os.fork() == 0:
            kept = fill()
            time.sleep(60)
    time.sleep(60)
"""
FILES_IN_MEMORY = """
import mmap, os, time
def f():
    for number in range(8):
        if os.fork() == 0:
            kept = []
            for inner in range(3):
                with open(f"{number}-{inner}", "wb+") as file:
                    os.truncate(file.fileno(), 2 << 20)
                    kept.append(mmap.mmap(file.fileno(), 2 << 20))
                for at in range(0, 2 << 20, 4096): kept[-1][at] = 1
            kept.append(bytearray(30 << 20))
            time.sleep(60)
    time.sleep(60)
"""
SUCCESSIVE = """
import os, time
def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
def f():
    for _ in range(30):
        if os.fork() == 0:
            spin(0.3)
            os._exit(0)
        os.wait()
    return 1
"""
NOT_WAITED_FOR = SUCCESSIVE.replace("        os.wait()\n", "        try: os.wait()\n        except OSError: pass\n")
NOT_WAITED_FOR += "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
AT_ONCE = SUCCESSIVE.replace("range(30)", "range(4)").replace("0.3", "3").replace("        os.wait()\n", "")
AT_ONCE = AT_ONCE.replace("    return 1\n", "    time.sleep(60)\n")
DAEMONS = """
import os, time
def f():
    for _ in range(6):
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                end = time.process_time() + 0.6
                while time.process_time() < end: pass
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(0.7)
    return 1
"""
PROGRAMS = {
    "shared memory": (SHARED_MEMORY, "memory"),
    "files in memory": (FILES_IN_MEMORY, "memory"),
    "successive children": (SUCCESSIVE, "timeout"),
    "children that nobody waits for": (NOT_WAITED_FOR, "timeout"),
    "children at once": (AT_ONCE, "timeout"),
    "daemons": (DAEMONS, "timeout"),
}


@pytest.fixture(scope="module")
def runners() -> Iterator[dict[str, Sandbox]]:
    with ExitStack() as stack:
        yield {
            tier: stack.enter_context(
                Sandbox(1, timeout=1.5, memory_mb=128, tier=tier, allow_unsafe=tier == "unsafe")  # type: ignore[arg-type]
            )
            for tier in TIERS
        }


def judge(runner: Sandbox, code: str, tests: CaseTests | StdioTests = ONE) -> Outcome:
    (outcome,) = runner.run_many([Job("one", code, tests, "f")])
    return outcome


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_its_processes_use_counts_together(name: str, tier: str, runners: dict[str, Sandbox]) -> None:
    code, state = PROGRAMS[name]
    outcome = judge(runners[tier], code)
    if tier in ("no-namespaces", "unsafe") and outcome.exception == "PermissionError":
        state = "runtime_error"
    assert outcome.state == state, outcome
    assert judge(runners[tier], "def f(): return 1").state == "passed"


@pytest.mark.parametrize("tier", TIERS)
def test_a_whole_program_too(tier: str, runners: dict[str, Sandbox]) -> None:
    code = SUCCESSIVE + "print(f())\n"
    outcome = judge(runners[tier], code, StdioTests([{"input": "", "output": "1"}]))
    expected = "timeout" if tier in ("full", "no-landlock") else "runtime_error"
    assert outcome.state == expected, outcome


@pytest.mark.parametrize("tier", TIERS)
def test_what_stays_within_the_limits_passes(tier: str, runners: dict[str, Sandbox]) -> None:
    code = """
import mmap, os, threading, time
def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
def f():
    block = mmap.mmap(-1, 20 << 20)
    block[:] = bytes(len(block))
    threads = [threading.Thread(target=spin, args=(0.2,)) for _ in range(3)]
    for one in threads: one.start()
    for one in threads: one.join()
    try:
        if os.fork() == 0:
            spin(0.2)
            os._exit(0)
        os.wait()
    except PermissionError: pass
    return 1
"""
    outcome = judge(runners[tier], code)
    assert outcome.state == "passed", outcome

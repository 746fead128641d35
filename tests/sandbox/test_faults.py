# ruff: noqa: E501 - the programs are as they are
"""Workers, fork servers and programs' processes killed at random: every row has its one verdict all the same.

``RRTF_FAULT_CHECKS`` says how many checks (600 by default).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from pathlib import Path

import pytest

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, PytestTests, StdioTests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

CHECKS = int(os.environ.get("RRTF_FAULT_CHECKS", "600"))
SQUARE = "def f(x): return x * x\n"
CHECK = CheckTests("def check(candidate):\n    for x in range(20): assert candidate(x) == x * x\n")
CASES = CaseTests([{"args": [x], "expected": x * x} for x in range(5)])
STDIO = StdioTests([{"input": "3", "output": "9"}, {"input": "4", "output": "16"}])
ASSERTS = AssertTests(["s = S()\ns.add(2)\nassert s.total == 2", "assert list(g(3)) == [0, 1, 2]"])
FILES = PytestTests({"test_f.py": "from solution import f\ndef test(): assert f(3) == 9\n"})
ROWS = [
    (SQUARE, CHECK, "f", "passed"),
    ("def f(x): return x * 3\n", CHECK, "f", "partial"),
    (SQUARE, CASES, "f", "passed"),
    ("def f(x): return 1\n", CASES, "f", "partial"),
    ("def f(x): raise KeyError\n", CASES, "f", "runtime_error"),
    ("def f(x) return\n", CASES, "f", "compile_error"),
    ("print(int(input()) ** 2)\n", STDIO, None, "passed"),
    ("print(9)\n", STDIO, None, "partial"),
    ("class S:\n    total = 0\n    def add(self, n): self.total += n\ndef g(n): yield from range(n)\n", ASSERTS, None, "passed"),
    ("import time\ntime.sleep(0.05)\n" + SQUARE, CASES, "f", "passed"),
    (SQUARE, FILES, None, "passed"),
]  # fmt: skip


def below(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *below(int(child))]
    return found


@pytest.mark.slow
def test_every_row_has_one_verdict_the_same_as_undisturbed() -> None:
    jobs = [Job(str(number), code, tests, entry, context=SQUARE if entry else "") for number in range(CHECKS)
            for code, tests, entry, _ in [ROWS[number % len(ROWS)]]]  # fmt: skip
    chance, kills, done, due = random.Random(7), 0, threading.Event(), threading.Semaphore(0)

    def disturb() -> None:
        """Kill workers, wardens, fork servers, tests in a process of their own, and programs' processes."""
        nonlocal kills
        while due.acquire() and not done.wait(chance.uniform(0, 0.1)):
            ours = [pid for pid in below(os.getpid()) if b"rrtf_trl.sandbox" in _command(pid)]
            if ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(ours), chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
                    kills += 1

    with Sandbox(workers=2, timeout=20) as sandbox:
        undisturbed = [_verdict(outcome) for _, outcome in zip(ROWS, sandbox.run_many(jobs[: len(ROWS)]), strict=True)]
        assert {int(row[0]): row[1] for row in undisturbed} == {at: row[3] for at, row in enumerate(ROWS)}
        wanted = {int(row[0]): row[1:] for row in undisturbed}
        disturber = threading.Thread(target=disturb)
        disturber.start()
        try:
            outcomes: list[Outcome] = []
            for outcome in sandbox.run_many(jobs):
                outcomes.append(outcome)
                if chance.random() < 0.08:
                    due.release()
        finally:
            done.set()
            due.release()
            disturber.join()
    print(f"{CHECKS} checks, {kills} processes killed")
    assert kills > CHECKS / 100
    assert sorted(int(outcome.job_id) for outcome in outcomes) == list(range(CHECKS))
    wrong = [outcome for outcome in outcomes if _verdict(outcome)[1:] != wanted[int(outcome.job_id) % len(ROWS)]]
    assert wrong == []


def _verdict(outcome: Outcome) -> tuple[object, ...]:
    """All that an outcome says of a program, but the time it took."""
    row = outcome.to_json()
    del row["seconds"]
    return tuple(row.values())


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@pytest.mark.slow
def test_tests_that_leave_something_behind_do_not_change_the_next_verdict() -> None:
    polluted = [
        "import math\nmath.sqrt = lambda x: 7\n",
        "import builtins\nbuiltins.abs = lambda x: 7\n",
        "import os\nos.environ['X'] = '1'\nos.chdir('/')\n",
        "import sys\nsys.setrecursionlimit(60)\nsys.stdout = None\n",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(3,), daemon=True).start()\n",
        "import random\nrandom.seed(1)\n",
        "import json\njson.loads = json.dumps = None\n",
    ]
    clean = CheckTests(
        "import math, os, json, sys\ndef check(candidate):\n    assert math.sqrt(4) == 2 and abs(-1) == 1 and 'X' not in os.environ\n"
        "    assert json.loads('1') == 1 and sys.getrecursionlimit() > 500 and candidate(3) == 9\n"
    )
    with Sandbox(workers=1) as sandbox:
        for text in polluted:
            tests = CheckTests(f"{text}def check(candidate): assert candidate(3) == 9\n")
            jobs = [Job("a", SQUARE, tests, "f"), Job("b", SQUARE, clean, "f")] * 3
            assert {outcome.state for outcome in sandbox.run_many(jobs)} == {"passed"}, text

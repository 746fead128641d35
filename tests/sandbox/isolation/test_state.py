"""Nothing that a program does can be read by the next one, or by one that runs beside it in another worker."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rrtf_trl.records import CaseTests, StdioTests
from rrtf_trl.sandbox import Job, Sandbox
from support.sandbox_state import COMMON, LEAVING, LOOK_AT_MEMORY, PROBES, REFUSED

ROOT = Path(__file__).parents[3]
TIERS = ("full", "no-landlock", "no-namespaces")
SEEN = {
    **{("inode numbers of pipes", tier): "inode numbers of pipes and sockets" for tier in TIERS},
    ("futexes in files", "full"): "futex",
    ("futexes in files", "no-landlock"): "futex",
    ("process ids", "no-namespaces"): "process and thread ids",
    ("sessions and groups", "no-namespaces"): "process and thread ids",
    ("times of files", "no-namespaces"): "last access",
}
"""What cannot be hidden, with words by which docs/sandbox.md states it."""
OF_ONE_USER = {"timers of a user", "memory of pipes", "descriptors in flight"}
"""What the kernel counts by user, and where programs without namespaces run as the caller."""
HOLD = 0.6
"""Seconds for which a program keeps what it planted, while another one looks."""
PROGRAM = """
def f(do, seconds):
    if do == "look":
        return digest(repr(look()))
    plant()
    time.sleep(seconds)

def digest(text):
        return text[:60] + hashlib.sha256(text.encode()).hexdigest()[:20]
"""


class Pair:
    """Two sandboxes of a tier, with a worker each: programs in one run after each other, in both beside each other."""

    def __init__(self, one: Sandbox, other: Sandbox) -> None:
        self.one, self.other = one, other

    def run(self, name: str, do: str, sandbox: Sandbox | None = None, seconds: float = 0.0) -> str:
        """Have a program of a probe look or plant; return what it saw, or how it ended."""
        probe = PROBES[name]
        code = "\n".join([COMMON, probe.plant, probe.look, PROGRAM])
        tests = CaseTests([{"args": [do, seconds], "expected": "anything"}])
        (outcome,) = (sandbox or self.one).run_many([Job(name, code, tests, "f")])
        assert outcome.state != "infrastructure", outcome
        return outcome.got or outcome.message

    def look(self, name: str) -> str:
        """Return what a program sees, where it sees something."""
        seen = self.run(name, "look")
        assert len(seen) > 20, seen
        return seen


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[str, Pair]]:
    with ExitStack() as stack:

        def start(tier: str) -> Sandbox:
            return stack.enter_context(Sandbox(1, timeout=2.0, memory_mb=512, tier=tier))  # type: ignore[arg-type]

        yield {tier: Pair(start(tier), start(tier)) for tier in TIERS}


def expect_seen(name: str, tier: str) -> None:
    """End a test of what cannot be hidden."""
    if (name, tier) in SEEN:
        pytest.xfail(f"cannot be hidden: {SEEN[name, tier]}")


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", [name for name, probe in PROBES.items() if probe.stays])
def test_the_next_program_sees_nothing(name: str, tier: str, pairs: dict[str, Pair]) -> None:
    pair = pairs[tier]
    if name == "the age of the folder":
        time.sleep(2.5)
    before = [pair.look(name) for _ in range(3)]
    pair.run(name, "plant")
    after = [pair.look(name) for _ in range(2)]
    expect_seen(name, tier)
    assert {*before[1:], *after} == {before[1]}  # the first program of a problem is judged call by call


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", [name for name, probe in PROBES.items() if probe.beside])
def test_a_program_in_another_worker_sees_nothing(name: str, tier: str, pairs: dict[str, Pair]) -> None:
    pair = pairs[tier]
    if tier == "no-namespaces" and name in OF_ONE_USER and "same-user" in isolation_of(pair.one):
        pytest.skip("programs run as the caller here")
    before = [pair.look(name) for _ in range(2)][1]
    other = threading.Thread(target=pair.run, args=(name, "plant", pair.other, HOLD))
    other.start()
    time.sleep(HOLD / 2)
    beside = pair.look(name)
    other.join()
    expect_seen(name, tier)
    assert beside == before


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
def test_the_next_program_inherits_the_same_memory(tier: str, pairs: dict[str, Pair]) -> None:
    """Programs are forked from one process, which learns how each of them ended."""
    tests = CaseTests([{"args": [], "expected": "anything"}])
    sandbox = pairs[tier].one

    def look() -> str | None:
        (outcome,) = sandbox.run_many([Job("look", LOOK_AT_MEMORY, tests, "f")])
        return outcome.got

    usual = [look() for _ in range(3)][-1]
    assert usual is not None
    different = []
    for name, code in LEAVING.items():
        for _ in range(2):
            list(sandbox.run_many([Job(name, code, tests, "f")]))
            if look() != usual:
                different.append(name)
        list(sandbox.run_many([Job("whole", "print(1)", StdioTests([{"input": "", "output": "1"}]))]))
        if look() != usual:
            different.append(f"a whole program after {name}")
    assert different == []


@pytest.mark.parametrize("tier", TIERS)
def test_calls_that_share_something_are_refused(tier: str, pairs: dict[str, Pair]) -> None:
    lines = [f"    found[{name!r}] = call({', '.join(map(repr, numbers))})" for name, numbers in REFUSED.items()]
    code = "\n".join(
        [COMMON, "def f():", "    found = {}", *lines, "    return [name for name in found if found[name] not in NO]"]
    )
    code += "\nNO = ('EPERM', 'ENOSYS')\n"
    tests = CaseTests([{"args": [], "expected": []}])
    (outcome,) = pairs[tier].one.run_many([Job("calls", code, tests, "f")])
    assert outcome.state == "passed", outcome


@pytest.mark.parametrize("tier", ["full", "no-landlock"])
def test_every_program_in_namespaces_is_process_2(tier: str, pairs: dict[str, Pair]) -> None:
    tests = CaseTests([{"args": [], "expected": 2}])
    forks = (
        "import os\ndef f():\n    for _ in range(9):\n        if os.fork() == 0: os._exit(0)\n    return os.getpid()\n"
    )
    jobs = [Job(str(number), forks, tests, "f") for number in range(5)]
    assert [outcome.state for outcome in pairs[tier].one.run_many(jobs)] == ["passed"] * 5


@pytest.mark.parametrize("tier", ["full", "no-landlock"])
def test_file_locks_succeed_and_do_nothing(tier: str, pairs: dict[str, Pair]) -> None:
    code = """
import fcntl, os, sqlite3
def f():
    one, other = open("own", "w"), open("own", "a")
    fcntl.lockf(one, fcntl.LOCK_EX)
    if os.fork() == 0:
        fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os._exit(3)
    ended = os.waitstatus_to_exitcode(os.wait()[1])
    found = []
    for mode in ("wal", "delete", "truncate", "persist", "memory"):
        connections = [sqlite3.connect("own.db") for _ in range(2)]
        connections[0].execute(f"pragma journal_mode={mode}")
        connections[0].execute("create table if not exists t (v)")
        for number, connection in enumerate(connections):
            connection.execute("insert into t values (?)", (number,))
            connection.commit()
        found.append(connections[1].execute("select count(*) from t").fetchone()[0])
        for connection in connections: connection.close()
    return [ended, found]
"""
    tests = CaseTests([{"args": [], "expected": [3, [2, 4, 6, 8, 10]]}])
    (outcome,) = pairs[tier].one.run_many([Job("locks", code, tests, "f")])
    assert outcome.state == "passed", outcome


def isolation_of(sandbox: Sandbox) -> str:
    (outcome,) = sandbox.run_many([Job("any", "def f(): return 1", CaseTests([{"args": [], "expected": 1}]), "f")])
    return outcome.isolation


def test_what_cannot_be_hidden_is_documented() -> None:
    text = " ".join((ROOT / "docs/sandbox.md").read_text(encoding="utf-8").split())
    assert [words for words in SEEN.values() if words not in text] == []


CONTROL = """
import os, sys, time
def run(do):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        scope = {}
        exec(sys.argv[1], scope)
        os.write(write, repr(scope[do]()).encode())
        os.close(write)
        if do == "plant" and beside:
            time.sleep(60)
        os._exit(0)
    os.close(write)
    if not (do == "plant" and beside):
        os.waitpid(child, 0)
    return child, os.read(read, 100000)
beside = sys.argv[2] == "beside"
before = run("look")[1]
planter = run("plant")[0]
time.sleep(0.3)
seen = run("look")[1] != before
try:
    os.killpg(planter, 9)
except ProcessLookupError:
    pass
os.write(int(sys.argv[3]), b"seen" if seen else b"hidden")
"""
"""Programs in forks of one process, whose descriptors 0 to 2 they share, as those of the fork server once were."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, probe in PROBES.items() if probe.control])
def test_without_the_sandbox_the_trace_is_seen(name: str, tmp_path: Path) -> None:
    probe = PROBES[name]
    code = "\n".join([COMMON, probe.plant, probe.look])
    read, write = os.pipe()
    with open(os.devnull, "r+b") as null, os.fdopen(read) as answer:
        command = [sys.executable, "-c", CONTROL, code, "later" if probe.stays else "beside", str(write)]
        subprocess.run(command, stdin=null, stdout=null, stderr=null, check=True, cwd=tmp_path, pass_fds=[write])
        os.close(write)
        assert answer.read() == "seen"

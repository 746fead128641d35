"""What a program may not do to the machine: each attempt ends in a failed outcome and leaves nothing."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.records import AssertTests, CaseTests, StdioTests
from rrtf_trl.sandbox import Job, Outcome, Sandbox, describe_isolation
from support.sandbox_attacks import processes_named

ONE = CaseTests([{"args": [], "expected": 1}])
with_and_without_namespaces = pytest.mark.parametrize("where", ["sandbox", "bare_sandbox"])
hastily = pytest.mark.parametrize("where", ["hasty", "bare_and_hasty"])


def judge(sandbox: Sandbox, code: str, tests: CaseTests | StdioTests = ONE) -> Outcome:
    (outcome,) = sandbox.run_many([Job("one", code, tests, "f")])
    return outcome


@pytest.fixture
def runner(where: str, request: pytest.FixtureRequest) -> Sandbox:
    found: Sandbox = request.getfixturevalue(where)
    return found


@pytest.mark.slow
@hastily
def test_busy_loops_end(runner: Sandbox) -> None:
    stubborn = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\ndef f():\n    while True: pass"
    programs = (stubborn, "while True: pass", "def f():\n    while True: pass")
    outcomes = list(runner.run_many(Job(code, code, ONE, "f") for code in programs))
    assert [outcome.state for outcome in outcomes] == ["timeout"] * 3


FRESH = """
import os, resource, signal
def f():
    numbers = signal.SIGTERM, signal.SIGCHLD, signal.SIGINT  # that of SIGXCPU sends the answers so far
    handlers = [signal.getsignal(number) is signal.SIG_DFL for number in numbers]
    left = [kind.__name__ for kind in object.__subclasses__() if kind.__module__ == "solution"]
    limits = resource.getrlimit(resource.RLIMIT_CPU)
    open_ones = []
    for number in range(256):
        try:
            os.fstat(number)
            open_ones.append(number)
        except OSError:
            pass
    return [handlers, left, list(limits), open_ones, os.get_inheritable(3), dict(os.environ), os.listdir(".")]
"""


@with_and_without_namespaces
def test_what_was_run_before_leaves_nothing(runner: Sandbox) -> None:
    fresh = [[True] * 3, [], [1, 2], [0, 1, 2, 3], False, {}, []]
    outcome = judge(runner, FRESH, CaseTests([{"args": [], "expected": fresh}]))
    assert outcome.state == "passed", outcome.got


@pytest.mark.slow
def test_sleeping_ends(hasty_ones: list[Sandbox], judge_at_once: Any) -> None:
    jobs = [
        Job("call", "import time\ndef f(): time.sleep(1000)", ONE, "f"),
        Job("program", "import time\ntime.sleep(1000)", StdioTests([{"input": "", "output": ""}])),
    ]
    judged = judge_at_once((runner, [job]) for runner, job in zip(hasty_ones, jobs, strict=False))
    assert [[outcome.state for outcome in outcomes] for outcomes in judged] == [["timeout"]] * 2


@pytest.mark.slow
def test_timeout_keeps_what_passed_before(sandbox: Sandbox) -> None:
    tests = CaseTests([{"args": [value], "expected": value} for value in (1, 2, 3)])
    outcome = judge(sandbox, "def f(x):\n    while x == 2: pass\n    return x\n", tests)
    assert (outcome.state, outcome.passed, outcome.total) == ("timeout", 1, 3)


@with_and_without_namespaces
def test_memory_bombs_end(runner: Sandbox) -> None:
    assert judge(runner, "x = 'x' * (1 << 40)").state == "memory"
    assert judge(runner, "def f():\n    x = []\n    while True: x.append(bytearray(1 << 20))").state == "memory"


@pytest.mark.slow
@hastily
def test_fork_bombs_end_and_leave_nothing(runner: Sandbox) -> None:
    bomb = """
import ctypes, os, time
def f():
    ctypes.CDLL(None).prctl(15, b"forkbombmark")
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try: os.fork()
        except OSError: pass
    os.setsid()
    time.sleep(100)
"""
    assert judge(runner, bomb).state not in ("passed", "infrastructure")
    assert processes_named("forkbombmark") == []
    daemon = """
import ctypes, os, time
def f():
    try:
        if os.fork() == 0:
            os.setsid()
            ctypes.CDLL(None).prctl(15, b"daemonmark")
            if os.fork() == 0: time.sleep(100)
            time.sleep(100)
    except PermissionError:
        pass
    return 2
"""
    assert judge(runner, daemon).state == "partial"
    assert processes_named("daemonmark") == []


@with_and_without_namespaces
def test_no_network(runner: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        outcome = judge(
            runner, f"import socket\ndef f(): return bool(socket.create_connection(('127.0.0.1', {port})))"
        )
        assert outcome.state == "runtime_error"
        with pytest.raises(TimeoutError):
            server.accept()


@with_and_without_namespaces
def test_empty_environment(runner: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRTF_SECRET", "s3cret")
    code = "import os\ndef f(): return len(os.environ) + 1"
    with Sandbox(workers=1, tier=runner.tier) as fresh:
        assert judge(fresh, code).state == "passed"


@with_and_without_namespaces
def test_files_outside_cannot_be_changed(runner: Sandbox, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o777)
    target = tmp_path / "precious"
    target.write_text("here")
    target.chmod(0o666)
    code = f"""
import os, shutil
def f():
    done = 0
    path = {str(target)!r}
    for act in (lambda: open(path, "w").write("gone"), lambda: os.remove(path), lambda: os.rename(path, path + "x"),
                lambda: os.truncate(path, 0), lambda: os.chmod(path, 0), lambda: os.link(path, path + "y"),
                lambda: os.mkdir(path + "z"), lambda: os.utime(path)):
        try:
            act()
            done += 1
        except OSError: pass
    shutil.rmtree(os.path.dirname(path), ignore_errors=True)
    return done
"""
    before = target.stat()
    outcome = judge(runner, code, CaseTests([{"args": [], "expected": 0}]))
    assert outcome.state == "passed", outcome
    assert target.read_text() == "here"
    assert (target.stat().st_mode, target.stat().st_mtime) == (before.st_mode, before.st_mtime)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious"]


def test_files_outside_cannot_be_read(sandbox: Sandbox, tmp_path: Path) -> None:
    if not describe_isolation()["namespaces"]:
        pytest.skip("this machine offers no namespaces")
    (tmp_path / "answers").write_text("1")
    assert judge(sandbox, f"def f(): return int(open({str(tmp_path / 'answers')!r}).read())").state == "runtime_error"
    assert (
        judge(sandbox, f"import os\ndef f(): return os.path.exists({os.path.abspath(__file__)!r}) + 1").state
        == "passed"
    )
    assert (
        judge(sandbox, "import os\ndef f(): return len(os.listdir('/proc')) if os.path.exists('/proc') else 1").state
        == "passed"
    )


@pytest.mark.slow
def test_scratch_folder_is_private_and_removed(sandbox: Sandbox, bare_sandbox: Sandbox) -> None:
    before = set(os.listdir(tempfile.gettempdir()))
    code = """
import os, tempfile
def f():
    seen = len(os.listdir("."))
    with open("left.txt", "w") as file: file.write("left")
    os.makedirs("a/b/c")
    with tempfile.NamedTemporaryFile() as file: file.write(b"x")
    return seen + 1
"""
    for _ in range(4):
        if describe_isolation()["namespaces"]:
            assert judge(sandbox, code).state == "passed"
        assert judge(bare_sandbox, "import os\ndef f(): return len(os.listdir('.')) + 1").state == "passed"
    assert {name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("rrtf-")} == set()


@with_and_without_namespaces
def test_file_bombs_end(runner: Sandbox) -> None:
    code = "def f():\n    with open('big', 'wb') as file:\n        while True: file.write(bytes(1 << 20))\n"
    assert judge(runner, code).state == "runtime_error"


@pytest.mark.slow
@with_and_without_namespaces
def test_output_floods_end(runner: Sandbox) -> None:
    assert judge(runner, "import os\ndef f():\n    while True: os.write(1, b'x' * 65536)\n").state == "timeout"


@with_and_without_namespaces
def test_no_privileges(runner: Sandbox) -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None)
def f():
    gained = [libc.unshare(0x10000000), libc.unshare(0x00020000), libc.mount(b"none", b"/", b"tmpfs", 0, None),
              libc.ptrace(16, os.getppid(), 0, 0), libc.chroot(b"."), libc.prctl(38, 0, 0, 0, 0)]
    status = [libc.prctl(39, 0, 0, 0, 0)]
    return sum(result == 0 for result in gained) + status[0]
"""
    outcome = judge(runner, code)
    assert outcome.state == "passed", outcome


def test_outcomes_name_the_isolation(sandbox: Sandbox, bare_sandbox: Sandbox) -> None:
    offered = describe_isolation()
    assert judge(sandbox, "def f(): return 1").isolation == offered["isolation"]
    assert "namespaces" not in judge(bare_sandbox, "def f(): return 1").isolation
    assert judge(sandbox, "def f(): return 1").tier == offered["tier"]
    assert offered["namespaces"] or (offered["namespaces_reason"] and offered["advice"])


IN_PART = (
    "import os, time\ndef f(call):\n    call(1)\n    os.write(3, b'{')\n    time.sleep(1000)\ndef g(x): return x\n"
)
"""It starts an answer and never ends it, as a slow machine may leave one."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "tests"),
    [
        (f"{IN_PART}f(print)\n", StdioTests([{"input": "", "output": "1"}])),
        (IN_PART, AssertTests(["assert g(2) == 2", "assert f(lambda x: g(x)) == 1"])),
    ],
    ids=["a whole program", "after a call inside a call"],
)
def test_an_answer_that_is_on_its_way_when_time_is_up(code: str, tests: StdioTests | AssertTests) -> None:
    with Sandbox(workers=1, timeout=0.1, memory_mb=256) as quick:
        (outcome,) = quick.run_many([Job("one", code, tests)])
    assert outcome.state == "timeout", outcome

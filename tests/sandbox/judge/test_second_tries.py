# ruff: noqa: E501 - the programs are as they are
"""Programs that answer a question more than once, from whichever process or thread. None may pass."""

from __future__ import annotations

import os
from typing import Any

import pytest

from rrtf_trl.records import CheckTests
from rrtf_trl.sandbox import Job, Sandbox

pytestmark = pytest.mark.slow

# A program has one try a question, whichever processes and threads it answers from. `say` answers as the first does.
SAY = """
import ctypes, json, os, struct, subprocess, sys, threading, time
unsaid = []
def asked():
    frame = sys._getframe()
    while "number" not in frame.f_locals: frame = frame.f_back
    number = frame.f_locals["number"]
    while frame and "waiting" not in frame.f_locals: frame = frame.f_back
    unsaid[:] = [frame.f_locals["waiting"]] if frame else []  # what is to be sent before, where all was asked ahead
    return number
def frame(number, value):
    data = json.dumps([number, "v", value]).encode()
    return struct.pack(">I", len(data)) + data
def say(number, value, to=3): os.write(to, (unsaid.pop() if unsaid else b"") + frame(number, value))
"""
SECOND_TRIES = {
    "forks, and each gives another answer": "def f(x): return 4 if os.fork() else 9\n",
    "forks, and the child gives another answer by hand": """
def f(x):
    if os.fork() == 0:
        say(asked(), 9)
        os._exit(0)
    return 4
""",
    "forks at import, and both answer all": "child = os.fork() == 0\ndef f(x): return 9 if child else 4\n",
    "forks at import, and the child answers by hand first": """
number = asked()
if os.fork() == 0:
    data = json.dumps([number, "l", {"f": ["function", "function", None, 0]}]).encode()
    os.write(3, struct.pack(">I", len(data)) + data)
    for ahead in range(3): say(number + ahead, 9 if ahead == 2 else 4)
    time.sleep(60)
def f(x): return 4
""",
    "the child answers, its parent is silent": """
def f(x):
    if os.fork() == 0: say(asked(), x * x)
    time.sleep(60)
""",
    "the child answers, its parent has ended": """
def f(x):
    if os.fork(): os._exit(0)
    time.sleep(0.01)
    say(asked(), x * x)
    time.sleep(60)
""",
    "a child a guess": """
def f(x):
    for guess in range(12):
        if os.fork() == 0:
            say(asked(), guess)
            os._exit(0)
    return -1
""",
    "a child made by clone": """
def f(x):
    number, libc = asked(), ctypes.CDLL(None)
    if libc.syscall(56 if os.uname().machine == "x86_64" else 220, 17, 0, 0, 0, 0) == 0:
        say(number, x * x)
        libc._exit(0)
    return -1
""",
    "a sibling made by clone": """
def f(x):
    number, libc = asked(), ctypes.CDLL(None)
    if libc.syscall(56 if os.uname().machine == "x86_64" else 220, 0x8000 | 17, 0, 0, 0, 0) == 0:
        say(number, x * x)
        libc._exit(0)
    return -1
""",
    "a subprocess answers (vfork)": """
def f(x):
    code = f"import os; os.write(3, {frame(asked(), x * x)!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], pass_fds=[3])
    return -1
""",
    "posix_spawn answers": """
def f(x):
    code = f"import os; os.write(5, {frame(asked(), x * x)!r})"
    pid = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", code], {}, file_actions=[(os.POSIX_SPAWN_DUP2, 3, 5)])
    os.waitpid(pid, 0)
    return -1
""",
    "a process that got the channel by a socket answers": """
import socket
def f(x):
    number, (a, b) = asked(), socket.socketpair()
    if os.fork() == 0:
        _, (mine, *_), _, _ = socket.recv_fds(b, 1, 3)
        say(number, x * x, to=mine)
        os._exit(0)
    socket.send_fds(a, [b"x"], [3])
    os.wait()
    return -1
""",
    "claims to be another process": """
import socket
def f(x):
    number, me = asked(), os.getpid()
    if os.fork() == 0:
        channel = socket.socket(fileno=os.dup(3))
        for pid in (me, 1, 0):
            try: channel.sendmsg([frame(number, x * x)], [(socket.SOL_SOCKET, 2, struct.pack("3i", pid, os.getuid(), os.getgid()))])
            except OSError: pass
        os._exit(0)
    os.wait()
    return -1
""",
    "sends the channel through the channel": """
import socket
def f(x):
    socket.send_fds(socket.socket(fileno=os.dup(3)), [frame(asked(), x * x)], [3])
    return -1
""",
    "answers twice": "def f(x):\n    os.write(3, frame(asked(), 4) + frame(asked(), 9))\n    return x * x\n",
    "answers right, then returns something else": "def f(x):\n    say(asked(), x * x)\n    return -1\n",
    "answers right twice": "def f(x):\n    say(asked(), x * x)\n    return x * x\n",
    "answers wrong, then right": "def f(x):\n    say(asked(), -1)\n    return x * x\n",
    "two threads answer": """
def f(x):
    number = asked()
    threads = [threading.Thread(target=say, args=(number, guess)) for guess in (4, 9)]
    for one in threads: one.start()
    for one in threads: one.join()
    time.sleep(60)
""",
    "a thread answers as well": """
def f(x):
    thread = threading.Thread(target=say, args=(asked(), x * x))
    thread.start()
    thread.join()
    return -1
""",
    "answers the next question too": """
def f(x):
    number = asked()
    os.write(3, frame(number, 4) + b"".join(frame(number + ahead, 9) for ahead in range(1, 30)))
    time.sleep(60)
""",
    "answers all questions at import": "number = asked()\nfor ahead in range(30): say(number + ahead, 4)\ndef f(x): return 9\n",
    # To the first question only: a 9 that comes before the 4 of the second would be its one and right answer.
    "answers once more, unless it is too late": """
def f(x):
    number = asked()
    def late():
        for pause in (0, 0.0001, 0.001, 0.01, 0.1):
            time.sleep(pause)
            say(number, 9)
    if x == 2:
        threading.Thread(target=late, daemon=True).start()
    return 4
""",
    "half an answer more": "def f(x):\n    os.write(3, frame(asked(), x * x) + b'\\0\\0\\0')\n    time.sleep(60)\n",
}

REPEATS = int(os.environ.get("RRTF_HACK_REPEATS", "5"))
ONE_BIT = CheckTests("def check(candidate):\n    assert candidate(3) == 9\n")


def square() -> CheckTests:
    """Tests that the sandbox has not met, so that it asks call by call."""
    return CheckTests("def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9\n")


@pytest.mark.parametrize("name", SECOND_TRIES)
def test_no_second_try_passes_however_often_it_is_tried(
    name: str, hasty_ones: list[Sandbox], bare_and_hasty: Sandbox, judge_at_once: Any
) -> None:
    """RRTF_HACK_REPEATS=200 for the long run."""
    code = SAY + SECOND_TRIES[name]
    known, reference, repeats = square(), "def f(x): return x * x\n", REPEATS
    if "is silent" in name or "has ended" in name or "half" in name:  # these wait for their end
        repeats = max(1, REPEATS // 25)
    new = [Job("", code, square(), "f", reference) for _ in range(repeats)]
    again = [Job("", code, known, "f", reference)] * repeats
    judged = judge_at_once([(hasty_ones[0], new), (hasty_ones[1], again), (bare_and_hasty, [new[0], again[0]])])
    outcomes = [outcome for some in judged for outcome in some]
    assert len(outcomes) == 2 * repeats + 2
    assert [outcome for outcome in outcomes if outcome.state in ("passed", "infrastructure")] == []


@pytest.mark.parametrize("name", [name for name in SECOND_TRIES if "fork" in name or "child" in name])
def test_a_process_that_is_not_heard_decides_nothing(name: str, sandbox: Sandbox) -> None:
    """Where a single guess of the first process is right, the verdict is the same each time."""
    code = SAY + SECOND_TRIES[name].replace("time.sleep(60)", "time.sleep(0.01)")
    states = {outcome.state for outcome in sandbox.run_many([Job("", code, ONE_BIT, "f")] * 2 * REPEATS)}
    assert len(states) == 1


def test_one_answer_by_hand_is_an_answer(sandbox: Sandbox) -> None:
    """The control: what the programs above write reaches the judge, and it is the second answer that fails them."""
    wait = "    threading.Event().wait()\n"
    by_hand = "def f(x):\n    say(asked(), x * x)\n" + wait
    # Both at once: a program that says one after the other may be at its end before the second.
    both = "    os.write(3, b''.join(unsaid) + 2 * frame(number, x * x))\n"
    twice = "def f(x):\n    number = asked()\n" + both + wait
    only = CheckTests("def check(candidate):\n    assert candidate(3) == 9\n")
    for tests in (CheckTests(only.check), only, only, only):
        for body, state in ((by_hand, "passed"), (twice, "refused")):
            (outcome,) = sandbox.run_many([Job("", SAY + body, tests, "f")])
            assert outcome.state == state, outcome

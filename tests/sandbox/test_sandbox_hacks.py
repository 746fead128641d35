"""Wrong programs that try to be judged right. None may pass, with namespaces or without."""

from __future__ import annotations

import pytest

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, StdioTests, Tests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

# Each program should define f with f(2) == 4 and f(3) == 9, and does something else instead.
HACKS = {
    "equals everything": """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
def f(x): return Any()
""",
    "int that equals everything": """
class Any(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
def f(x): return Any(1)
""",
    "str that equals everything": """
class Any(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = str.__hash__
def f(x): return Any("1")
""",
    "list that equals everything": """
class Any(list):
    def __eq__(self, other): return True
    def __iter__(self): return iter([4, 9])
def f(x): return Any([1])
""",
    "int with lying conversions": """
class Any(int):
    def __int__(self): return 4
    def __index__(self): return 4
    def __pos__(self): return 4
    def __repr__(self): return "4"
    def __class__(self): return bool
def f(x): return Any(1)
""",
    "reduces to a call": """
class Any:
    def __reduce__(self): return (eval, ("4",))
    def __getstate__(self): return 4
def f(x): return Any()
""",
    "patched builtins": """
import builtins
builtins.isinstance = lambda *a: True
builtins.type = lambda *a: int
builtins.issubclass = lambda *a: True
builtins.all = builtins.any = lambda *a: True
builtins.AssertionError = ValueError
builtins.compile = builtins.exec = lambda *a, **k: None
def f(x): return None
""",
    "patched math and json": """
import json, math
math.isclose = lambda *a, **k: True
json.dumps = lambda *a, **k: '{"value": 4}'
json.loads = lambda *a, **k: 4
def f(x): return 1
""",
    "emptied sys.modules": """
import sys
sys.modules.clear()
def f(x): return 1
""",
    "patched codec": """
import sys
for name, module in list(sys.modules.items()):
    if name.startswith("rrtf_trl"):
        for key, value in list(vars(module).items()):
            if callable(value):
                try: setattr(module, key, lambda *a, **k: b"4")
                except Exception: pass
def f(x): return 1
""",
    "os._exit at import": "import os\nos._exit(0)\n",
    "os._exit in call": "import os\ndef f(x): os._exit(0)\n",
    "sys.exit at import": "import sys\nsys.exit(0)\n",
    "sys.exit in call": "import sys\ndef f(x): sys.exit(0)\n",
    "SystemExit in call": "def f(x): raise SystemExit(0)\n",
    "KeyboardInterrupt in call": "def f(x): raise KeyboardInterrupt\n",
    "StopIteration in call": "def f(x): raise StopIteration\n",
    "GeneratorExit in call": "def f(x): raise GeneratorExit\n",
    "AssertionError in call": "def f(x): raise AssertionError\n",
    "own BaseException": "class E(BaseException): pass\ndef f(x): raise E\n",
    "exception that is an AssertionError too": (
        "class E(AssertionError, ValueError):\n    def __str__(self): raise E\ndef f(x): raise E\n"
    ),
    "returns a generator": "def f(x):\n    yield x * x\n",
    "returns an iterator": "def f(x): return iter([x * x])\n",
    "async": "async def f(x): return x * x\n",
    "returns a function": "def f(x): return lambda: x * x\n",
    "returns a cycle": "def f(x):\n    a = []\n    a.append(a)\n    return a\n",
    "returns a deep list": """
def f(x):
    a = []
    for _ in range(100000): a = [a]
    return a
""",
    "returns a huge integer": "def f(x): return 1 << 10_000_000\n",
    "returns too much": "def f(x): return 'x' * 40_000_000\n",
    "f is a class": "class f:\n    def __init__(self, x): pass\n    def __eq__(self, other): return True\n",
    "f is missing": "def g(x): return x * x\n",
    "f is not callable": "f = 4\n",
    "forged frames to every descriptor": """
import json, os, struct
frames = b""
for body in ({"value": 4}, {"nonce": "", "value": 4}, {"state": "passed", "passed": 2, "total": 2}, {"ended": 1}):
    data = json.dumps(body).encode()
    frames += struct.pack(">I", len(data)) + data
for number in range(256):
    try: os.write(number, frames)
    except OSError: pass
def f(x): return 1
""",
    "reply sent before the call": """
import json, os, struct
pairs = ["d", [["nonce", ""], ["value", 4]]]
data = json.dumps(pairs).encode()
def f(x):
    os.write(3, struct.pack(">I", len(data)) + data)
    return 1
""",
    "huge length": "import os\ndef f(x):\n    os.write(3, b'\\xff' * 4)\n    return 1\n",
    "hostile JSON": """
import os
def f(x):
    os.write(3, b"\\x00\\x01\\x00\\x00" + b"[" * 65536)
    return 1
""",
    "flood of the channel": """
import os
def f(x):
    while True: os.write(3, b"\\x00\\x00\\x00\\x01x" * 10000)
""",
    "thread writes to the channel": """
import os, threading
def spam():
    while True:
        try: os.write(3, b"\\x00\\x00\\x00\\x02{}")
        except OSError: return
threading.Thread(target=spam, daemon=True).start()
def f(x): return 1
""",
    "closes the channel": "import os\nos.closerange(3, 100)\ndef f(x): return 4\n",
    "shutdown of the channel": (
        "import os, socket\ndef f(x):\n    socket.socket(fileno=3).shutdown(2)\n    import time\n    time.sleep(100)\n"
    ),
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit(0)\n",
    "searches frames and gc for the answer": """
import gc, sys
def f(x):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if isinstance(value, dict) and "expected" in value: return value["expected"]
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and "expected" in thing: return thing["expected"]
        if isinstance(thing, dict) and "asserts" in thing: return thing["asserts"]
    return None
""",
    "sys.settrace": """
import sys
def trace(frame, event, argument):
    for name in list(frame.f_locals): frame.f_locals[name] = 4
    return trace
sys.settrace(trace)
sys.setprofile(lambda *a: None)
def f(x): return 1
""",
    "endless recursion": "def f(x): return f(x)\n",
    "segmentation fault": "import ctypes\ndef f(x): ctypes.string_at(0)\n",
    "kills itself": "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGKILL)\n",
    "kills everyone": "import os, signal\ndef f(x):\n    os.kill(-1, signal.SIGKILL)\n    return 1\n",
    "kills its parent": """
import os, signal
def f(x):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP):
        try: os.kill(os.getppid(), number)
        except OSError: pass
        try: os.killpg(0, signal.SIGCONT)
        except OSError: pass
    return 1
""",
    "does not compile": "def f(x) return 4\n",
    "null byte": "def f(x): return 4\0\n",
    "lone surrogate": "def f(x): return '\ud800'\n",
    "raises at import": "raise ValueError('no')\n",
}

SQUARE: dict[str, tuple[Tests, str | None]] = {
    "check": (
        CheckTests("def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9\n"),
        "f",
    ),
    # Exceptions that a test handles are its own affair; what is no answer at all must not be swallowed.
    "swallowing check": (
        CheckTests("""
def check(candidate):
    for x in (2, 3):
        try:
            right = candidate(x) == x * x
        except Exception:
            right = False
        except:
            right = True
        assert right
"""),
        "f",
    ),
    "mapping check": (
        CheckTests("""
def check(candidate):
    for x, y in zip((2, 3), map(candidate, (2, 3))):
        assert x * x == y
"""),
        "f",
    ),
    "cases": (CaseTests([{"args": [2], "expected": 4}, {"args": [3], "expected": 9}]), "f"),
    "asserts": (AssertTests(["assert f(2) == 4", "assert f(3) == 9"]), None),
}
WALLS = ("sandbox", "bare_sandbox")


@pytest.fixture(scope="module")
def outcomes(sandbox: Sandbox, bare_sandbox: Sandbox) -> dict[tuple[str, str, str], Outcome]:
    found = {}
    for walls, runner in zip(WALLS, (sandbox, bare_sandbox), strict=True):
        kinds = SQUARE if walls == "sandbox" else {"cases": SQUARE["cases"]}
        jobs = [
            Job(f"{name}|{kind}", code, tests, entry)
            for name, code in HACKS.items()
            for kind, (tests, entry) in kinds.items()
            if kind in ("check", "cases") or name not in SLOW
        ]
        for outcome in runner.run_many(jobs):
            name, _, kind = outcome.job_id.partition("|")
            found[walls, name, kind] = outcome
        assert len([key for key in found if key[0] == walls]) == len(jobs)
    return found


SLOW = {
    "shutdown of the channel",
    "returns too much",
    "flood of the channel",
    "searches frames and gc for the answer",
}


@pytest.mark.parametrize("walls", WALLS)
@pytest.mark.parametrize("name", HACKS)
def test_no_hack_passes(name: str, walls: str, outcomes: dict[tuple[str, str, str], Outcome]) -> None:
    results = [outcome for (where, hack, _), outcome in outcomes.items() if (where, hack) == (walls, name)]
    assert results
    for outcome in results:
        assert outcome.state not in ("passed", "infrastructure"), outcome
        assert outcome.message


def test_the_sandbox_still_works_after_all_hacks(
    outcomes: dict[tuple[str, str, str], Outcome], sandbox: Sandbox, bare_sandbox: Sandbox
) -> None:
    for runner in (sandbox, bare_sandbox):
        for kind, (tests, entry) in SQUARE.items():
            (outcome,) = runner.run_many([Job(kind, "def f(x): return x * x", tests, entry)])
            assert (outcome.state, outcome.passed) == ("passed", outcome.total), outcome


def test_states_of_some_hacks(outcomes: dict[tuple[str, str, str], Outcome]) -> None:
    expected = {
        "does not compile": "compile_error",
        "null byte": "compile_error",
        "raises at import": "runtime_error",
        "sys.exit at import": "runtime_error",
        "os._exit at import": "runtime_error",
        "f is missing": "runtime_error",
        "SystemExit in call": "runtime_error",
        "endless recursion": "runtime_error",
        "returns a generator": "partial",
        "patched math and json": "refused",
        "huge length": "refused",
        "reply sent before the call": "refused",
    }
    assert {name: outcomes["sandbox", name, "cases"].state for name in expected} == expected


STDIO_HACKS = {
    "exits early": "import sys\nsys.exit(0)\n",
    "prints nothing": "input()\n",
    "writes a verdict": """
import os
for number in range(3, 50):
    try: os.write(number, b"\\x00\\x00\\x00\\x02{}")
    except OSError: pass
""",
    "right output, then fails": "print(int(input()) ** 2)\nraise ValueError\n",
    "right output, then a bad status": "import sys\nprint(int(input()) ** 2)\nsys.exit(3)\n",
    "prints both answers": "print(4)\nprint(9)\n",
}


@pytest.mark.parametrize("name", STDIO_HACKS)
def test_no_stdio_hack_passes(name: str, sandbox: Sandbox) -> None:
    tests = StdioTests([{"input": "2\n", "output": "4\n"}, {"input": "3\n", "output": "9\n"}])
    (outcome,) = sandbox.run_many([Job(name, STDIO_HACKS[name], tests)])
    assert outcome.state not in ("passed", "infrastructure"), outcome
    assert outcome.passed == 0

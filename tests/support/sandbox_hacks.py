"""Wrong programs that try to be judged right, and the tests that they are put to."""

from __future__ import annotations

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, Tests

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
    "calls the test again and again": """
import gc, sys
def f(x):
    for module in list(sys.modules.values()):
        check = getattr(module, "check", None)
        if callable(check):
            for guess in range(10):
                try:
                    check(lambda y: guess)
                    return guess
                except Exception: pass
    for thing in gc.get_objects():
        if getattr(thing, "__name__", "") == "check": return 4
    return 1
""",
    "patches the small integers": """
import ctypes
def f(x):
    ctypes.memmove(id(1) + 24, (4).to_bytes(4, "little"), 4)
    return 1
f(0)
""",
    "patches int itself": """
import ctypes, gc
table = gc.get_referents(int.__dict__)[0]
table["__eq__"] = lambda self, other: True
table["__pos__"] = lambda self: 4
ctypes.pythonapi.PyType_Modified(ctypes.py_object(int))
def f(x): return 1
""",
    "patches bytecode": """
import gc, types
for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and thing.__code__.co_filename != "<solution>":
        try: thing.__code__ = (lambda *a, **k: b"4").__code__
        except Exception: pass
def f(x): return 1
""",
    "writes its own memory": "def f(x):\n    open('/proc/self/mem', 'r+b').write(b'4')\n    return 1\n",
    "forks and answers twice": "import os\ndef f(x):\n    os.fork()\n    return 1\n",
    "ends as if out of time": "import os\ndef f(x): os._exit(152)\n",
    "raises SkipTest": "import unittest\ndef f(x): raise unittest.SkipTest('no')\n",
    "raises MemoryError": "def f(x): raise MemoryError\n",
    "raises a warning": "def f(x): raise UserWarning('4')\n",
    "raises a group": "def f(x): raise ExceptionGroup('g', [AssertionError()])\n",
    "exception that cannot be looked at": """
class E(Exception):
    def __str__(self): return 4
    def __getattribute__(self, name): raise SystemExit
def f(x): raise E
""",
    "array that equals everything": """
import numpy as np
class A(np.ndarray):
    def __eq__(self, other): return True
    __ne__ = lambda self, other: False
    def __array__(self, *a, **k): return np.array(4)
def f(x): return np.zeros(1).view(A)
""",
    "masked array": "import numpy as np\ndef f(x): return np.ma.masked_all(1)\n",
    "NumPy objects": "import numpy as np\ndef f(x): return np.array([object()], dtype=object)\n",
    "numbers whose hashes collide": "def f(x): return {n * (2**61 - 1): 0 for n in range(20000)}\n",
    "a range of everything": "def f(x): return range(10**18)\n",
    "a decimal of everything": "from decimal import Decimal\ndef f(x): return Decimal('1e999999999')\n",
    "a set that collides": "def f(x): return {n * (2**61 - 1) for n in range(30000)}\n",
    "a set of everything": "def f(x): return {None, True, 2, 3.0, '4', b'9', (4,), frozenset()}\n",
    "f is an exception": "class f(Exception):\n    def __eq__(self, other): return True\n",
    "f is a metaclass trick": """
class M(type):
    def __eq__(self, other): return True
    def __call__(self, *a): return self
    def __instancecheck__(self, other): return True
class f(metaclass=M): pass
""",
    "f is a module": "import sys, types\nf = types.ModuleType('f')\nf.__call__ = lambda x: x * x\n",
    "check of its own": "def check(candidate): pass\ndef same(*a): return True\ndef f(x): return 1\n",
    "builtins as answers": "def f(x): return [int, type, object, type(None)][x]\n",
    "nan": "def f(x): return float('nan')\n",
    "answers late from a thread": """
import threading, time
def f(x):
    threading.Thread(target=lambda: (time.sleep(0.05), answers.append(x * x))).start()
    return answers
answers = []
""",
    "forged load": """
import json, os, struct
for body in ([0, "l", {"f": ["value", "int", 4, 0]}], [0, "l", {"f": ["exception", "f", ["Exception"], 0]}], [1, "v", 4], [2, "v", 9]):
    data = json.dumps(body).encode()
    os.write(3, struct.pack(">I", len(data)) + data)
def f(x): return 1
""",
    "forged references": """
import json, os, struct
def f(x):
    for body in ([0, "k", [0, [], []]], [0, "i", [0, [], []]], [0, "k", [-1, [], []]], [1, "v", ["h", ["k", 0]]],
                 [1, "v", ["h", ["object", "x", None, -5]]], [1, "v", ["h", ["g", "f"]]], [1, "x", [["AssertionError"], "", None, [0]]]):
        data = json.dumps(body).encode()
        os.write(3, struct.pack(">I", len(data)) + data)
    return 1
""",
    "an exception of its own number": """
import json, os, struct
class E(Exception): pass
def f(x):
    data = json.dumps([1, "x", [["Exception"], "E", ["t", []], [0, 1, 2, 3]]]).encode()
    os.write(3, struct.pack(">I", len(data)) + data)
    return 1
""",
    "drips an answer": """
import os, time
def f(x):
    for byte in b"\\0\\0\\0\\x09" * 100:
        os.write(3, bytes([byte]))
        time.sleep(0.05)
""",
    "a number of a million digits": """
import os, struct
def f(x):
    data = b'[1,"v",' + b"7" * 10**6 + b"]"
    os.write(3, struct.pack(">I", len(data)) + data)
    return 1
""",
    "asks for another throw of the dice": """
import os, random, signal
dice = random.SystemRandom()
def f(x):
    if dice.random() < 0.9: os.kill(os.getpid(), signal.SIGTERM)
    return -1
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

STDIO_HACKS = {
    "first line only": "x = int(input())\nprint(x ** 2, end='')\nprint()\nprint('more')\n",
    "no line at all": "",
    "to stderr": "import sys\nprint(int(input()) ** 2, file=sys.stderr)\n",
    "both in a line": "print('4 9')\n",
    "a backspace": "print('9\\b4', '4\\b9')\n",
    "a carriage return": "print('9\\r4')\n",
    "null bytes": "print('4\\x00')\nprint('9\\x00')\n",
    "a leading blank": "print('', int(input()) ** 2)\n",
    "another number": "print(int(input()) ** 2 + 1e-9)\n",
    "spelled otherwise": "print(f'{int(input()) ** 2}.0')\n",
    "killed after the right output": "import os\nprint(int(input()) ** 2, flush=True)\nos.kill(os.getpid(), 9)\n",
    "reads its output back": "import os\nprint(os.pread(1, 100, 0) or os.pread(0, 100, 0))\n",
    "a verdict as output": "print('passed')\n",
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

# Tests, a right program, and wrong ones that a test in the program's own process would let through.
SPECIAL: dict[str, tuple[Tests, str, list[str]]] = {
    "aliased arguments": (
        CheckTests("def check(candidate):\n    for xs in ([3, 1, 2], [2, 1]):\n        assert candidate(xs) == sorted(xs)\n"),
        "def f(xs): return sorted(xs)\n",
        ["def f(xs):\n    xs.clear()\n    return xs\n", "def f(xs):\n    del xs[1:]\n    return xs[:]\n"],
    ),
    "aliased expected values": (
        CheckTests("def check(candidate):\n    want = [4]\n    assert candidate([want, 2]) == want\n    assert want == [4]\n"),
        "def f(x): return [4]\n",
        ["def f(x):\n    x[0][0] = 1\n    return [1]\n"],
    ),
    "overridden helpers": (
        CheckTests(
            "def close(a, b): return abs(a - b) < 1e-6\n"
            "def check(candidate):\n    import math\n    assert close(candidate(2), 4) and math.isclose(candidate(3), 9)\n"
        ),
        "def f(x): return x * x\n",
        ["def close(a, b): return True\ndef f(x): return 4\n", "import math\nmath.isclose = lambda *a: True\ndef f(x): return 4\n"],
    ),
    "exceptions that are asked for": (
        CheckTests(
            "def check(candidate):\n    try:\n        candidate(-1)\n    except ValueError:\n        pass\n    else:\n"
            "        assert False, 'no exception'\n    assert candidate(2) == 4\n"
        ),
        "def f(x):\n    if x < 0: raise ValueError\n    return x * x\n",
        ["def f(x): raise ValueError", "def f(x):\n    if x < 0: raise SystemExit\n    return 4\n", "def f(x):\n    if x < 0: raise KeyError\n    return 4\n"],
    ),
    "answers that decide what is asked": (
        CheckTests("def check(candidate):\n    x = candidate(2)\n    assert candidate(x) == 16\n    assert x == 4\n"),
        "def f(x): return x * x\n",
        ["def f(x): return 16", "def f(x): return {2: 4}.get(x, 15)", "seen = []\ndef f(x):\n    seen.append(x)\n    return 16\n"],
    ),
    "randomness": (
        CheckTests(
            "import random\ndef check(candidate):\n    for _ in range(50):\n        x = random.randint(0, 1000)\n"
            "        assert candidate(x) == x * x\n"
        ),
        "def f(x): return x * x\n",
        ["import random\nrandom.seed(0)\ndef f(x): return random.randint(0, 1000) ** 2\n", "def f(x): return x"],
    ),
    "a test that swallows": (
        CheckTests("def check(candidate):\n    try:\n        assert candidate(2) == 4\n    except BaseException as e:\n        if isinstance(e, AssertionError): raise\n"),
        "def f(x): return x * x\n",
        ["import os\ndef f(x): os._exit(0)", "def f(x): return lambda: 4", "import os\ndef f(x): os.write(3, b'xxxx')", "def f(x): raise SystemExit"],
    ),
}  # fmt: skip

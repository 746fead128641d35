# ruff: noqa: E501 - the programs are as they are
"""Right programs, some of them unusual. All must pass, with namespaces or without."""

from __future__ import annotations

import math

import pytest

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, StdioTests, Tests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

# Each defines f with f(2) == 4 and f(3) == 9.
SQUARES = {
    "plain": "def f(x): return x * x",
    "CRLF and tabs": "def f(x):\r\n\ty = x\r\n\tif y:\r\n\t\treturn x * y\r\n",
    "dataclass": """
from __future__ import annotations
from dataclasses import dataclass
@dataclass(frozen=True, order=True)
class Number:
    value: int
def f(x): return Number(x).value ** 2
""",
    "recursion": "def f(x, n=None):\n    n = x if n is None else n\n    return 0 if n == 0 else x + f(x, n - 1)\n",
    "deep recursion": """
import sys
sys.setrecursionlimit(20000)
def down(n): return 0 if n == 0 else 1 + down(n - 1)
def f(x): return x * x if down(5000) == 5000 else None
""",
    "threads": """
import threading
def f(x):
    out = []
    threads = [threading.Thread(target=out.append, args=(x,)) for _ in range(x)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return sum(out)
""",
    "global state": "calls = []\ndef f(x):\n    global calls\n    calls += [x]\n    return calls[-1] * x\n",
    "generator inside": "def f(x):\n    def g():\n        for _ in range(x): yield x\n    return sum(g())\n",
    "class inside": "class S:\n    def square(self, x): return x * x\ndef f(x): return S().square(x)\n",
    "lambda": "f = lambda x: x ** 2",
    "bound method": "class S:\n    def square(self, x): return x * x\nf = S().square\n",
    "main block does not run": "def f(x): return x * x\nif __name__ == '__main__':\n    raise SystemExit(input())\n",
    "prints a lot": "def f(x):\n    for _ in range(20000): print('x' * 100)\n    return x * x\n",
    "writes to stderr": "import sys\nprint('hello', file=sys.stderr)\ndef f(x): return x * x\n",
    "reads empty stdin": "import sys\ndef f(x): return x * x if sys.stdin.read() == '' else 0\n",
    "float answer": "def f(x): return float(x * x)",
    "bool and int": "def f(x): return x * x * True",
    "fraction arithmetic": "from fractions import Fraction\ndef f(x): return int(Fraction(x) / Fraction(1, x))\n",
    "asyncio inside": "import asyncio\nasync def g(x): return x * x\ndef f(x): return asyncio.run(g(x))\n",
    "shadows built-ins": "list = dict = sum = len = type = isinstance = None\ndef f(x): return x * x\n",
    "exec inside": "exec('def f(x): return x * x')",
    "star imports": "from math import *\nfrom typing import *\ndef f(x: int) -> Any: return int(pow(x, 2))\n",
    "looks itself up": "import sys\ndef f(x): return sys.modules[__name__].g(x)\ndef g(x): return x * x\n",
    "pickles its own class": """
import pickle
class Box:
    def __init__(self, v): self.v = v
def f(x): return pickle.loads(pickle.dumps(Box(x))).v ** 2
""",
    "cached": "from functools import lru_cache\n@lru_cache(maxsize=None)\ndef f(x): return x * x\n",
    "other names for the same int": "class N(int): pass\ndef f(x): return N(x * x)\n",
    "a hundred sleeping threads": """
import time
from concurrent.futures import ThreadPoolExecutor
def f(x):
    with ThreadPoolExecutor(100) as pool: list(pool.map(lambda _: time.sleep(.05), range(100)))
    return x * x
""",
    "two hundred open files": "def f(x):\n    files = [open('/dev/null') for _ in range(200)]\n    return x * x\n",
    "thread pool": """
from concurrent.futures import ThreadPoolExecutor
def f(x):
    with ThreadPoolExecutor(4) as pool: return sum(pool.map(lambda y: y, [x] * x))
""",
    "process pool": """
import multiprocessing
def g(y): return y
def f(x):
    with multiprocessing.get_context("fork").Pool(2) as pool: return sum(pool.map(g, [x] * x))
""",
    "process and queue": """
import multiprocessing as mp
def work(q, x): q.put(x * x)
def f(x):
    context = mp.get_context("fork")
    q = context.Queue()
    p = context.Process(target=work, args=(q, x))
    p.start()
    found = q.get()
    p.join()
    return found
""",
    "process executor": """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
def g(y): return y * y
def f(x):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool: return pool.submit(g, x).result()
""",
    "subprocess": """
import subprocess, sys
def f(x):
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"print({x} ** 2)"], capture_output=True, text=True)
    return int(done.stdout)
""",
    "asyncio gather": """
import asyncio
async def one(x):
    await asyncio.sleep(0.001)
    return x
async def all_(x): return sum(await asyncio.gather(*(one(x) for _ in range(x))))
def f(x): return asyncio.run(all_(x))
""",
    "tempfile": """
import os, tempfile
def f(x):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x")
        with open(path, "w") as file: file.write(str(x * x))
        with open(path) as file: return int(file.read())
""",
    "sqlite in a file": """
import sqlite3
def f(x):
    db = sqlite3.connect("x.db")
    db.execute("create table if not exists t (v)")
    db.execute("delete from t")
    db.executemany("insert into t values (?)", [(x,)] * x)
    db.commit()
    found = db.execute("select sum(v) from t").fetchone()[0]
    db.close()
    return found
""",
    "numpy": "import numpy as np\ndef f(x): return int(np.full(x, x).sum())\n",
    "numpy scalar": "import numpy as np\ndef f(x): return np.int64(x) ** 2\n",
    "seeded randomness": """
import random
def f(x):
    random.seed(x)
    first = random.random()
    random.seed(x)
    return x * x if random.random() == first else None
""",
    "secrets and uuid": "import secrets, uuid\ndef f(x): return x * x if len(secrets.token_hex(4)) == 8 and uuid.uuid4() else 0\n",
    "time and dates": "import datetime, time\ndef f(x): return x * x if datetime.datetime.now().year > 2000 and time.time() else 0\n",
    "signals": """
import signal
def f(x):
    seen = []
    signal.signal(signal.SIGALRM, lambda *_: seen.append(x * x))
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    signal.pause()
    return seen[0]
""",
    "redirected output": """
import contextlib, io
def f(x):
    out = io.StringIO()
    with contextlib.redirect_stdout(out): print(x * x)
    return int(out.getvalue())
""",
    "hashlib": "import hashlib\ndef f(x): return x * x if hashlib.md5(b'a').hexdigest().startswith('0cc1') else 0\n",
    "walrus and match": """
def f(x):
    match [x, (y := x)]:
        case [a, b]: return a * b
""",
    "type hints by string": "def f(x: 'list[Foo]') -> 'Bar': return x * x",
    "future annotations": "from __future__ import annotations\ndef f(x: Nothing) -> Nowhere: return x * x\n",
    "coding line": "# -*- coding: latin-1 -*-\n# \xe4\ndef f(x): return x * x\n",
    "byte order mark": "\ufeffdef f(x): return x * x\n",
    "form feeds and odd blanks": "def f(x):\n\x0c    return x * x   \n\n\t\n",
    "long": "\n".join(f"def g{n}(x): return x" for n in range(2000)) + "\ndef f(x): return g1999(x) * x\n",
    "garbage collected": "import gc\ndef f(x):\n    gc.collect()\n    return x * x\n",
    "weak references": "import weakref\nclass A: pass\nkeep = A()\nr = weakref.ref(keep)\ndef f(x): return x * x if r() else 0\n",
    "abstract classes": """
from abc import ABC, abstractmethod
class A(ABC):
    @abstractmethod
    def g(self): ...
class B(A):
    def g(self): return 1
def f(x): return B().g() * x * x
""",
    "metaclass": "class M(type): pass\nclass A(metaclass=M): v = 1\ndef f(x): return A.v * x * x\n",
    "decorator with state": """
def counted(g):
    def h(*a, **k):
        h.calls += 1
        return g(*a, **k)
    h.calls = 0
    return h
@counted
def f(x): return x * x
""",
    "recursion over threads": """
import sys, threading
threading.stack_size(64 * 2**20)
sys.setrecursionlimit(10**5)
def down(n): return 0 if n == 0 else 1 + down(n - 1)
def f(x):
    out = []
    t = threading.Thread(target=lambda: out.append(down(20000)))
    t.start()
    t.join()
    return x * x if out == [20000] else None
""",
    "enum": "import enum\nclass E(enum.IntEnum):\n    A = 4\n    B = 9\ndef f(x): return E(x * x)\n",
}

# program, arguments, what f(*arguments) must equal
VALUES = {
    "namedtuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'a b')\ndef f(): return P(1, 2)",
        (1, 2),
    ),
    "OrderedDict": ("from collections import OrderedDict\ndef f(): return OrderedDict(a=1)", {"a": 1}),
    "defaultdict": (
        "from collections import defaultdict\ndef f():\n    d = defaultdict(int)\n    d[1] += 1\n    return d",
        {1: 1},
    ),
    "Counter": ("from collections import Counter\ndef f(): return Counter('aab')", {"a": 2, "b": 1}),
    "nested": ("def f(): return [(1, {'k': {2, 3}}), frozenset({4})]", [(1, {"k": {2, 3}}), frozenset({4})]),
    "bytes": ("def f(): return b'\\x00\\xff'", b"\x00\xff"),
    "complex": ("def f(): return 1 + 2j", 1 + 2j),
    "nan and inf": ("def f(): return [float('nan'), float('-inf'), -0.0]", [math.nan, -math.inf, 0.0]),
    "None": ("def f(): pass", None),
    "huge integer": ("def f(): return 7 ** 20000", 7**20000),
    "unicode": ("def f(): return '\\U0001f600 \\x00 \\ud800'", "\U0001f600 \x00 \ud800"),
    "long list": ("def f(): return list(range(200000))", list(range(200000))),
    "type": ("def f(): return [int, str]", [int, str]),
    "big output": ("def f(): return 'x' * 3_000_000", "x" * 3_000_000),
    "nested tuples": ("def f(): return ((1, (2, (3,))), [()])", ((1, (2, (3,))), [()])),
    "mixed keys": (
        "def f(): return {1: 'a', 'b': (2,), (3,): None, None: True}",
        {1: "a", "b": (2,), (3,): None, None: True},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sandbox", "bare_sandbox"])
def test_right_programs_pass(where: str, request: pytest.FixtureRequest) -> None:
    sandbox: Sandbox = request.getfixturevalue(where)
    square = CaseTests([{"args": [2], "expected": 4}, {"args": [], "kwargs": {"x": 3}, "expected": 9}])
    jobs = [
        Job(
            name,
            code,
            CaseTests([{"args": [2], "expected": 4}]) if name in ("cached", "lambda") else square,
            "f",
        )
        for name, code in SQUARES.items()
        if where == "sandbox" or name not in INSIDE
    ]
    jobs += [
        Job(name, code, CaseTests([{"args": [], "expected": value}]), "f") for name, (code, value) in VALUES.items()
    ]
    assert [outcome for outcome in sandbox.run_many(jobs) if outcome.state != "passed"] == []


# What takes processes or files of its own, which there are only with namespaces.
INSIDE = {"process pool", "process and queue", "process executor", "subprocess", "tempfile", "sqlite in a file"}


def judge(sandbox: Sandbox, *arguments: object, **more: object) -> Outcome:
    (outcome,) = sandbox.run_many([Job("one", *arguments, **more)])  # type: ignore[arg-type]
    return outcome


def test_cases_count_and_compare_outside(sandbox: Sandbox) -> None:
    cases = CaseTests([{"args": [value], "expected": value} for value in (1, 2, 3)])
    outcome = judge(sandbox, "def f(x):\n    if x == 2: raise KeyError(x)\n    return x\n", cases, "f")
    assert (outcome.state, outcome.passed, outcome.total) == ("partial", 2, 3)
    assert "case 1" in outcome.message
    assert "KeyError" in outcome.message
    assert "f(2)" in outcome.message
    tuples = CaseTests([{"args": [], "expected": [1, 2]}])
    assert judge(sandbox, "def f(): return (1, 2)", tuples, "f").state == "partial"
    close = [{"args": [], "expected": {"a": [1.0, 2]}}]
    program = "def f(): return {'a': [1.0000001, 2]}"
    assert judge(sandbox, program, CaseTests(close), "f").state == "partial"
    assert judge(sandbox, program, CaseTests(close, atol=1e-6), "f").state == "passed"


def test_check_says_which_line_failed(sandbox: Sandbox) -> None:
    check = CheckTests("def check(candidate):\n    assert candidate(2) == 4, 'two'\n    assert candidate(3) == 9\n")
    outcome = judge(sandbox, "def f(x): return 4", check, "f")
    assert outcome.state == "partial"
    assert "f(3) returned 4" in outcome.message
    assert "assert candidate(3) == 9" in outcome.message


def test_check_may_expect_an_exception(sandbox: Sandbox) -> None:
    check = CheckTests(
        "def check(candidate):\n    try: candidate(-1)\n    except ValueError: return\n    assert False\n"
    )
    assert judge(sandbox, "def f(x):\n    if x < 0: raise ValueError(x)\n", check, "f").state == "passed"
    assert judge(sandbox, "class E(ValueError): pass\ndef f(x): raise E(x)\n", check, "f").state == "passed"
    assert judge(sandbox, "def f(x): raise KeyError(x)\n", check, "f").state == "runtime_error"
    assert judge(sandbox, "def f(x): return x\n", check, "f").state == "partial"


def test_check_that_calls_nothing_is_failed(sandbox: Sandbox) -> None:
    assert judge(sandbox, "def f(x): return x", CheckTests("def check(candidate): pass"), "f").state == "partial"


def test_context_gives_helpers_but_never_the_answer(sandbox: Sandbox) -> None:
    context = "def double(x): return 2 * x\ndef f(x): return double(x)\n"
    check = CheckTests("def check(candidate):\n    candidate(1)\n    assert f(3) == double(3)\n")
    helpers = ("double",)
    assert judge(sandbox, "def f(x): return x + x", check, "f", context, helpers=helpers).state == "passed"
    liar = "def f(x): return 0\ndef double(x): return 0"
    assert judge(sandbox, liar, check, "f", context, helpers=helpers).state == "partial"
    # A function of the reference that is no helper has to be the program's own.
    assert judge(sandbox, "def f(x): return x + x", check, "f", context).state == "runtime_error"
    wrong = "def f(x): return x + x\ndef double(x): return x"
    assert judge(sandbox, wrong, check, "f", context).state == "partial"


def test_broken_tests_are_our_fault(sandbox: Sandbox) -> None:
    for check in ("def check(candidate) pass", "x = 1", "raise ValueError", "import no_such_module"):
        outcome = judge(sandbox, "def f(x): return x", CheckTests(check), "f")
        assert outcome.state == "infrastructure", outcome
        assert "tests are broken" in outcome.message


def test_asserts_count_each_and_run_outside(sandbox: Sandbox) -> None:
    tests = AssertTests(["assert f(2) == 4", "assert math.isclose(f(3), 9)", "assert g(f(4)) == 17"], "import math")
    right = "def f(x): return x * x\ndef g(x): return x + 1\n"
    assert judge(sandbox, right, tests).state == "passed"
    outcome = judge(sandbox, right.replace("x * x", "x * x if x < 4 else 0"), tests)
    assert (outcome.state, outcome.passed, outcome.total) == ("partial", 2, 3)
    assert "assert g(f(4)) == 17" in outcome.message
    assert judge(sandbox, "import math\nmath.isclose = lambda *a: True\ndef f(x): return 4", tests).passed == 1
    missing = judge(sandbox, "def h(x): return x", tests)
    assert missing.state == "runtime_error"
    assert "does not define" in missing.message


def test_setup_that_swallows_a_fault_cannot_revive_the_program(sandbox: Sandbox) -> None:
    setup = "try: f(0)\nexcept BaseException: pass"
    liar = "import os\ndef f(x):\n    if x == 0: os.write(3, b'\\x00\\x00\\x00\\x01x')\n    return x * x\n"
    assert judge(sandbox, liar, AssertTests(["assert f(2) == 4"], setup)).state == "refused"


def test_asserts_of_a_function_named_like_a_builtin(sandbox: Sandbox) -> None:
    tests = AssertTests(["assert sum(10, 15) == 6", "assert sum(100, 150) == 93"])
    program = (
        "def sum(a, b): return 1 + __builtins__['sum'](i for i in range(2, min(a, b) + 1) if a % i == b % i == 0)"
    )
    program = "import builtins\n" + program.replace("__builtins__['sum']", "builtins.sum")
    assert judge(sandbox, program, tests).state == "passed"
    assert judge(sandbox, program, tests, "sum").state == "passed"
    liar = "def sum(a, b): return 0\ndef len(x): return 0\n"
    assert judge(sandbox, liar, AssertTests(["assert sum(1, 2) == len([1])"])).state == "partial"


def test_objects_of_the_programs_classes_live_where_the_program_is(sandbox: Sandbox) -> None:
    tests = AssertTests(["assert height(root) == 1"], "root = Node(1)")
    outcome = judge(sandbox, "class Node:\n    def __init__(self, v): pass\ndef height(n): return 1\n", tests)
    assert outcome.state == "passed"
    outcome = judge(sandbox, "def apply(g): return g()", AssertTests(["assert apply(lambda: 1) == 1"]))
    assert outcome.state == "passed"


def test_stdio_compares_lines(sandbox: Sandbox) -> None:
    tests = StdioTests([{"input": "1 2\n", "output": "3\n"}, {"input": "5 6", "output": "11"}])
    program = "a, b = map(int, input().split())\nif __name__ == '__main__':\n    print(a + b, '  ')\n    print()\n"
    assert judge(sandbox, program, tests).state == "passed"
    assert (
        judge(sandbox, "import sys\nprint(sum(map(int, sys.stdin.read().split())))\nsys.exit()", tests).state
        == "passed"
    )
    outcome = judge(sandbox, "print(3)", tests)
    assert (outcome.state, outcome.passed, outcome.total) == ("partial", 1, 2)
    assert "case 1: line 1: expected '11', got '3'" in outcome.message
    assert judge(sandbox, "print(", tests).state == "compile_error"
    failed = judge(sandbox, "raise IndexError('x')", tests)
    assert failed.state == "runtime_error"
    assert "IndexError: x" in failed.message


def test_stdio_ends_like_a_program(sandbox: Sandbox) -> None:
    program = """
import atexit, threading, time
atexit.register(print, "three", flush=True)
def late():
    time.sleep(0.1)
    print("two")
threading.Thread(target=late).start()
print("one")
"""
    assert judge(sandbox, program, StdioTests([{"input": "", "output": "one\ntwo\nthree"}])).state == "passed"


def test_stdio_with_large_input_and_output(sandbox: Sandbox) -> None:
    text = "".join(f"{number}\n" for number in range(100_000))
    echo = "import sys\nfor line in sys.stdin: sys.stdout.write(line)\n"
    assert judge(sandbox, echo, StdioTests([{"input": text, "output": text}])).state == "passed"
    flood = judge(sandbox, "print('x' * 2_000_000)", StdioTests([{"input": "", "output": "x"}]))
    assert flood.state == "partial"
    assert "more than" in flood.message
    endless = judge(sandbox, "while True: print('x' * 1000)", StdioTests([{"input": "", "output": "x"}]))
    assert endless.state in ("runtime_error", "partial")


# Tests that look at what the function did to their argument: the reference, another right program, wrong ones.
IN_PLACE: dict[str, tuple[Tests, str, str, list[str]]] = {
    "a list": (
        CheckTests("def check(candidate):\n    xs = [3, 1, 2]\n    candidate(xs)\n    assert xs == [1, 2, 3]\n"),
        "def f(xs): xs.sort()\n",
        "def f(xs): xs[:] = sorted(xs)\n",
        ["def f(xs): pass\n", "def f(xs): xs.clear()\n", "def f(xs): return sorted(xs)\n", "def f(xs): xs[:] = [object()]\n"],
    ),
    "rows of a matrix": (
        CheckTests(
            "def check(candidate):\n    row = [1, 2]\n    m = [row, [3, 4]]\n    assert candidate(m) is None\n"
            "    assert m == [[1, 3], [2, 4]] and row == [1, 3]\n"
        ),
        "def f(m): m[0][1], m[1][0] = m[1][0], m[0][1]\n",
        "def f(m): m[0][:], m[1][:] = [1, 3], [2, 4]\n",
        ["def f(m): m.reverse()\n", "def f(m): m[0][1] = 3\n"],
    ),
    "a dict and its answer": (
        AssertTests(["assert f(d, 'a') == 1", "assert d == {'b': [2]}"], "d = {'a': 1, 'b': [2]}"),
        "def f(d, key): return d.pop(key)\n",
        "def f(d, key):\n    found = d[key]\n    del d[key]\n    return found\n",
        ["def f(d, key): return d[key]\n", "def f(d, key):\n    d.clear()\n    return 1\n"],
    ),
    "lengths alone": (
        CheckTests("def check(candidate):\n    xs = [[1, 2], [3]]\n    candidate(xs)\n    assert [len(x) for x in xs] == [1, 2]\n"),
        "def f(xs): xs.reverse()\n",
        "def f(xs): xs.sort(key=len)\n",
        [
            # Objects of these lengths would pass, as they do in plain execution: the test asks for nothing else.
            "class A:\n    def __len__(self): return 1\n    def __eq__(self, other): return True\n"
            "def f(xs): xs[:] = [A(), A()]\n"
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_arguments_that_are_changed_in_place(name: str, sandbox: Sandbox) -> None:
    tests, reference, right, wrong = IN_PLACE[name]
    jobs = [Job("right", code, tests, "f", reference) for code in (reference, right)] * 3
    jobs += [Job(code, code, tests, "f", reference) for code in wrong] * 2
    for outcome in sandbox.run_many(jobs):
        assert (outcome.state == "passed") is (outcome.job_id == "right"), outcome


def test_arguments_stay_as_they_are_where_the_tests_do_not_look_at_them(sandbox: Sandbox) -> None:
    """The reference sorts in place too, but its tests pass by value: then nobody may change what they expect."""
    check = CheckTests(
        "def check(candidate):\n    xs = [3, 1, 2]\n    assert candidate(xs) == sorted(xs)\n    assert len(xs) == 3\n"
    )
    reference = "def f(xs):\n    xs.sort()\n    return xs\n"
    assert judge(sandbox, reference, check, "f", context=reference).state == "passed"
    assert (
        judge(sandbox, "def f(xs):\n    xs.clear()\n    return xs\n", check, "f", context=reference).state == "partial"
    )

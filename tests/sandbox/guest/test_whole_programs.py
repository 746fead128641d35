# ruff: noqa: E501 - the programs are as they are
"""Whole programs print in the sandbox what they print when they are run by ``python solution.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rrtf_trl.records import StdioTests
from rrtf_trl.sandbox import Job, Sandbox

TIERS = ("full", "no-landlock", "no-namespaces")
INPUT = "3\n1 2 3\n"
PROGRAMS = {
    # What there is of a script
    "name": "print(__name__, __file__.endswith('solution.py') or __file__.startswith('/proc'), __spec__, __package__, __doc__)",
    "docstring": '"""What it does."""\nprint(__doc__)\n',
    "built-ins as a module": "print(__builtins__.sum([1, 2]), type(__builtins__).__name__, __builtins__.__name__)",
    "built-ins are changed": "__builtins__.answer = 5\nprint(answer)",
    "main module": "import sys\nx = 3\nprint(sys.modules['__main__'].x, sys.modules['__main__'].__dict__ is globals())",
    "import of main": "x = 4\nimport __main__\nprint(__main__.x)",
    "main guard": "def main(): print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    input()\n    main()\n",
    "arguments": "import sys\nprint(len(sys.argv), sys.argv[1:])",
    "argparse": "import argparse\nprint(argparse.ArgumentParser().parse_args())",
    "annotations": "x: int = 3\nprint(__annotations__)",
    "globals": "print(sorted(globals()), sorted(dir()) == sorted(vars()))",
    "loader": "print(type(__loader__).__name__, __loader__.name, __cached__)",
    "dataclass and pickle": (
        "import pickle\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n"
        "print(pickle.loads(pickle.dumps(P(3))), P.__module__)\n"
    ),
    "type hints": "from __future__ import annotations\nimport typing\ndef f(x: P) -> int: ...\nclass P: ...\nprint(sorted(typing.get_type_hints(f)))",
    # Its own text
    "reads itself": "print(open(__file__).read()[:10], len(open(__file__).read()))",
    "a quine": "print(open(__file__).read(), end='')",
    "source of a function": "import inspect\ndef f(x):\n    return x + 1  # one more\nprint(inspect.getsource(f))",
    "runs itself again": "import runpy, sys\nif __name__ == '__main__':\n    print(runpy.run_path(__file__, run_name='other')['x'])\nx = 7\n",
    # Input
    "input": "print(int(input()), input().split())",
    "input with a prompt": "n = input('n? ')\nprint(n)",
    "input at the end": "while True:\n    try: print(input())\n    except EOFError: break\nprint('end')",
    "standard input": "import sys\nprint(sys.stdin.read().split())",
    "lines": "import sys\nprint([line.strip() for line in sys.stdin])",
    "readline": "import sys\ninput = sys.stdin.readline\nn = int(input())\nprint(n, input().strip(), repr(input()))",
    "bytes": "import sys\nprint(sys.stdin.buffer.read().split())",
    "bytes by lines": "import sys\nprint(sys.stdin.buffer.readline(), list(sys.stdin.buffer))",
    "os.read": "import os\nprint(os.read(0, 4), os.read(0, 100), os.read(0, 1))",
    "open(0)": "print(open(0).read().split())",
    "open(0) in bytes": "import io\nprint(io.BytesIO(open(0, 'rb').read()).readline())",
    "os.fdopen": "import os\nprint(os.fdopen(0).readlines())",
    "mmap": "import mmap\nprint(mmap.mmap(0, 0, access=mmap.ACCESS_READ).readline())",
    "fileinput": "import fileinput\nprint([line.split() for line in fileinput.input()])",
    "replaced input": "import io, os, sys\nsys.stdin = io.StringIO(os.read(0, os.fstat(0).st_size).decode())\nprint(input(), input())",
    "select": "import select, sys\nprint(len(select.select([sys.stdin], [], [], 1)[0]))",
    "next on stdin": "import sys\nprint(next(sys.stdin), end='')",
    "/dev/stdin": "print(open('/dev/stdin').read().split())",
    "/dev/stdin in bytes": "print(open('/dev/stdin', 'rb').readlines())",
    "/dev/fd": "print(open('/dev/fd/0').read())",
    "Path of /dev/stdin": "import pathlib\nprint(pathlib.Path('/dev/stdin').read_text().split())",
    "numpy reads /dev/stdin": "import numpy as np\nprint(np.loadtxt('/dev/stdin', skiprows=1).sum())",
    "csv": "import csv, sys\nprint(list(csv.reader(sys.stdin, delimiter=' ')))",
    "json": "import json, sys\nprint(json.loads(sys.stdin.readline()))",
    # Output
    "write": "import sys\nsys.stdout.write('a\\n')\nsys.stdout.buffer.write(b'b\\n')",
    "writelines": "import sys\nsys.stdout.writelines(f'{n}\\n' for n in range(5))",
    "os.write": "import os\nprint('one', flush=True)\nos.write(1, b'two\\n')\nprint('three')",
    "redirected": "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as out: print('x')\nprint(out.getvalue() * 2)",
    "replaced output": "import io, os, sys\nsys.stdout = io.StringIO()\nprint('late')\nos.write(1, sys.stdout.getvalue().encode())",
    "wrapped output": "import io, os, sys\nsys.stdout = io.TextIOWrapper(os.fdopen(1, 'wb', 100), write_through=True)\nprint('x')",
    "/dev/stdout": "open('/dev/stdout', 'w').write('x\\n')",
    "/dev/stdout before and after": "print('later')\nwith open('/dev/stdout', 'a') as out: print('first', file=out)\n",
    "/dev/stderr": "open('/dev/stderr', 'w').write('x')\nprint('x')",
    "/dev/null": "print(open('/dev/null').read() == '')\nopen('/dev/null', 'w').write('x')",
    "closes output": "import sys\nprint('x')\nsys.stdout.close()",
    "unicode": "print('\\N{GREEK SMALL LETTER ALPHA} \\U0001f600')",
    "reconfigured": "import sys\nsys.stdout.reconfigure(line_buffering=True, encoding='latin-1')\nprint('\\xe4')",
    "much": "print('\\n'.join(map(str, range(200000))))",
    "logging": "import logging, sys\nlogging.basicConfig(stream=sys.stdout, level=10, format='%(message)s')\nlogging.info('x')",
    # The end
    "exit": "print('x')\nexit()\nprint('y')",
    "quit": "print('x')\nquit()",
    "sys.exit": "import sys\nprint('x')\nsys.exit(0)",
    "sys.exit in a function": "import sys\ndef f(): sys.exit()\ntry: f()\nfinally: print('x')",
    "os._exit": "import os, sys\nprint('x')\nsys.stdout.flush()\nos._exit(0)",
    "atexit": "import atexit\natexit.register(print, 'bye')\nprint('x')",
    "atexit in order": "import atexit\nfor n in range(3): atexit.register(print, n)",
    "a thread that goes on": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.05), print('late'))).start()\nprint('early')",
    "a daemon": "import threading, time\nthreading.Thread(target=time.sleep, args=(100,), daemon=True).start()\nprint('x')",
    "__del__": "class A:\n    def __del__(self): print('gone')\na = A()\nprint('x')",
    "weakref.finalize": "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'final')\nprint('x')",
    "end of input by StopIteration": "import sys\nit = iter(sys.stdin)\nprint(next(it).strip())\nprint(sum(1 for _ in it))",
    # The idioms of contests
    "deep recursion": "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(50000))",
    "deep recursion in a thread": (
        "import sys, threading\nsys.setrecursionlimit(10**7)\nthreading.stack_size(2**27)\n"
        "def f(n): return 0 if n == 0 else 1 + f(n - 1)\ndef main(): print(f(100000))\n"
        "t = threading.Thread(target=main)\nt.start()\nt.join()\n"
    ),
    "more stack": "import resource, sys\nresource.setrlimit(resource.RLIMIT_STACK, (2**26, resource.RLIM_INFINITY))\nsys.setrecursionlimit(10**5)\ndef f(n): return n and 1 + f(n - 1)\nprint(f(30000))",
    "cached recursion": "import sys\nfrom functools import lru_cache\nsys.setrecursionlimit(10**5)\n@lru_cache(None)\ndef f(n): return n if n < 2 else f(n - 1) + f(n - 2)\nprint(f(300))",
    "fast reading": "import sys\ndata = sys.stdin.buffer.read().split()\nn, *a = map(int, data)\nsys.stdout.write(str(sum(a)) + '\\n')",
    "generator of input": "import sys\ndef tokens():\n    for line in sys.stdin: yield from line.split()\nt = tokens()\nprint([int(next(t)) for _ in range(int(next(t)))])",
    "star import": "from math import *\nfrom collections import *\nprint(gcd(4, 6), Counter('aab')['a'], floor(pi))",
    "a generator as main": "def solve():\n    n = yield\n    print(n)\ng = solve()\nnext(g)\ntry: g.send(int(input()))\nexcept StopIteration: pass",
    # The environment
    "environment": "import os\nprint(all(os.environ[name] for name in ('HOME', 'PATH', 'LANG', 'USER')), os.getenv('NO_SUCH', 'default'))",
    "home": "import os, pathlib\nprint(os.path.expanduser('~') == os.environ['HOME'], pathlib.Path.home().exists())",
    "user": "import getpass\nprint(bool(getpass.getuser()))",
    "encoding": "import locale, sys\nprint(sys.stdout.encoding.lower(), locale.getpreferredencoding().lower(), sys.getfilesystemencoding())",
    "platform": "import platform, sys\nprint(platform.system(), sys.platform, platform.python_implementation())",
    "sizes": "import os, shutil\nprint(shutil.get_terminal_size((80, 20)).columns, os.cpu_count() > 0)",
    "clocks": "import time\nprint(time.time() > 0, time.perf_counter() > 0, time.process_time() >= 0, time.monotonic() > 0, time.thread_time() >= 0)",
    "signals": "import signal\nsignal.signal(signal.SIGALRM, lambda *_: print('alarm'))\nsignal.setitimer(signal.ITIMER_REAL, .01)\nsignal.pause()",
    "decimal and locale": "import decimal, locale\nprint(decimal.Decimal('1') / 3, locale.setlocale(locale.LC_ALL, ''))",
    "process id": "import os\nprint(os.getpid() > 1)",
    # Many at once
    "a hundred sleeping threads": (
        "import time\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(100) as pool: print(sum(pool.map(lambda n: time.sleep(.05) or n, range(100))))\n"
    ),
    "two hundred open files": "files = [open('/dev/null') for _ in range(200)]\nprint(len(files))",
    "asyncio": "import asyncio\nasync def main():\n    print(sum(await asyncio.gather(*(asyncio.sleep(.01, n) for n in range(50)))))\nasyncio.run(main())",
    "asyncio with threads": "import asyncio, time\nasync def main(): print(await asyncio.to_thread(lambda: 3))\nasyncio.run(main())",
}
INSIDE = {
    # What takes files or processes
    "a module of its own": "import sys\nopen('helper.py', 'w').write('x = 9')\nimport helper\nprint(helper.x)",
    "its folder": "import os\nprint(os.path.dirname(os.path.abspath(__file__)) == os.getcwd(), 'solution.py' in os.listdir())",
    "files": "open('a.txt', 'w').write('x')\nprint(open('a.txt').read())\nimport os\nos.remove('a.txt')\nprint(os.path.exists('a.txt'))",
    "a hundred and thirty temporary files": "import tempfile\nprint(len([tempfile.TemporaryFile() for _ in range(130)]))",
    "temporary folder": "import tempfile\nprint(bool(tempfile.gettempdir()))",
    "temporary names": "import os, tempfile\nwith tempfile.NamedTemporaryFile('w+') as f, tempfile.TemporaryDirectory() as d:\n    f.write('x')\n    print(os.path.isdir(d))",
    "sqlite": "import sqlite3\nc = sqlite3.connect('x.db')\nc.execute('create table t (v)')\nc.execute('insert into t values (3)')\nc.commit()\nprint(c.execute('select v from t').fetchall())",
    "shelve": "import shelve\nwith shelve.open('s') as s: s['a'] = 3\nwith shelve.open('s') as s: print(s['a'])",
    "spawn": (
        "import multiprocessing as mp\ndef g(x): return x * x\nif __name__ == '__main__':\n    mp.set_start_method('spawn')\n"
        "    with mp.Pool(2) as p: print(p.map(g, range(5)))\n"
    ),
    "fork server": (
        "import multiprocessing as mp\ndef g(x): return x * x\nif __name__ == '__main__':\n"
        "    with mp.get_context('fork').Pool(2) as p: print(p.map(g, range(5)), p.apply_async(g, (3,)).get())\n"
    ),
    "a process and a queue": (
        "import multiprocessing as mp\ndef g(q): q.put(7)\nif __name__ == '__main__':\n    mp.set_start_method('fork')\n"
        "    q = mp.Queue()\n    p = mp.Process(target=g, args=(q,))\n    p.start()\n    print(q.get())\n    p.join()\n    print(p.exitcode)\n"
    ),
    "shared values": (
        "import multiprocessing as mp\ndef g(v):\n    for _ in range(100):\n        with v.get_lock(): v.value += 1\n"
        "if __name__ == '__main__':\n    v = mp.Value('i', 0)\n    ps = [mp.Process(target=g, args=(v,)) for _ in range(3)]\n"
        "    [p.start() for p in ps]\n    [p.join() for p in ps]\n    print(v.value)\n"
    ),
    "executor": (
        "from concurrent.futures import ProcessPoolExecutor\ndef g(x): return x + 1\nif __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(2) as pool: print(list(pool.map(g, range(4))))\n"
    ),
    "subprocess": "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'print(input())'], capture_output=True, text=True, input='x').stdout)",
    "a child prints": "import subprocess\nprint('one', flush=True)\nsubprocess.run(['echo', 'two'])\nprint('three')",
    "a child reads": "import subprocess\nsubprocess.run(['cat'])",
    "a child reads /dev/stdin": "import subprocess\nsubprocess.run(['cat', '/dev/stdin'])",
    "a shell": "import os\nprint(os.popen('echo $HOME | wc -l; sort /dev/null').read(), os.system('true'))",
    "fork": "import os\nif os.fork() == 0:\n    print('child', flush=True)\n    os._exit(0)\nos.wait()\nprint('parent')",
    "fork that returns": "import os, sys\npid = os.fork()\nif pid: os.wait()\nprint('child' if pid == 0 else 'parent')",
    "kills itself": "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: print('term'))\nos.kill(os.getpid(), signal.SIGTERM)",
    "changes folder": "import os\nos.mkdir('d')\nos.chdir('d')\nprint(os.path.basename(os.getcwd()))",
}


@pytest.fixture(scope="module")
def runners() -> Iterator[dict[str, Sandbox]]:
    with ExitStack() as stack:
        yield {tier: stack.enter_context(Sandbox(1, timeout=5.0, tier=tier)) for tier in TIERS}  # type: ignore[arg-type]


def run_plainly(code: str, folder: Path) -> str:
    """Return what a program prints when it is run by ``python solution.py``; it has to end with status 0."""
    (folder / "solution.py").write_text(code, encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "USER": "user", "PYTHONUTF8": "1",
    }  # fmt: skip
    (folder / "input").write_text(INPUT)
    command = [sys.executable, "solution.py"]
    with open(folder / "input", "r+b") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "surrogateescape")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PROGRAMS, *INSIDE])
def test_a_whole_program_prints_what_it_prints_elsewhere(
    name: str, runners: dict[str, Sandbox], tmp_path: Path
) -> None:
    if "numpy" in name:
        pytest.importorskip("numpy")
    code = (PROGRAMS | INSIDE)[name]
    tests = StdioTests([{"input": INPUT, "output": run_plainly(code, tmp_path)}] * 2, ignore_trailing_blanks=False)
    for tier in TIERS if name in PROGRAMS else TIERS[:2]:
        (outcome,) = runners[tier].run_many([Job(name, code, tests)])
        assert outcome.state == "passed", outcome


def test_output_may_be_as_long_as_what_is_expected() -> None:
    text = "x" * 100 + "\n"
    with Sandbox(1, output_kb=1) as sandbox:
        tests = StdioTests([{"input": "", "output": text * 1000}])
        jobs = [
            Job("right", "for _ in range(1000): print('x' * 100)", tests),
            Job("wrong", "for _ in range(2000): print('x' * 100)", tests),
            Job("short", "for _ in range(3): print('x' * 100)", StdioTests([{"input": "", "output": text * 2}])),
        ]
        found = {outcome.job_id: outcome for outcome in sandbox.run_many(jobs)}
    assert found["right"].state == "passed"
    assert found["wrong"].state == "partial"
    assert "more than" in found["wrong"].message
    assert found["short"].state == "partial"

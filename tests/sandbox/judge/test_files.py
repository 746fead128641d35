# ruff: noqa: E501 - the programs are as they are
"""pytest and unittest files run in the judge against the program as a module."""

from __future__ import annotations

import os
import tempfile

import pytest

from rrtf_trl.records import PytestTests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

PLAIN = """
import pytest
from solution import square, Counter
import solution

@pytest.mark.parametrize("x", [0, 1, 2, 3])
def test_square(x):
    assert square(x) == x * x

def test_negative():
    with pytest.raises(ValueError, match="negative"):
        square(-1)

class TestCounter:
    def setup_method(self):
        self.counter = Counter()

    def test_counts(self):
        self.counter.add(2)
        assert self.counter.total == 2

def test_approx():
    assert solution.square(0.1) == pytest.approx(0.01)

@pytest.fixture
def ready():  # this takes pytest itself
    yield 1

def test_constant(ready):
    assert solution.LIMIT == 10
"""
UNITTEST = """
import unittest
import solution

class TestSquare(unittest.TestCase):
    def test_square(self):
        self.assertEqual(solution.square(3), 9)

    def test_negative(self):
        with self.assertRaises(ValueError):
            solution.square(-1)

    def test_subtests(self):
        for x in range(3):
            with self.subTest(x=x):
                self.assertEqual(solution.square(x), x * x)

if __name__ == "__main__":
    unittest.main()
"""
RIGHT = """
LIMIT = 10
def square(x):
    if x < 0: raise ValueError("negative")
    return x * x
class Counter:
    def __init__(self): self.total = 0
    def add(self, n): self.total += n
"""


def judge(sandbox: Sandbox, code: str, files: dict[str, str], context: str = "") -> Outcome:
    (outcome,) = sandbox.run_many([Job("one", code, PytestTests(files), None, context)])
    return outcome


@pytest.mark.slow
def test_right_programs_pass(sandbox: Sandbox) -> None:
    before = set(os.listdir(tempfile.gettempdir()))
    for context in ("", RIGHT):
        outcome = judge(sandbox, RIGHT, {"test_plain.py": PLAIN}, context)
        assert (outcome.state, outcome.passed, outcome.total) == ("passed", 8, 8), outcome
        outcome = judge(sandbox, RIGHT, {"tests/test_unit.py": UNITTEST, "tests/__init__.py": ""}, context)
        assert (outcome.state, outcome.passed, outcome.total) == ("passed", 3, 3), outcome
    left = {name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("rrtf-tests-")}
    assert left == set()


@pytest.mark.slow
def test_files_import_each_other_and_conftest_gives_fixtures(sandbox: Sandbox) -> None:
    files = {
        "helper.py": "def twice(x): return 2 * x\n",
        "conftest.py": "import pytest\n@pytest.fixture\ndef four(): return 4\n",
        "test_it.py": "from helper import twice\nfrom solution import *\ndef test(four): assert square(twice(1)) == four\n",
    }
    assert judge(sandbox, RIGHT, files).state == "passed"
    assert judge(sandbox, "__all__ = ['square']\n" + RIGHT, files).state == "passed"
    patched = {
        "test_it.py": "import solution\ndef test(monkeypatch):\n    monkeypatch.setattr(solution, 'LIMIT', 3)\n    assert solution.limit() == 3\n"
        "def test_after(): assert solution.limit() == 10\n"
    }
    assert judge(sandbox, RIGHT + "def limit(): return LIMIT\n", patched).state == "passed"


@pytest.mark.slow
def test_wrong_programs_say_which_test_failed(sandbox: Sandbox) -> None:
    outcome = judge(sandbox, RIGHT.replace("x * x", "x + x"), {"test_plain.py": PLAIN})
    assert (outcome.state, outcome.passed, outcome.total) == ("partial", 5, 8), outcome
    assert "test_square[1]" in str(outcome.test)
    assert "assert 2 == (1 * 1)" in outcome.message
    assert judge(sandbox, "def square(x) return", {"test_plain.py": PLAIN}).state == "compile_error"
    assert judge(sandbox, "raise ValueError", {"test_plain.py": PLAIN}).state == "runtime_error"
    missing = judge(sandbox, "def square(x): return x * x", {"test_plain.py": PLAIN}, RIGHT)
    assert (missing.passed, missing.total) == (0, 8)
    assert "Counter" in missing.message
    slow = judge(sandbox, RIGHT + "\ndef square(x):\n    while True: pass\n", {"test_plain.py": PLAIN})
    assert slow.state == "timeout"


HACKS = {
    "leaves at import": "import os\nos._exit(0)\n",
    "leaves in a call": "import os\ndef square(x): os._exit(0)\n",
    "skips": "import pytest\ndef square(x): pytest.skip('no')\n",
    "skips like unittest": "import unittest\ndef square(x): raise unittest.SkipTest\n",
    "expects to fail": "import pytest\ndef square(x): pytest.xfail('no')\n",
    "leaves pytest": "import pytest\ndef square(x): pytest.exit('no', 0)\n",
    "brings a conftest": (
        "import os\nfor folder in ('.', '/tmp', '..'):\n    try: open(folder + '/conftest.py', 'w').write("
        "'collect_ignore_glob = [\"*\"]')\n    except OSError: pass\ndef square(x): return 0\n"
    ),
    "brings tests of its own": "def test_one(): pass\ndef test_two(): pass\ndef square(x): return 0\n",
    "patches pytest": (
        "import _pytest.runner, _pytest.python\n_pytest.runner.call_and_report = lambda *a, **k: None\n"
        "_pytest.python.Function.runtest = lambda self: None\ndef square(x): return 0\n"
    ),
    "equals everything": "class A:\n    def __eq__(self, other): return True\ndef square(x): return A()\n",
    "is all names": "def __getattr__(name): return lambda *a, **k: True\n",
    "writes a report": "print('8 passed in 0.01s')\ndef square(x): return 0\n",
    "raises what is asked for": "def square(x): raise ValueError('negative')\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HACKS)
def test_no_hack_passes(name: str, sandbox: Sandbox) -> None:
    rest = "\nclass Counter:\n    def __init__(self): self.total = 2\n    def add(self, n): pass\nLIMIT = 10\n"
    for context in ("", RIGHT):
        outcome = judge(sandbox, HACKS[name] + rest, {"test_plain.py": PLAIN}, context)
        assert outcome.state not in ("passed", "infrastructure"), outcome


@pytest.mark.slow
def test_a_star_import_covers_nothing_of_the_tests(sandbox: Sandbox) -> None:
    files = {
        "helper.py": "def close(a, b): return abs(a - b) < 1e-6\n",
        "test_it.py": "import pytest\nfrom helper import close\nfrom solution import *\n"
        "def test_a(): assert abs(square(2) - 4) < 1e-6\n"
        "def test_b():\n    with pytest.raises(ValueError): square(-1)\n"
        "def test_c(): assert close(square(3), 9)\n",
    }
    liar = (
        "def abs(x): return 0.0\ndef close(a, b): return True\nclass pytest:\n    @staticmethod\n    def raises(*a):\n"
        "        import contextlib\n        return contextlib.nullcontext()\ndef square(x): return 5\n"
        "class T:\n    def __sub__(self, other): return self\ndef test_a(): pass\ntest_b = test_c = test_a\n"
    )
    assert judge(sandbox, RIGHT, files).state == "passed"
    assert judge(sandbox, RIGHT, files, RIGHT).state == "passed"
    assert judge(sandbox, liar, files, RIGHT).passed == 0
    outcome = judge(sandbox, liar, files)
    assert outcome.state != "passed"
    assert outcome.passed <= 1  # a helper is the program's word where there is no reference


@pytest.mark.slow
def test_all_tests_of_the_reference_must_be_collected(sandbox: Sandbox) -> None:
    files = {
        "test_it.py": "import pytest, solution\n@pytest.mark.parametrize('x', solution.CASES)\ndef test(x): assert x == 1\n"
    }
    reference = "CASES = [1, 1, 1]\n"
    assert judge(sandbox, reference, files, reference).state == "passed"
    assert judge(sandbox, "CASES = [1]\n", files, reference).state == "partial"
    assert judge(sandbox, "CASES = []\n", files, reference).passed == 0
    assert judge(sandbox, "CASES = []\n", files).state not in ("passed", "infrastructure")


@pytest.mark.slow
def test_tests_that_skip_or_that_the_reference_fails_are_broken(sandbox: Sandbox) -> None:
    skip = {
        "test_it.py": "import pytest, solution\n@pytest.mark.skip\ndef test_a(): pass\ndef test_b(): solution.square(1)\n"
    }
    outcome = judge(sandbox, RIGHT, skip, RIGHT)
    assert outcome.state == "infrastructure"
    assert "of 2 tests the reference passes 1" in outcome.message
    outcome = judge(sandbox, RIGHT, {"test_plain.py": PLAIN}, RIGHT.replace("x * x", "x"))
    assert outcome.state == "infrastructure"
    assert judge(sandbox, RIGHT, {"test_it.py": "def test(): pass\n"}).state != "passed"
    assert judge(sandbox, RIGHT, {"test_it.py": "x = (\n"}).state != "passed"


@pytest.mark.parametrize(("source", "missing"), [(UNITTEST, "unittest"), (PLAIN, "pytest")])
def test_a_file_that_does_not_import_what_it_uses_fails(source: str, missing: str) -> None:
    lacking = source.replace(f"import {missing}\n", "", 1)
    with Sandbox(1) as sandbox:
        (outcome,) = sandbox.run_many([Job("it", RIGHT, PytestTests({"test_solution.py": lacking}), None)])
    assert outcome.state != "passed"
    assert f"NameError: name '{missing}' is not defined" in outcome.message

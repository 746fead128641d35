"""Programs that know nothing of their task, and forms of tests that they try to pass."""

from __future__ import annotations

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, PytestTests, Tests

ANYTHING = """
class Anything:
    def __init__(self, *args, **kwargs): pass
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 1
    def __bool__(self): return True
    def __len__(self): return 1
    def __iter__(self): return iter(())
    def __contains__(self, item): return True
    def __getitem__(self, key): return self
    def __setitem__(self, key, value): pass
    def __call__(self, *args, **kwargs): return self
    def __getattr__(self, name): return self
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __add__(self, other): return self
    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __and__ = __or__ = __add__
    def __enter__(self): return self
    def __exit__(self, *error): return True
    def __repr__(self): return "42"
"""
_ALL_NAMES = "f = g = Box = decode = encode = Anything()\n"
_FUNCTIONS = "f = g = Box = decode = encode = answer\n"

HOSTILE = {
    "equals everything": ANYTHING + _ALL_NAMES,
    "a subclass of plain data that equals everything": """
class Number(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
def answer(*args, **kwargs): return Number()
"""
    + _FUNCTIONS,
    **{
        f"reads constants of frames, {at}": f"""
import sys
def constants(code):
    for one in code.co_consts:
        if hasattr(one, "co_consts"):
            yield from constants(one)
        else:
            yield one
def answer(*args, **kwargs):
    frame, found = sys._getframe(1), []
    while frame is not None:
        found += [one for one in constants(frame.f_code) if type(one) in (int, str, tuple, float)]
        found += [v for k, v in frame.f_globals.items() if k.startswith("_rrtf_") and not callable(v)]
        found += [v for k, v in frame.f_locals.items() if type(v) in (int, list, dict, str, tuple)]
        frame = frame.f_back
    found = [one for one in found if not any(one is arg for arg in args)]
    return found[{at} % len(found)] if found else 42
{_FUNCTIONS}"""
        for at in (0, 1, 2, 3, -1, -2)
    },
    "looks for the largest integer with gc": """
import gc
def answer(*args, **kwargs):
    found = [0]
    for one in gc.get_objects():
        if type(one) in (list, tuple, set):
            found += [item for item in list(one)[:50] if type(item) is int and 10**5 < item < 10**6]
        elif type(one) is dict:
            found += [item for item in list(one.values())[:50] if type(item) is int and 10**5 < item < 10**6]
    return found[-1]
"""
    + _FUNCTIONS,
    "replaces what reports": """
def answer(*args, **kwargs):
    here = globals()
    for name in list(here):
        if name.startswith("_rrtf_") and callable(here[name]):
            here[name] = patched(name, here[name])
    return 0
def patched(name, original):
    if name == "_rrtf_guard":
        return lambda *a: True
    if name == "_rrtf_truth":
        return lambda value: original(True)
    if name == "_rrtf_apply":
        return lambda how, native, *operands: True
    if name == "_rrtf_raises":
        class Quiet:
            def __enter__(self): return self
            def __exit__(self, *error): return True
        return lambda *a, **k: Quiet()
    if name == "_rrtf_see":
        return lambda index, nested, value, *more: original(index, nested, True, *more)
    return original
"""
    + _FUNCTIONS,
    "replaces built-ins": """
import builtins, math, operator, functools, re
def answer(*args, **kwargs):
    for name in ("sorted", "len", "isinstance", "all", "any", "sum", "repr", "str", "abs", "round", "max", "min", "list"):
        setattr(builtins, name, lambda *a, **k: True)
    math.isclose = operator.eq = lambda *a, **k: True
    return 0
"""
    + _FUNCTIONS,
    "answers by the judge's own function": """
import sys
def answer(*args, **kwargs):
    frame = sys._getframe(1)
    while frame is not None and "answer" not in frame.f_locals:
        frame = frame.f_back
    if frame is not None:
        for _ in range(3):
            frame.f_locals["answer"]("v", True)
    return True
"""
    + _FUNCTIONS,
    "ends itself": """
import os
def answer(*args, **kwargs):
    os._exit(0)
"""
    + _FUNCTIONS,
    "raises an exception of all kinds": """
class All(ValueError, KeyError, IndexError, TypeError, ZeroDivisionError, AttributeError, RuntimeError): pass
def answer(*args, **kwargs):
    raise All("42")
"""
    + _FUNCTIONS,
    "changes its arguments": """
def answer(*args, **kwargs):
    for one in args:
        for change in ("clear",):
            if hasattr(one, change):
                getattr(one, change)()
    return type(args[0])() if args and type(args[0]) in (list, dict, set) else 0
"""
    + _FUNCTIONS,
    **{
        f"always {value}": f"def answer(*args, **kwargs): return {value}\n{_FUNCTIONS}"
        for value in ("True", "False", "None", "0", "[]")
    },
}

WANTED = 987654
"""What the right program answers to 2."""
RIGHT = """
def f(x, *more):
    if isinstance(x, str) or x is None:
        raise TypeError("text")
    if isinstance(x, list):
        return sorted(x)
    return x * 493827
def g(x): return f(x) > 0
def encode(x): return [x]
def decode(x): return x[0]
class Box:
    def __init__(self, value=0): self.value = value
    def get(self): return self.value * 493827
    def __eq__(self, other): return isinstance(other, Box) and self.value == other.value
    def __contains__(self, x): return x == self.value
    def skip(self, n): return n * 493827
    def __len__(self): return 1
    def __enter__(self): return self
    def __exit__(self, *error): return True
    def put(self, value):
        if value < 0: raise ValueError("negative")
        self.value = value
        return self
"""
_ASSERTS = {
    "equal": "assert f(2) == 987654",
    "equal from the left": "assert 987654 == f(2)",
    "not unequal": "assert not f(2) != 987654",
    "and": "assert f(2) == 987654 and f(0) == 0",
    "or": "assert f(2) == 987654 or f(2) == 987655",
    "chain": "assert 987653 < f(2) < 987655",
    "chain of answers": "assert f(2) == f(2) == 987654",
    "in": "assert f(2) in (987654, 987655)",
    "list": "assert [f(2)] == [987654]",
    "dict": "assert {'a': f(2)} == {'a': 987654}",
    "variable": "want = 987654\nassert f(2) == want",
    "answer in a variable": "got = f(2)\nassert got == 987654",
    "class": "class Want: value = 987654\nassert f(2) == Want.value",
    "loop": "for x, want in [(2, 987654), (0, 0)]:\n    assert f(x) == want",
    "loop with a jump": "for x, want in [(1, 0), (2, 987654)]:\n    if x == 1: continue\n    assert f(x) == want",
    "while": "n = 0\nwhile n < 1:\n    n += 1\n    assert f(2) == 987654",
    "zip": "for got, want in zip(map(f, [2]), [987654]):\n    assert got == want",
    "all": "assert all(f(x) == want for x, want in [(2, 987654)])",
    "not any": "assert not any(f(x) != want for x, want in [(2, 987654)])",
    "list of answers": "assert [f(x) for x in (0, 2)] == [0, 987654]",
    "map": "assert list(map(f, [2])) == [987654]",
    "sum": "assert sum(f(x) for x in [2]) == 987654",
    "arithmetic": "assert f(2) + 1 == 987655",
    "close": "import math\nassert math.isclose(f(2), 987654)",
    "abs": "assert abs(f(2) - 987654) < 1e-6",
    "text": "assert str(f(2)) == '987654'",
    "format": "assert '%d' % f(2) == '987654'",
    "f-string": "assert f'{f(2)}' == '987654'",
    "walrus": "assert (y := f(2)) == 987654\nassert y - 1 == 987653",
    "unpacking": "a, *b = [f(2), 1]\nassert a == 987654",
    "subscript": "table = {987654: 'yes'}\nassert table[f(2)] == 'yes'",
    "conditional": "assert f(2) == (987654 if 1 else 0)",
    "sorted": "assert f([98, 3]) == [3, 98]\nassert f(2) == 987654",
    "function of the tests": "def same(a, b): return a == b\nassert same(f(2), 987654)",
    "object": "b = Box(2)\nassert b.get() == 987654",
    "method that is named as what ends a test": "b = Box(2)\ny = b.skip(2)\nassert y == 987654",
    "object changed": "b = Box()\nb.put(2)\nassert b.get() == 987654\nassert len(b) == 1",
    "raises": "import pytest\nwith pytest.raises(TypeError):\n    f('x')\nassert f(2) == 987654",
    "raises alone": "import pytest\nwith pytest.raises(TypeError):\n    f('x')",
    "two answers": "assert f(2) == f(2)",
    "argument: there and back": "assert decode(encode(987654)) == 987654",
    "truth": "assert g(2)\nassert not g(-2)\nassert g(5) is True\nassert g(-9) == False",
    "sent: comparison in a variable": "ok = f(2) == 987654\nassert ok",
    "sent: comparison in a list": "ok = [f(x) == w for x, w in [(2, 987654)]]\nassert all(ok)",
    "sent: comparison in a sum": "assert sum(f(x) == w for x, w in [(2, 987654)]) == 1",
    "sent: any": "assert any(f(x) == 987654 for x in [2])",
    "sent: if": "if f(2) != 987654:\n    raise ValueError\nassert f(0) == 0",
    "sent: if else": "if f(2) == 987654:\n    ok = 1\nelse:\n    ok = 0\nassert ok == 1",
    "sent: match": "match f(2):\n    case 987654: ok = True\n    case _: ok = False\nassert ok",
    "sent: try": "try:\n    f('x')\nexcept TypeError:\n    pass\nelse:\n    assert False",
    "sent: try and flag": "raised = False\ntry:\n    f('x')\nexcept TypeError:\n    raised = True\nassert raised",
    "sent: try alone": "try:\n    f('x')\nexcept TypeError:\n    pass\nassert f(0) == 0",
    "sent: function that catches": "def t():\n    try:\n        f('x')\n    except TypeError:\n        return 1\n    return 0\nassert t() == 1",
    "sent: suppress": "import contextlib\nwith contextlib.suppress(TypeError):\n    f('x')\nassert f(0) == 0",
    "sent: manager": "with Box():\n    1 / 0\nassert f(0) == 0",
    "sent: exit": "if not f(2):\n    exit(1)\nassert f(0) == 0",
    "sent: pattern": "match f(2):\n    case 987654: n = f(0)\n    case _: n = f(2)\nassert n == 0",
    "sent: function that calls": "def t(x, want):\n    assert f(x) == want\nt(2, 987654)",
    "sent: function that returns": "def t(x, want): return f(x) == want\nassert t(2, 987654)",
    "sent: class": "class T:\n    def go(self):\n        assert f(2) == 987654\nT().go()",
    "sent: unittest": "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(2), 987654)\nT('test').debug()",
    "sent: with": "import contextlib\nwith contextlib.nullcontext():\n    assert f(2) == 987654",
    "sent: method of an answer": "ok = f(2).__eq__(987654)\nassert ok",
    "sent: operator": "import operator\nok = operator.eq(f(2), 987654)\nassert ok",
    "sent: lambda": "t = lambda want: f(2) == want\nassert t(987654)",
    "sent: objects": "assert Box(2) == Box(2)\nassert Box(2) != Box(3)\nassert 2 in Box(2)",
    "expected of a variable": "xs = [3, 1]\ngot = f(xs)\nwant = sorted(xs)\nassert got == want",
    "sent: loop over answers": "for x in f([3, 1]):\n    assert x in (1, 3)\nassert len(f([3, 1])) == 2",
    "sent: append": "out = []\nout.append(f(2))\nfor x in out:\n    assert x == 987654",
}


def _check(text: str) -> CheckTests:
    body = "".join(f"    {line}\n" for line in text.split("\n"))
    return CheckTests(f"def check(candidate):\n    f = candidate\n{body}")


_PYTEST = """
import pytest
import unittest
from solution import f, Box

@pytest.fixture
def want():
    return 987654

def test_fixture(want):
    assert f(2) == want

@pytest.mark.parametrize("x, wanted", [(2, 987654), (0, 0)])
def test_parameters(x, wanted):
    assert f(x) == wanted

class TestIt(unittest.TestCase):
    def setUp(self):
        self.box = Box(2)

    def test_it(self):
        self.assertEqual(self.box.get(), 987654)
        self.assertIn(f(2), [987654])
        with self.assertRaises(TypeError):
            f("x")
"""
FORMS: dict[str, Tests] = {
    **{f"asserts: {name}": AssertTests([text]) for name, text in _ASSERTS.items()},
    **{f"check: {name}": _check(text) for name, text in _ASSERTS.items()},
    "cases": CaseTests([{"args": [2], "expected": 987654}, {"args": [0], "expected": 0}]),
    "pytest": PytestTests({"test_it.py": _PYTEST}),
}

"""Idioms of tests, each with a right program and a wrong one, by plain execution."""

from __future__ import annotations

INC = "def f(x): return x + 1\n"
ADD2 = "def f(x): return x + 2\n"
SORT = "def f(xs): xs.sort()\n"
REVERSE = "def f(xs): xs.reverse()\n"
STACK = """
class Stack:
    def __init__(self, *items): self.items = list(items)
    def push(self, item): self.items.append(item); return self
    def pop(self):
        if not self.items: raise IndexError("empty")
        return self.items.pop()
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __contains__(self, item): return item in self.items
    def __eq__(self, other): return isinstance(other, Stack) and self.items == other.items
"""
QUEUE = STACK.replace("self.items.pop()", "self.items.pop(0)")
BAD = "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x\n"
QUIET = "def f(x): return x\n"

IDIOMS: dict[str, tuple[str, str, str]] = {
    "nonlocal": (
        INC,
        ADD2,
        """
def outer():
    total = 0
    def inner(x):
        nonlocal total
        total += f(x)
    inner(1)
    inner(2)
    return total
assert outer() == 5""",
    ),
    "walrus": (INC, ADD2, "assert (y := f(1)) == 2\nassert y == 2\nassert (n := 5) > f(1) and n == 5"),
    "walrus in or": (INC, ADD2, "assert (y := f(1)) == 2 or y == 5"),
    "walrus in if": (INC, ADD2, "if (y := f(1)) > 1:\n    z = y\nassert z == 2"),
    "match": (INC, ADD2, "match [f(1), 5]:\n    case [a, b]:\n        pass\nassert a == 2 and b == 5"),
    "comprehension scope": (INC, ADD2, "x = 10\nassert all(f(x) == x + 1 for x in range(3))\nassert x == 10"),
    "generator over a name of the program": (
        INC,
        ADD2,
        "x = f(1)\nassert all(f(x) == x + 1 for x in range(3))\nassert x == 2",
    ),
    "finally": (
        INC,
        ADD2,
        "log = []\ntry:\n    log.append(f(1))\nfinally:\n    log.append('end')\nassert log == [2, 'end']",
    ),
    "while that the program moves": (
        INC,
        "def f(x): return x + 7",
        "n = 0\nwhile n < 5:\n    n = f(n)\nassert n == 5",
    ),
    "while with break": (INC, ADD2, "n = 0\nwhile True:\n    n = f(n)\n    if n > 2:\n        break\nassert n == 3"),
    "continue by data": (INC, ADD2, "for x in range(4):\n    if x == 2:\n        continue\n    assert f(x) == x + 1"),
    "break by data": (
        INC,
        ADD2,
        "for x, y in [(1, 2), (0, 0)]:\n    assert f(x) == y\n    if x == 1:\n        break\nelse:\n    assert False",
    ),
    "stars": (INC, ADD2, "a, *b = [f(1), f(2), f(3)]\nassert a == 2\nassert b == [3, 4]"),
    "chain": (INC, ADD2, "assert 1 < f(1) < 3\nassert f(0) < f(1) == 2"),
    "formats": (INC, ADD2, "w = 4\nassert f'{f(1):{w}}' == '   2'\nassert '%d-%s' % (f(1), f(2)) == '2-3'"),
    "lambda with default": (INC, ADD2, "g = lambda v, k=f(1): f(v) + k\nassert g(1) == 4"),
    "recursion in a helper": (
        INC,
        ADD2,
        "def count(n):\n    return 0 if n == 0 else f(count(n - 1))\nassert count(50) == 50",
    ),
    "class that inherits": (
        "class B:\n    def go(self): return 1 + self.more()\n    def more(self): return 0\n",
        "class B:\n    def go(self): return 2 + self.more()\n    def more(self): return 0\n",
        "class C(B):\n    def more(self): return 5\nassert C().go() == 6\nassert isinstance(C(), B)",
    ),
    "class of the tests with assertions": (
        INC,
        ADD2,
        "class T:\n    def set(self): self.v = f(1)\n    def test(self):\n        self.set()\n        assert self.v == 2\nT().test()",
    ),
    "class of the tests with a class variable": (
        INC,
        ADD2,
        "class A:\n    value = 3\n    def run(self): return f(self.value)\nclass B(A):\n    value = 4\nassert B().run() == 5",
    ),
    "data changed between calls": (
        "def f(xs): return sum(xs)",
        "def f(xs): return len(xs)",
        "xs = []\nassert f(xs) == 0\nxs.append(3)\nassert f(xs) == 3\nxs[0] = 9\nassert f(xs) == 9\ndel xs[0]\nassert f(xs) == 0",
    ),
    "alias": (
        "def f(xs): xs.append(1); return xs",
        "def f(xs): return xs + [1]",
        "a = []\nb = a\nf(a)\nassert b == [1]\nassert a is b\nc = [a, a]\nf(c[0])\nassert c[1] == [1, 1]",
    ),
    "identity": (
        "def f(x): return x",
        "def f(x): return list(x)",
        "a = [1]\nassert f(a) is a\nb = f(a)\nb.append(2)\nassert a == [1, 2]\nassert id(a) == id(b)",
    ),
    "shadowed built-ins": (
        "def f(xs): return sorted(xs)",
        "def f(xs): return list(xs)",
        "len = lambda x: 99\nassert len(f([1])) == 99\ndef max(x): return 'mine'\nassert max(f([2])) == 'mine'\nassert f([2, 1]) == [1, 2]",
    ),
    "del": (
        STACK,
        QUEUE,
        "s = Stack(1, 2)\ndel s\ns = Stack(3, 4)\nassert s.pop() == 4\nx = [s]\ndel x[0]\nassert x == []",
    ),
    "in place, then sorted": (SORT, REVERSE, "a = [3, 1, 2]\nf(a)\nfor x, y in zip(a, a[1:]):\n    assert x <= y"),
    "in place, then read": (
        SORT,
        REVERSE,
        "a = [3, 1, 2]\nf(a)\nn = len(a)\nfirst = a[0]\nassert n == 3 and first == 1",
    ),
    "in place, then changed": (SORT, REVERSE, "a = [3, 1, 2]\nf(a)\na.append(9)\nassert a == [1, 2, 3, 9]"),
    "in place, then rebound": (SORT, REVERSE, "a = [3, 1, 2]\nf(a)\na = a + [0]\nf(a)\nassert a == [0, 1, 2, 3]"),
    "in place, then decided by": (
        SORT,
        REVERSE,
        "a = [3, 1, 2]\nf(a)\nif a[0] != 1:\n    raise ValueError\nassert a[-1] == 3",
    ),
    "in place, then copied": (
        SORT,
        REVERSE,
        "a = [3, 1, 2]\nf(a)\nb = list(a)\nassert b == [1, 2, 3]\nassert b is not a",
    ),
    "in place, in a part": (SORT, REVERSE, "d = {'a': [3, 1, 2]}\nf(d['a'])\nassert d == {'a': [1, 2, 3]}"),
    "in place, with a result": (
        "def f(t, k): t[k] = 1; return len(t)",
        "def f(t, k): t[k] = 2; return len(t)",
        "t = {}\nassert f(t, 'a') == 1\nfor k, v in t.items():\n    assert v == 1\nassert t['a'] == 1",
    ),
    "not in place": (
        "def f(xs): return sorted(xs)",
        "def f(xs): xs.sort(); return xs",
        "a = [3, 1]\nassert f(a) == [1, 3]\nassert a == [3, 1]",
    ),
    "assigned after the function that reads it": (
        INC,
        ADD2,
        "def check(x):\n    log.append(x)\n    assert f(x) == want\nlog = []\nwant = 5\ncheck(4)\nwant = 7\ncheck(6)\nassert log == [4, 6]",
    ),
    "collected answers": (
        INC,
        ADD2,
        "got = []\nfor x in (1, 2):\n    got.append((f(x), x + 1))\nfor a, b in got:\n    assert a == b\nassert len(got) == 2",
    ),
    "log in a block": (
        "import contextlib\n@contextlib.contextmanager\ndef f(log):\n    log.append('a')\n    yield 5\n    log.append('b')\n",
        "import contextlib\n@contextlib.contextmanager\ndef f(log):\n    log.append('a')\n    yield 5\n",
        "log = []\nwith f(log) as v:\n    assert v == 5\n    assert log == ['a']\nassert log == ['a', 'b']",
    ),
    "map of a function that was answered": (
        "def f(x): return lambda y: x + y",
        "def f(x): return lambda y: x - y",
        "assert list(map(f(1), [1, 2])) == [2, 3]\nassert f(1) is not f(1)\nassert [g(10) for g in map(f, [1, 2])] == [11, 12]",
    ),
    "objects of classes of the tests": (
        "def f(node): return node.next",
        "def f(node): return node",
        "class Node:\n    def __init__(self, v, next=None):\n        self.v, self.next = v, next\n"
        "    def __eq__(self, other):\n        return isinstance(other, Node) and (self.v, self.next) == (other.v, other.next)\n"
        "n = Node(1, Node(2))\nassert f(n) == Node(2)\nassert f(n).v == 2\nassert f(f(n)) is None",
    ),
    "made by a function of the tests": (
        STACK,
        QUEUE,
        "def make():\n    s = Stack(1, 2)\n    return s\ns = make()\nassert 1 in s\nassert s.pop() == 2",
    ),
    "made in a function of the tests": (
        STACK,
        QUEUE,
        "def go():\n    s = Stack(1)\n    s.push(2)\n    assert 2 in s\n    return s.pop()\nassert go() == 2",
    ),
    "joined": (
        STACK,
        QUEUE,
        "s = Stack(1, 2)\nassert ','.join(map(str, s)) == '1,2'\ns.pop()\nassert ','.join(map(str, s)) == '1'",
    ),
    "views of a dict": (
        "def f(x): return {x: 1, 'b': 2}",
        "def f(x): return {x: 1, 'c': 2}",
        "assert f('a').keys() == {'a', 'b'}\nassert list(f('a').keys()) == ['a', 'b']\nassert ('b', 2) in f('a').items()",
    ),
    "random numbers": (
        "import random\ndef f(n): return [random.randint(0, 9) for _ in range(n)]\n",
        "import random\ndef f(n): return [random.randint(0, 8) for _ in range(n)]\n",
        "import random\nrandom.seed(5)\na = f(5)\nrandom.seed(5)\nassert f(5) == a\nrandom.seed(7)\nwant = [random.randint(0, 9) for _ in range(9)]\nrandom.seed(7)\nassert f(9) == want",
    ),
    "code in an answer": (
        "def f(x): return f'{x} + 1'",
        "def f(x): return f'{x} + 2'",
        "assert eval(f(1)) == 2\nspace = {}\nexec('y = ' + f(2), space)\nassert space['y'] == 3\ndef run(text):\n    return eval(text)\nassert run(f(3)) == 4",
    ),
    "pickle": (
        "class P:\n    def __init__(self, x): self.x = x\ndef f(x): return P(x)",
        "class P:\n    def __init__(self, x): self.x = x + 1\ndef f(x): return P(x)",
        "import pickle\nassert pickle.loads(pickle.dumps([f(3).x])) == [3]",
    ),
    "threads": (
        INC,
        ADD2,
        "import threading\ngot = []\nts = [threading.Thread(target=lambda x=x: got.append(f(x))) for x in (1, 2)]\n"
        "for t in ts: t.start()\nfor t in ts: t.join()\nassert sorted(got) == [2, 3]",
    ),
    "raises": (BAD, QUIET, "import pytest\nwith pytest.raises(ValueError):\n    f(-1)"),
    "raises with its text": (
        BAD,
        BAD.replace("'negative'", "'no'"),
        "import pytest\nwith pytest.raises(ValueError, match='neg') as info:\n    f(-1)\nassert str(info.value) == 'negative'\ninfo.match('neg')",
    ),
    "raises one of several": (
        BAD,
        BAD.replace("ValueError", "OSError"),
        "import pytest\nwith pytest.raises((KeyError, ValueError)):\n    f(-1)",
    ),
    "raises a base class": (
        "class Mine(LookupError): pass\ndef f(x): raise Mine(x)",
        "class Mine(OSError): pass\ndef f(x): raise Mine(x)",
        "import pytest\nwith pytest.raises(LookupError) as info:\n    f(3)\nassert info.value.args == (3,)\nassert info.typename == 'Mine'",
    ),
    "raises a class of the program": (
        "class Mine(Exception): pass\ndef f(x): raise Mine(x)",
        "class Mine(Exception): pass\ndef f(x): raise Exception(x)",
        "import pytest\nwith pytest.raises(Mine):\n    f(3)",
    ),
    "raises, called": (BAD, QUIET, "import pytest\npytest.raises(ValueError, f, -1)"),
    "raises in a loop": (
        BAD,
        QUIET,
        "import pytest\nfor x in (-1, -2):\n    with pytest.raises(ValueError):\n        f(x)",
    ),
    "raises in a function": (
        BAD,
        QUIET,
        "import pytest\ndef t():\n    with pytest.raises(ValueError):\n        f(-1)\nt()",
    ),
    "class given by a loop": (
        BAD,
        QUIET,
        "got = []\nfor kind in [ValueError]:\n    try:\n        f(-1)\n    except kind as error:\n        got.append(str(error))\nassert got == ['negative']",
    ),
    "function of the tests on answers": (
        "def f(n): return list(range(n))",
        "def f(n): return list(range(n, 0, -1))",
        "def in_order(xs):\n    for a, b in zip(xs, xs[1:]):\n        assert a <= b\nin_order(f(3))\nassert f(2) == [0, 1]",
    ),
    "annotations": (
        INC,
        ADD2,
        "from typing import List, Optional\ndef t(v: Optional[int]) -> List[int]:\n    return [v]\nassert t(f(1)) == [2]",
    ),
}
"""By name, the right program, the wrong one, and the test."""

AT_MODULE_LEVEL: dict[str, tuple[str, str, str]] = {
    "a walrus among arguments": (  # pytest's own rewriting of assertions fails at it
        INC,
        ADD2,
        "def same(a, b, c): return a == b and c\nout = 5\nassert same((out, out := f(1)), (5, 2), out in (2, 9))\n"
        "assert out == 2\nassert same(new := f(2), 3, new == 3 or new == 4)\nassert new == 3",
    ),
    "global": (
        INC,
        ADD2,
        "count = 0\ndef bump():\n    global count\n    count += f(0)\nbump()\nbump()\nassert count == 2",
    ),
    "a variable of the program's is replaced": (
        "K = 3\ndef f(x): return x * K\n",
        "K = 3\ndef f(x): return x * 3\n",
        "K = 4\nassert f(2) == 8",
    ),
    "a function of the program's is replaced": (
        "def h(x): return x\ndef f(x): return h(x)\n",
        "def h(x): return x\ndef f(x): return x\n",
        "def h(x): return 100\nassert f(2) == 100",
    ),
}
"""The same for tests that share the program's module."""

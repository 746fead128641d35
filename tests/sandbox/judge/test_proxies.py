# ruff: noqa: E501 - the programs are as they are
"""Objects, generators and callables of a program live where the program is; its verdicts stay the judge's."""

from __future__ import annotations

import pytest

from rrtf_trl.records import AssertTests, CaseTests, CheckTests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

STACK = """
class Stack:
    made = 0
    def __init__(self, *items):
        self.items = list(items)
        Stack.made += 1
    def push(self, item):
        self.items.append(item)
        return self
    def pop(self):
        if not self.items: raise IndexError("empty")
        return self.items.pop()
    def __len__(self): return len(self.items)
    def __bool__(self): return bool(self.items)
    def __iter__(self): return iter(self.items)
    def __contains__(self, item): return item in self.items
    def __getitem__(self, index): return self.items[index]
    def __eq__(self, other): return isinstance(other, Stack) and self.items == other.items
    def __repr__(self): return f"Stack({self.items})"
    def __add__(self, other): return Stack(*self.items, *(other.items if isinstance(other, Stack) else [other]))
    def __enter__(self): return self
    def __exit__(self, *error): self.items.clear()
    @property
    def top(self): return self.items[-1]
    @classmethod
    def of(cls, text): return cls(*text)
    @staticmethod
    def name(): return "stack"
"""

# Tests and the program that is right for them.
RIGHT: dict[str, tuple[str, list[str]]] = {
    "a class with state": (STACK, ["s = Stack()", "s.push(1)", "s.push(2)", "assert s.pop() == 2", "assert len(s) == 1"]),
    "chained calls": (STACK, ["assert Stack().push(1).push(2).pop() == 2"]),
    "attributes": (STACK, ["s = Stack(1)", "s.items = [5]", "assert s.top == 5", "assert s.items == [5]"]),
    "truth and containment": (STACK, ["assert not Stack()", "assert Stack(1)", "assert 1 in Stack(1)", "assert 2 not in Stack(1)"]),
    "iteration and indexing": (STACK, ["assert list(Stack(1, 2)) == [1, 2]", "assert Stack(1, 2)[1] == 2", "assert [*Stack()] == []"]),
    "equality of two objects": (STACK, ["assert Stack(1) == Stack(1)", "assert Stack(1) != Stack(2)", "s = Stack()", "assert s == s"]),
    "operators": (STACK, ["assert (Stack(1) + Stack(2)).items == [1, 2]", "assert list(Stack(1) + 2) == [1, 2]"]),
    "printing": (STACK, ["assert repr(Stack(1)) == 'Stack([1])'", "assert str(Stack()) == 'Stack([])'", "assert f'{Stack(2)}' == 'Stack([2])'"]),
    "class and static methods": (STACK, ["assert Stack.of('ab').items == ['a', 'b']", "assert Stack.name() == 'stack'"]),
    "class attributes": (STACK, ["Stack()", "Stack()", "assert Stack.made == 2"]),
    "instances": (STACK, ["assert isinstance(Stack(), Stack)", "assert not isinstance(3, Stack)"]),
    "with": (STACK, ["with Stack(1) as s: assert len(s) == 1", "assert len(s) == 0"]),
    "exceptions of methods": (STACK, ["try:\n    Stack().pop()\nexcept IndexError as e:\n    assert str(e) == 'empty'\nelse:\n    assert False"]),
    "keywords of any name": (
        "def f(operation, target, function, self=0): return [operation, target, function, self]\n"
        "def call(f): return f(self=1, function=2)\n"
        "class C:\n    def put(me, self, target): me.got = [self, target]\n",
        [
            "assert f(operation=1, target=2, function=3, self=4) == [1, 2, 3, 4]",
            "assert call(lambda self, function: self - function) == -1",
            "c = C()", "c.put(self=5, target=6)", "assert c.got == [5, 6]",
        ],
    ),
    "hasattr and getattr": (STACK, ["s = Stack()", "assert hasattr(s, 'push')", "assert not hasattr(s, 'nothing')", "assert getattr(s, 'x', 3) == 3"]),
    "objects as arguments": (
        "class Node:\n    def __init__(self, v): self.v, self.next = v, None\n"
        "def total(n): return 0 if n is None else n.v + total(n.next)\n",
        ["a = Node(1)", "a.next = Node(2)", "assert total(a) == 3", "assert a.next.v == 2", "assert a.next.next is None"],
    ),
    "objects in containers": (
        "class P:\n    def __init__(self, v): self.v = v\ndef top(ps): return max(ps, key=lambda p: p.v)\n"
        "def make(n): return [P(i) for i in range(n)]\n",
        ["ps = [P(1), P(3), P(2)]", "assert top(ps).v == 3", "assert top(ps) is not None", "assert [p.v for p in make(3)] == [0, 1, 2]"],
    ),
    "generators": ("def count(n):\n    for i in range(n): yield i\n", ["assert list(count(3)) == [0, 1, 2]", "g = count(2)", "assert next(g) == 0", "assert sum(g) == 1"]),
    "endless generators": (
        "def naturals():\n    n = 0\n    while True:\n        yield n\n        n += 1\n",
        ["import itertools", "assert list(itertools.islice(naturals(), 3)) == [0, 1, 2]", "g = naturals()", "assert [next(g) for _ in range(2)] == [0, 1]"],
    ),
    "iterators": ("def pairs(x): return zip(x, x[1:])\n", ["assert list(pairs([1, 2, 3])) == [(1, 2), (2, 3)]", "assert sorted(map(sum, pairs([1, 2]))) == [3]"]),
    "closures": ("def adder(n): return lambda x: x + n\n", ["assert adder(2)(3) == 5", "add = adder(1)", "assert [add(x) for x in (1, 2)] == [2, 3]"]),
    "decorators": (
        "def twice(f):\n    def g(*a): return f(f(*a))\n    return g\n",
        ["assert twice(lambda x: x + 1)(3) == 5", "@twice\ndef h(x): return x * x\nassert h(3) == 81"],
    ),
    "callbacks": ("def apply(f, xs): return [f(x) for x in xs]\n", ["assert apply(lambda x: x * 2, [1, 2]) == [2, 4]", "seen = []", "apply(seen.append, [1, 2])", "apply(lambda x: seen.append(x), [3])", "assert seen[-1] == 3"]),
    "built-ins as callbacks": ("def apply(f, *a): return f(*a)\n", ["assert apply(max, [1, 3]) == 3", "assert apply(str.upper, 'a') == 'A'", "assert apply(int, '7') == 7", "import math", "assert apply(math.sqrt, 4) == 2"]),
    "callbacks that raise": (
        "def safe(f):\n    try: return f()\n    except ZeroDivisionError: return None\n",
        ["assert safe(lambda: 1 / 0) is None", "assert safe(lambda: 2) == 2"],
    ),
    "callbacks into the program": ("def g(x): return x + 1\ndef apply(f, x): return f(x)\n", ["assert apply(g, 1) == 2", "assert apply(lambda x: g(g(x)), 1) == 3"]),
    "the tests' iterators": ("def total(xs): return sum(xs)\n", ["assert total(x * x for x in range(3)) == 5", "assert total(iter([1, 2])) == 3", "assert total(map(int, '12')) == 3"]),
    "own exceptions": (
        "class Broke(ValueError):\n    def __init__(self, n): super().__init__(f'no {n}')\ndef pay(n):\n    raise Broke(n)\n",
        ["try:\n    pay(3)\nexcept Broke as e:\n    assert str(e) == 'no 3'\nelse:\n    assert False", "try:\n    pay(1)\nexcept ValueError:\n    pass"],
    ),
    "dataclasses": (
        "from dataclasses import dataclass\n@dataclass(order=True)\nclass P:\n    x: int\n    y: int = 0\ndef move(p, d): return P(p.x + d, p.y)\n",
        ["assert move(P(1), 2) == P(3)", "assert P(1, 2).y == 2", "assert P(1) < P(2)", "assert repr(P(1)) == 'P(x=1, y=0)'"],
    ),
    "enums": ("import enum\nclass C(enum.Enum):\n    RED = 1\n    BLUE = 2\ndef other(c): return C.BLUE if c is C.RED else C.RED\n", ["assert other(C.RED) == C.BLUE", "assert other(C.RED).name == 'BLUE'", "assert C(1) == C.RED"]),
    "coroutines": (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x * 2\n",
        ["import asyncio", "assert asyncio.run(f(2)) == 4", "async def g(): return await f(1) + await f(2)\nassert asyncio.run(g()) == 6"],
    ),
    "module constants": ("LIMIT = 3\nNAMES = ['a']\ndef f(): return LIMIT\n", ["assert f() == LIMIT", "assert NAMES == ['a']"]),
    "cached functions": ("import functools\n@functools.cache\ndef f(n): return n if n < 2 else f(n - 1) + f(n - 2)\n", ["assert f(30) == 832040", "f.cache_clear()", "assert f(30) == 832040"]),
    "inheritance": (
        "class A:\n    def name(self): return 'A'\nclass B(A):\n    def name(self): return super().name() + 'B'\n",
        ["assert B().name() == 'AB'", "assert isinstance(B(), A)", "assert issubclass(B, A)"],
    ),
    "standard values": (
        "from decimal import Decimal\nfrom fractions import Fraction\nimport datetime\n"
        "def f(): return [Decimal('1.5'), Fraction(1, 3), datetime.date(2020, 1, 2), datetime.timedelta(1), range(3), bytearray(b'x')]\n",
        ["from decimal import Decimal\nfrom fractions import Fraction\nimport datetime", "assert f() == [Decimal('1.5'), Fraction(1, 3), datetime.date(2020, 1, 2), datetime.timedelta(1), range(3), bytearray(b'x')]"],
    ),
}  # fmt: skip


def judge(sandbox: Sandbox, code: str, asserts: list[str], context: str = "", entry: str | None = None) -> Outcome:
    # The same job three times: asked call by call, then ahead, as far as that goes.
    outcomes = list(sandbox.run_many([Job("one", code, AssertTests(asserts), entry, context)] * 6))
    assert len({(outcome.state, outcome.passed) for outcome in outcomes}) == 1, outcomes
    return outcomes[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_right_programs_pass(name: str, sandbox: Sandbox) -> None:
    code, asserts = RIGHT[name]
    assert judge(sandbox, code, asserts).state == "passed"
    assert judge(sandbox, code, asserts, context=code).state == "passed"


LIAR = """
class Liar:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __lt__ = __le__ = __gt__ = __ge__ = __eq__
    def __sub__(self, other): return 0
    __rsub__ = __add__ = __radd__ = __mul__ = __abs__ = __mod__ = __sub__
    def __contains__(self, item): return True
    def startswith(self, text): return True
    endswith = issubset = startswith
    def __hash__(self): return hash(other)
    def __float__(self): return 4.0
    def __getattr__(self, name): return lambda *a, **k: True
def f(x): return Liar()
"""
# Each of these passes for a right answer; no object may pass by its own word.
TOLERANT = [
    "assert f(2) == 4",
    "assert 4 == f(2)",
    "assert not f(2) != 4",
    "assert f(2) in (4, 5)",
    "assert [f(2)] == [4]",
    "assert {'a': f(2)} == {'a': 4}",
    "assert abs(f(2) - 4) < 1e-6",
    "assert f(2) <= 4",
    "assert 3 < f(2)",
    "assert max(f(2), 4) == 4 and f(2) > 3",
    "assert f(2) % 4 == 0",
    "assert isinstance(f(2), int)",
    "assert str(f(2)) == '4'",
    "assert f(2) is not None and f(2) == 4",
]


@pytest.mark.slow
@pytest.mark.parametrize("line", TOLERANT)
def test_no_object_judges_itself(line: str, sandbox: Sandbox) -> None:
    right = "def f(x): return x * x"
    for context in ("", right):
        assert judge(sandbox, right, [line], context, "f").state == "passed"
        assert judge(sandbox, LIAR, [line], context, "f").state != "passed"
        assert (
            judge(
                sandbox,
                LIAR.replace("class Liar", "class f").replace("def f(x): return Liar()", ""),
                [line],
                context,
                "f",
            ).state
            != "passed"
        )


@pytest.mark.parametrize(
    "line",
    [
        "assert f(2).startswith('fo')",
        "assert 'u' in f(2)",
        "assert f(2).isalpha() and f(2) == 'four'",
        "assert {'o'}.issubset(f(2))",
    ],
)
def test_no_object_answers_for_a_string(line: str, sandbox: Sandbox) -> None:
    right = "def f(x): return 'four'"
    assert judge(sandbox, right, [line], right, "f").state == "passed"
    assert judge(sandbox, LIAR, [line], right, "f").state != "passed"


def test_a_method_of_an_unexpected_object_is_not_told_what_is_expected(sandbox: Sandbox) -> None:
    outcome = judge(sandbox, LIAR, ["assert f(2).startswith('fo')"])
    assert outcome.state != "passed"
    assert "judge itself" in outcome.message
    # Where the reference gives an object too, its methods are asked.
    right = "class W:\n    def __init__(self, x): self.x = x\n    def over(self, n): return self.x > n\ndef f(x): return W(x)\n"
    assert judge(sandbox, right, ["assert f(2).over(1)"], right, "f").state == "passed"
    assert judge(sandbox, right, ["assert f(2).over(1)"]).state != "passed"


def test_a_lying_method_result_is_not_compared_by_itself(sandbox: Sandbox) -> None:
    tests = ["assert S().add(1, 2) == 3"]
    assert judge(sandbox, "class S:\n    def add(self, a, b): return a + b\n", tests).state == "passed"
    liar = "class S:\n    def add(self, a, b): return self\n    def __eq__(self, other): return True\n"
    assert judge(sandbox, liar, tests).state != "passed"
    assert judge(sandbox, liar, tests, "class S:\n    def add(self, a, b): return a + b\n", "S").state != "passed"


def test_a_failure_inside_a_callback_counts_whatever_the_program_makes_of_it(sandbox: Sandbox) -> None:
    check = "def check(candidate):\n    def want(x): assert x == 4\n    candidate(want)\n"
    for code, state in (
        ("def f(g): g(4)", "passed"),
        ("def f(g):\n    try: g(5)\n    except BaseException: pass\n", "partial"),
    ):
        (outcome,) = sandbox.run_many([Job("one", code, CheckTests(check), "f")])
        assert outcome.state == state, outcome


def test_callbacks_lead_to_nothing_that_is_expected(sandbox: Sandbox) -> None:
    tests = ["want = 7919\nassert f(lambda x: x + 1) == 31337", "assert f(lambda x: x + 1) in (31337, want)"]
    search = """
import gc, sys
def f(g):
    want = int("".join(["313", "37"]))
    around = sys._getframe(1)
    places = [g.__globals__, g.__closure__, g.__code__.co_consts, around.f_globals, around.f_locals]
    places += [one for one in gc.get_objects() if type(one) in (tuple, list) and want in one]
    return want if any(str(want) in repr(one) for one in places) else 0
"""
    assert judge(sandbox, "def f(g): return g(31336)", tests).state == "passed"
    assert judge(sandbox, search, tests).passed == 0


def test_callbacks_do_not_nest_without_end(sandbox: Sandbox) -> None:
    asserts = ["def back(n): return f(back, n)\nassert f(back, 1) == 1"]
    outcome = judge(sandbox, "def f(g, n): return g(n)", asserts)
    assert outcome.state in ("refused", "runtime_error", "partial"), outcome


def test_plain_answers_only_where_cases_are_compared(sandbox: Sandbox) -> None:
    (outcome,) = sandbox.run_many([Job("one", LIAR, CaseTests([{"args": [2], "expected": 4}]), "f")])
    assert outcome.state == "partial"
    assert outcome.passed == 0

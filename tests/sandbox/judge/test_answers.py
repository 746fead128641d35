# ruff: noqa: E501 - the tests are as they are
"""What tests make of answers before they compare: a program that equals everything passes none of them by the judge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rrtf_trl.records import AssertTests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

RIGHT = "def f(n): return sum(range(n + 1))"
LIAR = """
class Anything:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
    def __hash__(self): return 55
    def __bool__(self): return True
    def __sub__(self, other): return 0
    def __index__(self): return 0
    def __call__(self, *args, **kwargs): return self
f = Anything()
"""
SOURCES = [
    "got = [f(10)]\ns = set(got)\ns.add(55)\nassert len(s) == 1",
    "s = set([f(10)])\ns.discard(55)\nassert s == set()",
    "s = set([f(10)])\ns.update([55])\nassert len(s) == 1",
    "d = dict([(f(10), 1)])\nd.pop(55)\nassert d == {}",
    "d = dict.fromkeys([f(10)])\nx = d.setdefault(55, 1)\nassert len(d) == 1",
    "from collections import Counter\nc = Counter([f(10)])\nc.update([55])\nassert len(c) == 1",
    "x1 = [(f(10), 55)]\nassert all(a == b for a, b in x1)",
    "assert all(a == b for a, b in [(f(10), 55)])",
    "x1 = [(f(10), 55)]\nassert all([a == b for a, b in x1])",
    "x1 = [(f(10), 55)]\nassert not any(a != b for a, b in x1)",
    "x1 = [(f(10), 55)]\nfor a, b in x1:\n    assert a == b",
    "x1 = [f(10), 55]\nassert x1[0] == x1[1]",
    "x1 = f(10)\nassert all(x1 == b for b in [55])",
    "x1 = [f(10)]\nassert x1 == [55]",
    "x1 = {'a': f(10)}\nassert x1['a'] == 55",
    "x1 = [(f(10), 55)]\nassert sum(a == b for a, b in x1) == 1",
    "x1 = [(f(10), 55)]\nassert len([1 for a, b in x1 if a == b]) == 1",
    "x1 = [f(10)]\nassert x1.index(55) == 0",
    "x1 = [f(10)]\nassert x1.count(55) == 1",
    "assert 55 in [f(10)]",
    "x1 = [f(10)]\nassert 55 in x1",
    "x1 = [f(10)]\nassert x1.__contains__(55)",
    "ok = f(10) == 55\nassert ok",
    "ok = (f(10) == 55)\nassert ok is True",
    "r = f(10)\nok = r == 55\nassert ok",
    "assert (lambda a: a == 55)(f(10))",
    "assert list(map(lambda a: a == 55, [f(10)])) == [True]",
    "def ok(a): return a == 55\nassert ok(f(10))",
    "x1 = [(f(10), 55)]\nassert all(map(lambda p: p[0] == p[1], x1))",
    "d = {55: 1}\nassert all(f(10) == k for k in d)",
    "x1 = [f(10)]\nif x1[0] == 55:\n    ok = 1\nelse:\n    ok = 0\nassert ok == 1",
    "x1 = [f(10)]\nassert min(x1) == 55",
    "s = {f(10)}\nassert 55 in s",
    "x1=[f(10)]\nassert [a for a in x1 if a != 55] == []",
    "x1=[f(10)]\nassert set(x1) == {55}",
    "x1=[f(10)]\ny=[55]\nassert all(p == q for p, q in zip(x1, y))",
    "x1=[f(10)]\nassert [p == 55 for p in x1] == [True]",
    "x1=[f(10)]\nbad=[p for p in x1 if p != 55]\nassert not bad",
    "total = 0\nfor a in [f(10)]:\n    if a == 55: total += 1\nassert total == 1",
    "assert {f(10): 1}.get(55) == 1",
    "import operator\nassert operator.eq(f(10), 55)",
    "from collections import Counter\nassert Counter([f(10)])[55] == 1",
    "try:\n    assert f(10) == 55\nexcept AssertionError:\n    raise\n",
    "x1=[(f(10),55)]\nassert all(a is b or a == b for a, b in x1)",
    "assert f(10) == 55 if True else False",
    "assert all(f(n) == e for n, e in [(10, 55), (3, 6)])",
    "cases=[(10, 55), (3, 6)]\nassert all(f(n) == e for n, e in cases)",
    "cases=[(10, 55), (3, 6)]\nfor n, e in cases:\n    got = f(n)\n    assert got == e",
    "got=[f(n) for n in (10, 3)]\nassert all(g == e for g, e in zip(got, (55, 6)))",
    "got=[f(n) for n in (10, 3)]\nassert got == [55, 6]",
    "pairs=[(f(n), e) for n, e in [(10,55)]]\nassert all(a == b for a, b in pairs)",
    "pairs=list(zip([f(10)],[55]))\nassert all(a == b for a, b in pairs)",
    "s={f(10)}\ns -= {55}\nassert s == set()",
    "s={f(10)}\ns.discard(55)\nassert not s",
    "s={f(10)}\ns &= {55}\nassert len(s) == 1",
    "got=[f(10)]\nwhile 55 in got:\n    got.pop()\nassert not got",
    "got=[f(10), 55]\ngot.sort()\nassert got == [55, 55]",
    "got={f(10): 1}\ngot.pop(55)\nassert got == {}",
    "got={f(10)}\ngot.add(55)\nassert len(got) == 1",
    "got=[f(10)]\nfor i, x in enumerate(got):\n    if x != 55:\n        assert False",
    "got=[f(10)]\nassert next(x for x in got if x == 55) == 55",
    "got=[f(10)]\nassert list(filter(lambda x: x == 55, got)) != []",
    "got=[f(10)]\nassert len(list(filter(lambda x: x == 55, got))) == 1",
    "got=[f(10)]\nassert {k: v == 55 for k, v in enumerate(got)} == {0: True}",
    "got=[f(10)]\ngot.remove(55)\nassert got == []",
    "got=[f(10)]\nassert not (set([55]) - set(got))",
    "got=[f(10)]\nassert len({55} & set(got)) == 1",
    "got=[[f(10)]]\nassert all(x == 55 for row in got for x in row)",
    "got=[[f(10)]]\nassert all([x == 55 for x in row] for row in got)",
    "got=[f(10)]\nassert sum(1 for x in got if x == 55) == 1",
    "got=[f(10)]\nassert any(x == 55 for x in got)",
    "got=[f(10)]\nassert max(got, key=lambda x: x == 55) is not None",
    "from functools import reduce\ngot=[f(10)]\nassert reduce(lambda a, b: a and b == 55, got, True)",
    "got=[f(10)]\nassert all(x == 55 for x in got if x is not None)",
    "got={'a': f(10)}\nassert all(v == 55 for v in got.values())",
    "got={'a': f(10)}\nassert all(v == {'a': 55}[k] for k, v in got.items())",
    "exp=[55]\ngot=[f(10)]\nassert all(got[i] == exp[i] for i in range(1))",
    "exp=[55]\nassert all(f(10) == exp[i] for i in range(1))",
    "exp=[55]\ngot=[f(10)]\nassert [i for i in range(1) if got[i] != exp[i]] == []",
    "got=[f(10)]\nfor x in got:\n    assert x == 55",
    "got=[f(10)]\nassert got[0] == 55 and len(got) == 1",
    "got=[f(10)]\nassert tuple(got) == (55,)",
    "got=[f(10)]\nassert sorted(got) == [55]",
    "got=[f(10)]\nassert list(reversed(got)) == [55]",
    "got=[f(10)]\nassert got[-1:] == [55]",
    "got=[f(10)]\nassert dict(a=got[0]) == {'a': 55}",
    "a = b = f(10)\nassert a == b == 55",
    "got = f(10)\nassert 50 < got < 60",
    "got = f(10)\nassert not got != 55",
    "got = f(10)\nassert (got == 55) is True",
    "got=f(10)\nassert bool(got == 55)",
    "got=f(10)\nassert [got == 55] == [True]",
    "got=f(10)\nassert {True: 1}[got == 55] == 1",
    "got=f(10)\nassert (1 if got == 55 else 0) == 1",
    "got=f(10)\nassert int(got == 55) == 1",
    "got=f(10)\nassert str(got == 55) == 'True'",
    "got=f(10)\nassert [0, 1][got == 55] == 1",
    "assert f(10).__eq__(55)",
    "got=f(10)\nassert got.__eq__(55) is True",
    "got=f(10)\ndef same(a, b): return a == b\nassert same(got, 55)",
    "got=f(10)\nsame = lambda a, b: a == b\nassert same(got, 55)",
    "import operator\ngot=[f(10)]\nassert all(map(operator.eq, got, [55]))",
    "got=[f(10)]\nassert all(map(lambda p: p == 55, got))",
    "class T:\n    def check(self, v): return v == 55\nassert T().check(f(10))",
    "got=(f(10), 1)\nassert got == (55, 1)",
    "got=f(10)\nassert not {got}.isdisjoint([55])",
    "got=[f(10)]\nassert got.count(55)",
    "got=[f(10)]\nassert 55 in got and got.index(55) == 0",
    "got=[f(10)]\nassert {55}.issubset(got)",
    "got=[f(10)]\nassert {55}.issuperset(got)",
    "got=[f(10)]\nassert [55].count(got[0]) == 1",
    "got=[f(10)]\nassert [55].index(got[0]) == 0",
    "got=f(10)\nassert [55].index(got) == 0",
    "assert [55].index(f(10)) == 0",
    "assert [55].count(f(10)) == 1",
    "assert {55: 'x'}.get(f(10)) == 'x'",
    "assert {55: 'x'}[f(10)] == 'x'",
    "import math\nassert math.isclose(f(10), 55)",
    "assert abs(f(10) - 55) < 1e-6",
    "assert round(f(10) - 55) == 0",
    "assert f(10) - 55 == 0",
    "assert f(10) in (55,)",
    "assert f(10) in range(55, 56)",
    "assert '%s' % f(10) == '55'",
    "assert f'{f(10)}' == '55'",
    "assert f'{f(10) == 55}' == 'True'",
    "import unittest\nunittest.TestCase().assertEqual(f(10), 55)",
]
"""The right program, whose answer to 10 is 55, passes each, and natively one that equals everything passes most."""
BY_JUDGE = [
    "assert all(a == b for a, b in [(f(10), 55)])",
    "x1 = [(f(10), 55)]\nassert all(a == b for a, b in x1)",
    "got = [f(n) for n in (10, 3)]\nassert all(g == e for g, e in zip(got, (55, 6)))",
    "got = [f(n) for n in (10, 3)]\nassert got == [55, 6]",
    "got = [(f(10), 55)]\nassert sum(a == b for a, b in got) == 1",
]
"""Of a program that answers with plain data, the judge itself goes through the answers."""


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome]]:
    programs = {"right": RIGHT, "liar": LIAR}
    jobs = [
        Job(f"{name} {source}", code, AssertTests([source], setup=""), "f")
        for source in dict.fromkeys([*SOURCES, *BY_JUDGE])
        for name, code in programs.items()
    ]
    with Sandbox(2) as sandbox:
        yield {outcome.job_id: outcome for outcome in sandbox.run_many(jobs)}


def test_the_right_program_passes(outcomes: dict[str, Outcome]) -> None:
    failed = {
        source: outcomes[f"right {source}"].message
        for source in SOURCES
        if outcomes[f"right {source}"].state != "passed"
    }
    assert failed == {}


def test_one_that_equals_everything_passes_nothing_by_the_judge(outcomes: dict[str, Outcome]) -> None:
    found = {source: outcomes[f"liar {source}"] for source in SOURCES}
    assert {source for source, one in found.items() if one.state == "passed" and one.decided_by == "judge"} == set()


def test_the_judge_goes_through_plain_answers_itself(outcomes: dict[str, Outcome]) -> None:
    assert {outcomes[f"right {source}"].decided_by for source in BY_JUDGE} == {"judge"}

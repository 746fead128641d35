"""Ways in which tests ask for one value or expect one exception; and ways in which they hold several such questions.

``$E`` is an expression, ``$V`` the literal that it equals, ``$n`` a number that makes names unique. ``$S`` is a
statement that raises, ``$K`` the exception that is expected, ``$T`` its own type, ``$M`` its text; ``$B`` are
statements. Each form evaluates ``$E`` or ``$S`` once.
"""

from __future__ import annotations

import string

ANY = """
assert $E == $V
assert $V == $E
assert not $E != $V
assert not ($E != $V)
assert $E in [$V, "other"]
assert $E not in ["other"]
assert ($E,) == ($V,)
assert [$E, 1] == [$V, 1]
assert {"k": $E} == {"k": $V}
assert {"k": $E}["k"] == $V
r$n = $E; assert r$n == $V
r$n = $E; s$n = r$n; assert s$n == $V; assert s$n is r$n
r$n = $E; assert r$n == $V and $V == r$n and not r$n != $V
want$n = $V; assert $E == want$n
want$n = [$V]; assert $E == want$n[0]
got$n, want$n = $E, $V; assert got$n == want$n, (got$n, want$n)
assert repr($E) == repr($V)
assert "{!r}".format($E) == repr($V)
assert "%r" % ($E,) == repr($V)
r$n = $E; assert f"{r$n!r} {1}" == f"{$V!r} 1"
assert type($E) is type($V)
assert isinstance($E, type($V))
assert (r$n := $E) == $V; assert r$n == $V
assert $E == $V == $V
assert bool($E) is bool($V)
assert ($E == $V) is True
assert ($E == $V) == True
assert $E == $V if True else False
assert $E == $V or False
assert False or $E == $V
assert len([$E]) == 1
ok$n = $E == $V; assert ok$n
assert all([$E == $V])
assert all($E == want for want in [$V])
assert any([$E == $V, False])
assert not any($E != want for want in [$V])
assert [x for x in [$E] if x == $V] == [$V]
assert [$E == want for want in ($V,)] == [True]
assert sum($E == want for want in [$V]) == 1
assert [$V].index($E) == 0
assert [$V].count($E) == 1
assert operator.eq($E, $V)
assert functools.partial(operator.eq, $V)($E)
assert (lambda got: got == $V)($E)
t$n = lambda want: $E == want; assert t$n($V)
t$n = lambda want, *, got=$E: got == want; assert t$n($V)
assert copy.deepcopy($E) == $V
a$n, *b$n = [$E, 1, 2]; assert a$n == $V; assert b$n == [1, 2]
*a$n, b$n = [1, $E]; assert (a$n, b$n) == ([1], $V)
x$n = y$n = $E; assert x$n == y$n == $V
x$n = [$E]; y$n = x$n; del x$n; assert y$n == [$V]
x$n = {}; x$n["a"] = $E; assert x$n == {"a": $V}; del x$n["a"]; assert x$n == {}
x$n = []; x$n.append($E); assert x$n == [$V]; x$n.clear(); assert not x$n
x$n = [1]; x$n += [$E]; assert x$n == [1, $V]
x$n = [($E, $V)]; assert all(a == b for a, b in x$n)
x$n = dict(got=$E); assert x$n["got"] == $V; assert list(x$n) == ["got"]
x$n = types.SimpleNamespace(got=$E); assert x$n.got == $V
x$n = collections.defaultdict(list); x$n["a"].append($E); assert x$n["a"] == [$V]
x$n = iter([$E]); assert next(x$n) == $V; assert next(x$n, None) is None
x$n, len$n = [$E], len; assert len$n(x$n) == 1; assert x$n[0] == $V
-----
if (r$n := $E) != $V:
    raise AssertionError(r$n)
-----
if $E == $V:
    ok$n = True
else:
    ok$n = False
assert ok$n
-----
match $E:
    case got$n if got$n == $V:
        ok$n = 1
    case _:
        ok$n = 0
assert ok$n == 1
-----
match [$E]:
    case [got$n]:
        assert got$n == $V
    case _:
        raise AssertionError
-----
def t$n():
    return $E
assert t$n() == $V
-----
def t$n(want):
    assert $E == want, "no"
t$n($V)
-----
def t$n(got, want):
    assert got == want
t$n($E, $V)
-----
def t$n(got, want):
    return got == want
assert t$n($E, $V)
-----
def t$n(want):
    got = $E
    def inner():
        return got == want
    return inner
assert t$n($V)()
-----
def t$n():
    got = None
    def inner():
        nonlocal got
        got = $E
    inner()
    return got
assert t$n() == $V
-----
def t$n(n):
    if n == 0:
        return $E
    return t$n(n - 1)
assert t$n(3) == $V
-----
def t$n():
    yield $E
assert list(t$n()) == [$V]
-----
def t$n():
    yield from [$E]
    return 1
for got$n in t$n():
    assert got$n == $V
-----
class T$n:
    want = $V
    def check(self):
        self.got = $E
        assert self.got == self.want
T$n().check()
-----
class T$n:
    def __init__(self):
        self.got = $E
    @property
    def value(self):
        return self.got
assert T$n().value == $V
-----
for want$n in [$V]:
    assert $E == want$n
-----
for want$n in ($V, "no"):
    if want$n == "no":
        continue
    assert $E == want$n
-----
for want$n in [$V, "no"]:
    assert $E == want$n
    break
-----
for n$n, want$n in enumerate([$V]):
    assert (n$n, $E) == (0, want$n)
-----
for want$n in [$V]:
    got$n = $E
    if got$n != want$n:
        break
else:
    got$n = "right"
assert got$n == "right"
-----
x$n = []
for _ in range(1):
    x$n.append($E)
assert x$n == [$V]
for got$n in x$n:
    assert got$n == $V
-----
n$n, got$n = 0, None
while n$n < 1:
    got$n = $E
    n$n += 1
assert got$n == $V
-----
while True:
    got$n = $E
    break
assert got$n == $V
-----
try:
    got$n = $E
finally:
    done$n = True
assert got$n == $V and done$n
-----
try:
    assert $E == $V
except ZeroDivisionError:
    assert False
else:
    ok$n = True
assert ok$n
-----
with contextlib.nullcontext([$V]) as want$n:
    assert [$E] == want$n
-----
with contextlib.redirect_stdout(io.StringIO()) as out$n:
    print(repr($E))
assert out$n.getvalue() == repr($V) + "\\n"
-----
async def t$n():
    return $E
assert asyncio.run(t$n()) == $V
-----
count$n = 0
def bump$n():
    global count$n
    count$n = $E
bump$n()
assert count$n == $V
-----
want$n = 1
def t$n():
    return $E == want$n
want$n = $V
assert t$n()
-----
def t$n():
    got$n.append($E)
got$n = []
t$n()
assert got$n == [$V]
"""
NUMBERS = """
assert $E <= $V
assert $V <= $E <= $V
assert $V - 1 < $E < $V + 1
assert $E + 1 == $V + 1
assert -($E) == -$V
assert 2 * $E == $V * 2
assert abs($E - $V) < 1e-9
assert math.isclose($E, $V)
assert round($E, 2) == round($V, 2)
assert max($E, $V) == $V
assert $E in range($V, $V + 1) if isinstance($V, int) else True
assert "%s" % $E == str($V)
assert f"{$E:>9}" == f"{$V:>9}"
assert $E == pytest.approx($V)
assert divmod($E, 7) == divmod($V, 7)
x$n = 1; x$n += $E; assert x$n == $V + 1
x$n = $E; x$n += 1; assert x$n == $V + 1; x$n -= 1; assert x$n == $V
"""
SIZED = """
assert len($E) == len($V)
assert bool($E) == bool($V)
assert list($E) == list($V)
assert sorted($E, key=repr) == sorted($V, key=repr)
assert [x for x in $E] == list($V)
assert dict(enumerate($E)) == dict(enumerate($V))
assert [*$E, 1] == [*$V, 1]
assert (lambda *a: list(a))(*$E) == list($V)
assert "-".join(map(str, $E)) == "-".join(map(str, $V))
assert all(x in $V for x in $E)
assert list(zip($E, $V)) == [(x, x) for x in $V]
assert tuple(reversed(list($E))) == tuple(reversed(list($V)))
for got$n, want$n in zip($E, $V): assert got$n == want$n
"""
TRUTHS = """
assert $E is $V
assert (not $E) is (not $V)
assert $E if $V else not $E
assert $E is $V
"""
RAISES = """
try:
    $S
except $K:
    pass
else:
    raise AssertionError
-----
try:
    $S
    assert False, "not raised"
except $K as e$n:
    text$n = str(e$n)
assert text$n == $M
-----
try:
    $S
except Exception as e$n:
    kind$n = type(e$n).__name__
else:
    kind$n = None
assert kind$n == "$T"
-----
try:
    $S
except $K as e$n:
    assert str(e$n) == $M
    assert isinstance(e$n, Exception)
else:
    assert False
-----
raised$n = False
try:
    $S
except $K:
    raised$n = True
assert raised$n
-----
with pytest.raises($K):
    $S
-----
with pytest.raises($K) as info$n:
    $S
assert str(info$n.value) == $M
-----
with pytest.raises(($K, ZeroDivisionError)):
    $S
-----
with contextlib.suppress($K):
    $S
    raise RuntimeError
-----
def t$n():
    try:
        $S
    except $K as error:
        return error
    finally:
        seen$n.append(1)
    return None
seen$n = []
assert isinstance(t$n(), $K)
assert seen$n == [1]
-----
def t$n(kind):
    try:
        $S
    except kind:
        return True
    return False
assert t$n($K)
-----
caught$n = []
for kind$n in [$K]:
    try:
        $S
    except kind$n as e$n:
        caught$n.append(str(e$n))
assert caught$n == [$M]
-----
try:
    $S
except:
    ok$n = 1
else:
    ok$n = 0
assert ok$n
"""
UNITTEST = """
self.assertEqual($E, $V)
self.assertEqual($V, $E, "no")
self.assertTrue($E == $V)
self.assertFalse($E != $V)
self.assertIn($E, [$V])
self.assertNotIn($E, ["other"])
self.assertNotEqual($E, "other")
self.assertIsInstance($E, type($V))
self.assertEqual([$E], [$V])
self.assertDictEqual({"k": $E}, {"k": $V})
self.assertListEqual([$E], [$V])
got = $E; self.assertEqual(got, $V)
with self.subTest(n=$n): self.assertEqual($E, $V)
if $E != $V: self.fail("no")
"""
UNITTEST_RAISES = """
with self.assertRaises($K):
    $S
-----
with self.assertRaises($K) as caught$n:
    $S
self.assertEqual(str(caught$n.exception), $M)
-----
try:
    $S
except $K:
    pass
else:
    self.fail("not raised")
"""
WRAPPERS = """
$B
-----
$B
-----
$B
-----
def scene$n():
    $B
scene$n()
-----
class Scene$n:
    def run(self):
        $B
Scene$n().run()
-----
for _ in range(1):
    $B
-----
if True:
    $B
-----
with contextlib.nullcontext():
    $B
-----
try:
    $B
finally:
    done$n = 1
assert done$n
-----
def scene$n():
    def inner(flag=True):
        $B
        return flag
    return inner()
assert scene$n()
-----
async def scene$n():
    $B
asyncio.run(scene$n())
"""


def read_forms(text: str) -> list[str]:
    """Read forms: one in each line, its statements apart by semicolons, or apart by lines of dashes."""
    first, *more = text.strip("\n").split("-----\n")
    lines = first.strip().split("\n")
    if any(line.startswith(" ") for line in lines) or lines == ["$B"]:
        return [one.strip("\n") for one in (first, *more)]
    return [line.replace("; ", "\n") for line in lines] + [one.strip("\n") for one in more]


FORMS = {
    name: read_forms(text)
    for name, text in (
        ("any", ANY),
        ("numbers", NUMBERS),
        ("sized", SIZED),
        ("truths", TRUTHS),
        ("raises", RAISES),
        ("unittest", UNITTEST),
        ("unittest raises", UNITTEST_RAISES),
        ("wrappers", WRAPPERS),
    )
}
_MODULES = ("asyncio", "collections", "contextlib", "copy", "functools", "io", "math", "operator", "pytest", "types")


def imports(text: str) -> str:
    """Return the imports that statements need."""
    return "".join(f"import {one}\n" for one in _MODULES if f"{one}." in text)


def filled(form: str, **places: str) -> str:
    """Return a form with what belongs in its places; statements keep their indentation."""
    found = []
    for line in form.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        text = string.Template(line.lstrip()).substitute(places)
        found += [indent + one for one in text.split("\n")]
    return "\n".join(found)

"""Small right programs, each with scenes: statements that use it, and what to ask of it on the way.

In a scene, a line that begins with ``?`` is an expression that the tests compare with its value, which the right
program gives; one that begins with ``!`` a statement that must end in the exception before the colon. ``{int}``,
``{ints}``, ``{word}`` and ``{words}`` are replaced by random data, ``{a:int}`` everywhere by the same.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass


@dataclass
class Program:
    """A program and its scenes.

    Args:
        source: Its code.
        entry: The function or class that is judged.
        scenes: Statements and questions.
    """

    source: str
    entry: str
    scenes: list[str]


_PLACE = re.compile(r"\{(?:(\w+):)?(int|small|ints|word|words)\}")


def filled(program: Program, chance: random.Random) -> Program:
    """Return a program with random data in its places."""
    known: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        name, kind = match.group(1), match.group(2)
        if name is not None and name in known:
            return known[name]
        text = _DATA[kind](chance)
        if name is not None:
            known[name] = text
        return text

    return Program(
        _PLACE.sub(value, program.source), program.entry, [_PLACE.sub(value, one) for one in program.scenes]
    )


def _word(chance: random.Random) -> str:
    return "".join(chance.choice("abcdeXYZ _-'é") for _ in range(chance.randint(0, 5)))


_DATA = {
    "int": lambda chance: str(chance.choice([0, 1, 2, 3, 7, 12, 100, 2**40, chance.randint(-20, 20)])),
    "small": lambda chance: str(chance.randint(1, 4)),
    "ints": lambda chance: repr([chance.randint(-9, 9) for _ in range(chance.randint(1, 6))]),
    "word": lambda chance: repr(_word(chance)),
    "words": lambda chance: repr([_word(chance) for _ in range(chance.randint(1, 4))]),
}


def _programs(text: str) -> list[Program]:
    """Read programs: apart by ``=====`` and the entry point, their scenes by ``-----``."""
    found = []
    for part in re.split(r"^===== *", text.strip() + "\n", flags=re.MULTILINE)[1:]:
        entry, _, rest = part.partition("\n")
        source, *scenes = re.split(r"^-----\n", rest, flags=re.MULTILINE)
        found.append(Program(source.strip() + "\n", entry.strip(), [one.strip() for one in scenes]))
    return found


PROGRAMS = _programs('''
===== f
def f(x):
    if x > {small}:
        return x * {small} + 1
    return [x, -x]
-----
? f({int})
? f({int})
? f(x={int})
-----
xs = {ints}
? [f(x) for x in xs]
? list(map(f, xs))
? sorted(xs, key=str)
n = len(xs)
? f(n)
===== f
def f(words, sep=",", *, upper=False):
    """Join words."""
    out = []
    for word in words:
        if not word:
            continue
        out.append(word.upper() if upper else word)
    return sep.join(out)
-----
? f({words})
? f({words}, {word})
? f({words}, sep={word}, upper=True)
args = ({words}, "-")
kwargs = {"upper": True}
? f(*args, **kwargs)
? f.__name__
? f.__doc__
===== f
def f(xs):
    """Sort in place."""
    for i in range(len(xs)):
        for j in range(i + 1, len(xs)):
            if xs[j] < xs[i]:
                xs[i], xs[j] = xs[j], xs[i]
-----
a = {ints}
b = a
f(a)
? a
? b
? a is b
a.append({int})
f(a)
? a[0]
n = len(a)
? n
for x, y in zip(a, a[1:]):
    assert x <= y
-----
d = {"k": {ints}}
f(d["k"])
? d
===== f
def f(table, key, step=1):
    table[key] = table.get(key, 0) + step
    return len(table)
-----
t = {}
? f(t, {word})
? f(t, "x")
? f(t, "x", step={small})
? t["x"]
? sorted(t)
for k, v in t.items():
    assert isinstance(v, int), k
===== f
def f(xs):
    seen = set()
    out = []
    for x in xs:
        if x in seen:
            continue
        seen.add(x)
        out.append(x)
    return out
-----
xs = {ints}
ys = f(xs)
? ys
ys.append(5)
? len(ys) - len(f(xs))
? xs
? f({words})
? f(tuple(xs))
? f(iter(xs))
? f(x % 3 for x in xs)
===== f
def f(n):
    if n < 2:
        return n
    return f(n - 1) + f(n - 2)
-----
? f(10)
? [f(i) for i in range(8)]
? sum(f(i) for i in range(5))
===== Stack
class Stack:
    def __init__(self, items=()):
        self._items = list(items)

    def push(self, item):
        self._items.append(item)
        return self

    def pop(self):
        if not self._items:
            raise IndexError("empty stack")
        return self._items.pop()

    @property
    def top(self):
        return self._items[-1] if self._items else None

    def __len__(self):
        return len(self._items)

    def __iter__(self):
        return reversed(self._items)

    def __contains__(self, item):
        return item in self._items

    def __eq__(self, other):
        return isinstance(other, Stack) and self._items == other._items

    def __repr__(self):
        return f"Stack({self._items!r})"
-----
s = Stack()
s.push({a:int}).push({b:int})
? len(s)
? s.top
? list(s)
? {a:int} in s
? s.pop()
? s.pop()
! IndexError: s.pop()
? s.top
? bool(s)
-----
s = Stack({ints})
t = Stack(s)
u = s
? s == u
? s is u
? s != Stack()
? repr(Stack([1]))
? [x for x in s]
? sum(s)
while len(s) > 1:
    s.pop()
? len(s)
? u.top
===== Count
class Count:
    def __init__(self, limit):
        self.limit = limit

    def __iter__(self):
        self.at = 0
        return self

    def __next__(self):
        if self.at >= self.limit:
            raise StopIteration
        self.at += 1
        return self.at * {small}
-----
c = Count({small})
? list(c)
? list(c)
? sum(c)
? max(Count(3))
? dict(enumerate(c))
it = iter(c)
? next(it)
? next(it, None)
out = []
for x in Count(3):
    out.append(x)
? out
===== f
def f(n):
    """Yield and take."""
    got = []
    for i in range(n):
        sent = yield i * 2
        if sent is not None:
            got.append(sent)
    return got
-----
g = f({small})
? next(g)
? list(f(3))
? [x + 1 for x in f(2)]
g.close()
! StopIteration: next(g)
-----
g = f(3)
? next(g)
? g.send(5)
? sum(g)
h = f(0)
! StopIteration: next(h)
===== Managed
class Managed:
    log = []

    def __init__(self, name, swallow=False):
        self.name, self.swallow, self.open = name, swallow, False

    def __enter__(self):
        self.open = True
        Managed.log.append("in " + self.name)
        return self

    def __exit__(self, kind, error, trace):
        self.open = False
        Managed.log.append("out " + (kind.__name__ if kind else "-"))
        return self.swallow and kind is KeyError
-----
m = Managed("a")
with m as inner:
    assert inner is m
    assert m.open
? m.open
? Managed.log
-----
with Managed("b", swallow=True):
    raise KeyError({int})
? Managed.log
try:
    with Managed("c"):
        raise ValueError("no")
except ValueError as error:
    text = str(error)
? text
? len(Managed.log)
===== managed
import contextlib

LOG = []


@contextlib.contextmanager
def managed(log, value):
    log.append("start")
    try:
        yield value * 2
    except ZeroDivisionError:
        log.append("caught")
    finally:
        log.append("end")
-----
log = []
with managed(log, {small}) as v:
    assert log == ["start"]
    log.append(v)
? log
-----
log = []
with managed(log, 1):
    1 / 0
? log
===== apply
def apply(function, items, *more, start=0):
    total = start
    for item in items:
        total += function(item, *more)
    return total
-----
? apply(lambda x: x * {small}, {ints})
? apply(int, ["1", "2"])
? apply(pow, {ints}, 2, start={int})
seen = []
def note(x):
    seen.append(x)
    return len(seen)
? apply(note, {words})
? seen
k = {small}
def plus(x):
    return x + k
? apply(plus, [1, 2])
k = 5
? apply(plus, [1, 2])
-----
class Adder:
    def __init__(self):
        self.total = 0
    def add(self, x):
        self.total += x
        return self.total
adder = Adder()
? apply(adder.add, {ints})
? adder.total
def bad(x):
    raise LookupError(x)
! LookupError: apply(bad, [1])
===== Account
class BankError(Exception):
    """Base."""


class Insufficient(BankError):
    def __init__(self, need, have):
        super().__init__(f"need {need}, have {have}")
        self.need = need


class Frozen(BankError, PermissionError):
    pass


class Account:
    rate = {small}

    def __init__(self, owner, balance=0):
        self.owner = owner
        self._balance = balance
        self.frozen = False

    @property
    def balance(self):
        return self._balance

    @balance.setter
    def balance(self, value):
        if value < 0:
            raise ValueError("negative balance")
        self._balance = value

    def withdraw(self, amount):
        if self.frozen:
            raise Frozen()
        if amount > self._balance:
            raise Insufficient(amount, self._balance)
        self._balance -= amount
        return self._balance

    @classmethod
    def open(cls, owner):
        return cls(owner, cls.rate)

    @staticmethod
    def fee(amount):
        return amount // 10
-----
a = Account({word}, 50)
? a.withdraw({small})
! Insufficient: a.withdraw(100)
! BankError: a.withdraw(100)
? a.balance
a.balance = 7
? a.balance
! ValueError: a.balance = -1
a.frozen = True
! PermissionError: a.withdraw(1)
try:
    a.withdraw(1)
except Frozen as error:
    kind = type(error).__name__
? kind
-----
? Account.open("x").balance
? Account.fee(99)
? Account("y").owner
b = Account("z", 1)
try:
    b.withdraw(5)
except Insufficient as error:
    need = error.need
    args = error.args
? need
? args
? issubclass(Insufficient, BankError)
? vars(b)["owner"]
? hasattr(b, "balance")
? getattr(b, "none", 3)
===== Vector
import functools


@functools.total_ordering
class Vector:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __add__(self, other):
        if not isinstance(other, Vector):
            return NotImplemented
        return Vector(self.x + other.x, self.y + other.y)

    def __mul__(self, k):
        return Vector(self.x * k, self.y * k)

    __rmul__ = __mul__

    def __neg__(self):
        return Vector(-self.x, -self.y)

    def __eq__(self, other):
        return isinstance(other, Vector) and (self.x, self.y) == (other.x, other.y)

    def __lt__(self, other):
        return (self.x, self.y) < (other.x, other.y)

    def __hash__(self):
        return hash((self.x, self.y))

    def __bool__(self):
        return bool(self.x or self.y)

    def __iter__(self):
        yield self.x
        yield self.y

    def __getitem__(self, index):
        return (self.x, self.y)[index]

    def __repr__(self):
        return f"Vector({self.x}, {self.y})"
-----
v = Vector({int}, {int})
w = Vector(1, 2)
? v + w == w + v
? v == Vector(v.x, v.y)
? v != w
? (v + w).x
? tuple(w * 3)
? repr(2 * w)
? -w == Vector(-1, -2)
x, y = w
? (x, y)
? w[1]
? bool(Vector(0, 0))
! TypeError: v + 1
! IndexError: w[2]
-----
vs = [Vector(3, 1), Vector(1, 2), Vector(1, 1)]
? [v.x for v in sorted(vs)]
? max(vs) == Vector(3, 1)
? len({Vector(1, 2), Vector(1, 2), Vector(2, 1)})
? {Vector(1, 2): "a"}[Vector(1, 2)]
? Vector(1, 2) in vs
? vs.index(Vector(1, 1))
v = Vector(1, 1)
before = v
v += Vector(2, 2)
? v == Vector(3, 3)
? before == Vector(1, 1)
? v is before
? v >= before
===== Item
from dataclasses import asdict, dataclass, field, replace


@dataclass(order=True)
class Item:
    name: str
    price: int = {small}
    tags: list = field(default_factory=list)

    def total(self, count):
        return self.price * count


@dataclass(frozen=True)
class Key:
    a: int
    b: str = "b"
-----
i = Item({word}, {small})
? i.total(3)
? i == Item(i.name, i.price)
i.tags.append({int})
? i.tags
? Item("z").tags
? asdict(i)["price"]
? repr(Item("q", 2))
? Item("a") < Item("b")
j = replace(i, price=9)
? j.price
? i.tags is j.tags
-----
k = Key(1)
? {k: 1}[Key(1)]
! AttributeError: k.a = 5
import dataclasses
? [one.name for one in dataclasses.fields(Item)]
? dataclasses.astuple(k)
match k:
    case Key(a=a, b=b):
        pair = (a, b)
? pair
===== Color
import enum


class Color(enum.Enum):
    RED = 1
    GREEN = {small}5
    BLUE = "b"

    @property
    def low(self):
        return self.name.lower()

    def next(self):
        members = list(Color)
        return members[(members.index(self) + 1) % len(members)]


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Flags(enum.Flag):
    A = enum.auto()
    B = enum.auto()
-----
? Color.RED.next() is Color.GREEN
? Color.BLUE.next() == Color.RED
? Color(1) is Color.RED
? Color["BLUE"].value
? [c.name for c in Color]
? Color.GREEN.low
? Color.RED in Color
? {Color.RED: 1}[Color.RED]
? repr(Color.RED)
! ValueError: Color(99)
! KeyError: Color["NONE"]
-----
? Level.LOW + 1 == 2
? Level.HIGH > Level.LOW
? max(Level).name
? sorted([Level.HIGH, Level.LOW])[0].name
? (Flags.A | Flags.B) & Flags.A == Flags.A
? len(Color)
===== Point
from collections import namedtuple
from typing import NamedTuple

Point = namedtuple("Point", "x y")


class Named(NamedTuple):
    name: str
    value: int = {small}

    def double(self):
        return self._replace(value=self.value * 2)


def shift(point, by):
    return Point(point.x + by, point.y + by)
-----
p = Point({int}, {int})
? p.x
? shift(p, {small}).y
? p == (p.x, p.y)
? tuple(shift(p, 1))
? p._asdict()
? Point._fields
x, y = p
? x + y
? shift(Point(1, 2), 1) == Point(2, 3)
? shift((1, 2), 1) if False else 0
? type(p).__name__
? isinstance(p, tuple)
! AttributeError: shift((1, 2), 1)
-----
n = Named({word})
? n.double().value
? n.double() == Named(n.name, n.value * 2)
? n < Named("zzz")
? list(n)
===== fetch
import asyncio


class Client:
    def __init__(self, data):
        self.data = data
        self.calls = 0

    async def get(self, key):
        self.calls += 1
        await asyncio.sleep(0)
        if key not in self.data:
            raise KeyError(key)
        return self.data[key]

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        self.data = None

    async def keys(self):
        for key in self.data:
            yield key


async def fetch(data, keys):
    client = Client(data)
    return await asyncio.gather(*(client.get(key) for key in keys))
-----
import asyncio
data = {"a": {int}, "b": {int}}
? asyncio.run(fetch(data, ["a", "b"]))
? asyncio.run(fetch(data, []))
! KeyError: asyncio.run(fetch(data, ["z"]))
client = Client(data)
async def run():
    total = 0
    async with client as c:
        async for key in c.keys():
            total += await c.get(key)
    return total
? asyncio.run(run())
? client.calls
? client.data
===== counter
def counter(start=0, step=1):
    count = start

    def tick(times=1):
        nonlocal count
        count += step * times
        return count

    tick.reset = lambda: counter(start, step)
    return tick
-----
c = counter({int}, {small})
? c()
? c(3)
d = counter()
? d()
? c()
e = c.reset()
? e()
? callable(e)
? [t() for t in (c, d, e)]
? c is e
===== memo
import functools


def memo(function):
    cache = {}

    @functools.wraps(function)
    def inner(*args):
        if args not in cache:
            inner.misses += 1
            cache[args] = function(*args)
        return cache[args]

    inner.misses = 0
    inner.cache = cache
    return inner


def repeat(times):
    def wrap(function):
        def inner(*args, **kwargs):
            return [function(*args, **kwargs) for _ in range(times)]

        return inner

    return wrap
-----
@memo
def square(x):
    "Squares."
    return x * x
? square({int})
? square(3)
? square(3)
? square.misses
? square.__name__
? square.__doc__
? len(square.cache)
@memo
def fact(n):
    return 1 if n < 2 else n * fact(n - 1)
? fact(30)
-----
@repeat({small})
def hello(name, mark="!"):
    return name + mark
? hello("a")
? hello("b", mark={word})
? memo(len)([1] and "abc")
===== Trie
class Trie(dict):
    def __missing__(self, key):
        node = self[key] = Trie()
        return node

    def add(self, word):
        node = self
        for char in word:
            node = node[char]
        node["$"] = True

    def words(self, prefix=""):
        for key in sorted(self, key=str):
            if key == "$":
                yield prefix
            else:
                yield from self[key].words(prefix + key)
-----
t = Trie()
for word in ["ab", "a", "b"]:
    t.add(word)
? list(t.words())
? "a" in t
? len(t)
? isinstance(t, dict)
? sorted(t)
t["z"]["y"].add("x")
? list(t["z"].words())
===== LRU
from collections import OrderedDict


class LRU(OrderedDict):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def get(self, key, default=-1):
        if key not in self:
            return default
        self.move_to_end(key)
        return self[key]

    def put(self, key, value):
        self[key] = value
        self.move_to_end(key)
        if len(self) > self.size:
            self.popitem(last=False)
-----
c = LRU(2)
c.put(1, {a:int})
c.put(2, {int})
? c.get(1)
c.put(3, 3)
? c.get(2)
? list(c)
? list(c.items())
? dict(c)
? len(c)
? 1 in c
c.get(1)
c.put(4, 4)
? list(c.keys())
del c[4]
? len(c)
! KeyError: c[4]
===== Node
class Node:
    def __init__(self, value, *children):
        self.value = value
        self.children = list(children)
        self.parent = None
        for child in children:
            child.parent = self


def depth(node):
    return 1 + max(map(depth, node.children), default=0)


def walk(node):
    yield node.value
    for child in node.children:
        yield from walk(child)


def find(node, value):
    if node.value == value:
        return node
    for child in node.children:
        found = find(child, value)
        if found is not None:
            return found
    return None
-----
leaf = Node({small})
root = Node(10, leaf, Node(20, Node(30)))
? depth(root)
? list(walk(root))
? find(root, 30).parent.value
? find(root, 99)
? find(root, 10) is root
? leaf.parent is root
root.children.append(Node(40))
? [child.value for child in root.children]
root.children[1].children.append(leaf)
? depth(root)
names = []
node = find(root, 30)
while node is not None:
    names.append(node.value)
    node = node.parent
? names
===== Shape
import abc
import math


class Shape(abc.ABC):
    registry = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Shape.registry[cls.__name__] = cls

    @abc.abstractmethod
    def area(self):
        ...

    def describe(self):
        return f"{type(self).__name__} of {self.area():.2f}"


class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side ** 2


class Circle(Shape):
    def __init__(self, radius):
        self.radius = radius

    def area(self):
        return math.pi * self.radius ** 2
-----
! TypeError: Shape()
? Square({small}).area()
? Circle(1).describe()
? sorted(Shape.registry)[:1]
? isinstance(Square(1), Shape)
? [round(s.area(), 1) for s in (Square(2), Circle(2))]
class Line(Shape):
    def area(self):
        return 0
? Line().describe()
? Shape.registry["Line"] is Line
class Broken(Square):
    def area(self):
        return super().area() + {int}
? Broken(2).describe()
? Broken.__mro__[1] is Square
===== f
import random

SCALE = {small}
_seen = []


def f(n):
    _seen.append(n)
    return [random.randint(0, 9) * SCALE for _ in range(n)]


def history():
    return list(_seen)
-----
import random
random.seed({small})
a = f(4)
random.seed({b:small})
b = f(3)
random.seed({b:small})
? f(3) == b
? history()
? len(a)
? max(a) <= 9 * SCALE
===== f
def f(text):
    counts = {}
    for char in text:
        counts[char] = counts.get(char, 0) + 1
    best = max(counts.values(), default=0)
    return {char: n for char, n in counts.items() if n == best}, best / (len(text) or 1)
-----
? f({word})
? f("")
table, part = f("abbacc" * {small})
? table
? list(table)
? round(part, 3)
del table["a"]
? sorted(table.items())
? "%.2f" % part
===== Matrix
class Matrix:
    def __init__(self, rows):
        self.rows = [list(row) for row in rows]

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        return Matrix([[sum(a * b for a, b in zip(row, column)) for column in columns] for row in self.rows])

    def __getitem__(self, place):
        i, j = place
        return self.rows[i][j]

    def __setitem__(self, place, value):
        i, j = place
        self.rows[i][j] = value

    def __eq__(self, other):
        return self.rows == other.rows

    def copy(self):
        return Matrix(self.rows)

    @property
    def T(self):
        return Matrix(zip(*self.rows))
-----
data = [[1, {int}], [3, 4]]
m = Matrix(data)
? (m @ m)[0, 1]
? (m @ m.T).rows
c = m.copy()
c[0, 0] = 9
? m[0, 0]
? data[0][0]
? c == m
? m == Matrix(data)
? m.T.T == m
! IndexError: m[5, 5]
m[1, 1] += {small}
? m[1, 1]
''')

"""Values cross exactly, with their types; hostile bytes cost bounded time and memory."""

from __future__ import annotations

import contextlib
import datetime
import json
import pathlib
import struct
import subprocess
import sys
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rrtf_trl
from rrtf_trl.sandbox.common import codec, standard_types, unpacking
from rrtf_trl.sandbox.common.codec import MalformedMessage, NotPlainData, decode, encode, is_exact
from rrtf_trl.sandbox.common.compare import same

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
offsets = st.timedeltas(min_value=datetime.timedelta(hours=-23), max_value=datetime.timedelta(hours=23))
zones = (
    st.none()
    | st.just(datetime.UTC)
    | st.just(BERLIN)
    | st.builds(datetime.timezone, offsets)
    | st.builds(datetime.timezone, offsets, st.text(max_size=4))
)
any_text = st.text(
    st.characters(codec="utf-32", categories=None) | st.sampled_from("\ud83d\ude00\udfff\0"), max_size=6
)
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=1 << 62, max_value=1 << 66)
    | st.floats(allow_nan=False)
    | any_text
    | st.binary(max_size=8)
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.datetimes(timezones=zones)
    | st.times(timezones=zones)
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.builds(pathlib.PurePosixPath, any_text)
    | st.builds(pathlib.PureWindowsPath, any_text)
    | st.builds(range, st.integers(), st.integers(), st.integers(1, 9))
    | st.sampled_from([..., NotImplemented, int, list, type(None), OrderedDict, Decimal, Path, datetime.date])
)
hashable = plain | st.tuples(plain, plain) | st.frozensets(plain, max_size=3)
values = st.recursive(
    hashable | st.floats() | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
        | st.builds(OrderedDict, st.lists(st.tuples(hashable, inner), max_size=3))
        | st.builds(defaultdict, st.sampled_from([None, int, list]), st.dictionaries(hashable, inner, max_size=3))
        | st.builds(Counter, st.dictionaries(hashable, inner, max_size=3))
        | st.builds(deque, st.lists(inner, max_size=3), st.sampled_from([None, 3, 7]))
        | st.binary(max_size=4).map(bytearray)
    ),
    max_leaves=8,
)


def form(value: Any) -> Any:
    """All that there is to a value: its types, texts, and orders; nan is itself."""
    if isinstance(value, dict):
        factory = getattr(value, "default_factory", None)
        return type(value), factory, [(form(key), form(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return type(value), getattr(value, "maxlen", None), [form(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(form(item)) for item in value)
    if isinstance(value, datetime.datetime | datetime.time):
        return repr(value), value.fold
    return type(value), str(value) if isinstance(value, Decimal) else repr(value)


@settings(max_examples=150, deadline=None)
@given(values)
def test_what_is_exact_is_the_same_on_the_other_side(value: Any) -> None:
    again = decode(encode(value))
    assert form(again) == form(value)
    assert same(value, again, 0) or "nan" in repr(form(value)).lower()
    assert is_exact(value)


class Point(NamedTuple):
    x: int


class Cache(OrderedDict[str, int]):
    pass


class Tally(Counter[str]):
    pass


class Number(int):
    pass


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1), (1,)),
        (Cache(b=1, a=2), OrderedDict(b=1, a=2)),
        (Tally("aab"), Counter("aab")),
        ([Number(3)], [3]),
        (defaultdict(lambda: 1, a=2), {"a": 2}),
        ({Number(3): 1}, {3: 1}),
        (Path("a/b"), pathlib.PurePosixPath("a/b")),
    ],
)
def test_what_is_flattened_is_not_exact(value: Any, plain: Any) -> None:
    assert form(decode(encode(value))) == form(plain)
    assert not is_exact(value)
    assert not is_exact([{1: value}])


def test_a_path_that_opens_files_is_the_programs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode([Path("/etc/passwd")])
    assert type(decode(data)[0]) is pathlib.PurePosixPath
    assert decode(data) == [Path("/etc/passwd")]
    monkeypatch.setattr(standard_types, "_paths_open_files", False)  # set back afterwards
    standard_types.let_paths_open_files()
    assert type(decode(data)[0]) is pathlib.PosixPath


def test_two_surrogates_are_not_one_character() -> None:
    pair, one = "\ud83d\ude00", "\U0001f600"
    assert [decode(encode(text)) for text in (pair, one)] == [pair, one]
    assert decode(encode({pair: [one]})) == {pair: [one]}
    assert not same(one, decode(encode(pair)), 0)


def test_the_order_of_an_ordered_dict_is_kept_after_moves() -> None:
    moved = OrderedDict(a=1, b=2, c=3)
    moved.move_to_end("a")
    assert list(decode(encode(moved))) == ["b", "c", "a"]


@pytest.mark.parametrize(
    "value",
    [
        10**200_000,
        -(10**200_000),
        Decimal("0." + "7" * 200_000),
        Decimal("1E+200000"),
        Fraction(10**100_000 + 1, 3**200_000),
        range(10**9),
        range(10**30, -(10**18), -7),
        "x" * 3_000_000,
        list(range(300_000)),
        {str(number): number for number in range(100_000)},
        set(range(-200_000, 200_000)),
        {(-1 - (number & 1), -1 - (number >> 1 & 1), number) for number in range(50_000)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_large_values(value: Any) -> None:
    again = decode(encode(value))
    assert type(again) is type(value)
    assert again == value
    assert is_exact(value)


def linked(length: int, node: Any) -> Any:
    found = None
    for number in range(length):
        found = node(number, found)
    return found


@pytest.mark.parametrize("length", [1, 49, 50, 51, 52, 53, 99, 100, 101, 300, 900, codec.MAX_DEPTH - 1])
@pytest.mark.parametrize(
    "node",
    [
        lambda number, after: [number, after],
        lambda number, after: (after, number, 10**30),
        lambda number, after: {"value": number, "next": after},
        lambda number, after: frozenset({number, after}),
        lambda number, after: [after] if number % 3 else OrderedDict([(number, after)]),
        lambda number, after: deque([after, [number]]),
    ],
)
def test_deep_data(length: int, node: Any) -> None:
    value = linked(length, node)
    again = decode(encode(value))
    assert is_exact(value)
    if length < codec.MAX_DEPTH - 150:  # Python itself does not compare deeper data
        assert again == value
    assert same(value, again, 0) or isinstance(value, frozenset)
    assert not same(linked(length, lambda number, after: [number + (number == 0), after]), again, 0)


def test_too_deep_data_and_circles_are_refused_at_once() -> None:
    circle: list[Any] = []
    circle += [circle, circle]
    too_deep = linked(codec.MAX_DEPTH + 2, lambda number, after: [after])
    for value in (circle, too_deep, {"a": circle}):
        with pytest.raises(NotPlainData, match="nested deeper"):
            encode(value)
        assert not is_exact(value)


def parts(*items: Any) -> bytes:
    return json.dumps(["z", list(items)]).encode()


@pytest.mark.parametrize(
    "data",
    [
        parts(),
        parts(["@", 0]),
        parts(["@", 1]),
        parts(["l", [["@", 2]]], 1),
        parts(["l", [["@", 1], ["@", 1]]], ["l", []]),
        parts(["l", [["@", 1]]], ["l", [["@", 0]]]),
        parts(*[["l", [["@", number + 1]]] for number in range(5000)], 1),
        parts(*[["l", [["@", number + 1], ["@", number + 1]]] for number in range(60)], 1),
        b'["z",1]',
        b'["l",[["z",[1]]]]',
        b'["@",1]',
        b'["r",[0,1,0]]',
        b'["r",[0,1.5,1]]',
        b'["q",[-1,[]]]',
        b'["q",["a",[]]]',
        b'["e",["eval",[]]]',
        b'["e",["int",[1]]]',
        b'["O",[[1]]]',
        b'["C",[[["l",[]],1]]]',
        b'["D","1E+999999999"]',
        b'["D","x"]',
        b'["F",[1,0]]',
        b'["F",[1.5,2]]',
        b'["M",["datetime",2020,13,1,0,0,0,0,0,null]]',
        b'["M",["datetime",2020,1,1,0,0,0,0,0,["Z","../../etc/passwd"]]]',
        b'["M",["datetime",2020,1,1,0,0,0,0,0,["Z","/etc/passwd"]]]',
        b'["M",["datetime",2020,1,1,0,0,0,0,0,["D","1"]]]',
        b'["M",["datetime",2020,1,1,0,0,0,0,5,null]]',
        b'["M",["date",true,1,1]]',
        b'["M",["tzinfo"]]',
        b'["Z","Nowhere/Else"]',
        b'["Z","America"]',
        b'["Z",[100000000000000]]',
        b'["Z",[1.5]]',
        b'["P",["Path","a"]]',
        b'["P",["PosixPath",1]]',
        b'["U","00"]',
        b'["U",1]',
        b'["K","exit"]',
        b'["T","Sandbox"]',
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(data)


json_like = st.recursive(
    st.sampled_from([None, True, 0, -1, 1, 2**63, 1.5, "", "int", "<i4", "|O8", "<M8[0D]", "str_", "00", "0x1f", "1/3",
                     "NaN", "datetime", "date", "time", "timedelta", "PosixPath", "Ellipsis", "UTC", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.tuples(st.sampled_from([*unpacking._UNPACK, "z"]), st.lists(inner, max_size=4) | inner).map(list),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(json_like)
def test_whatever_is_sent_is_malformed_or_plain(message: Any) -> None:
    with contextlib.suppress(MalformedMessage):
        value = decode(json.dumps(message).encode())
        again = decode(encode(value))
        assert same(value, again, 0) or "nan" in repr(form(value)).lower()


PRIME = 2**61 - 1


COLLIDING = {
    "int": lambda number: ["i", hex(number * PRIME)],
    "tuple": lambda number: ["t", [1, ["i", hex(number * PRIME)]]],
    "tuple of -1 and -2": lambda number: ["t", [-1 - (number >> bit & 1) for bit in range(13)]],
    "frozenset": lambda number: ["f", [["i", hex(number * PRIME)]]],
    "Fraction": lambda number: ["F", [["i", hex(number * PRIME)], 1]],
    "Decimal": lambda number: ["D", str(number * PRIME)],
    "range": lambda number: ["r", [0, ["i", hex(number * PRIME)], 1]],
    "complex": lambda number: ["c", [-1000003.0 * number, float(number)]],
    "NumPy": lambda number: ["n", ["<c16", None, struct.pack("<dd", -1000003.0 * number, number).hex()]],
}


@pytest.mark.parametrize("name", COLLIDING)
@pytest.mark.parametrize("tag", ["s", "f", "d", "O", "C"])
def test_tables_of_colliding_keys_are_refused(name: str, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_TABLE_SECONDS", 0.01)
    monkeypatch.setattr(unpacking, "_ITEM_SECONDS", 0.0)
    keys = [COLLIDING[name](number) for number in range(1, 5000)]
    payload = keys if tag in "sf" else [[key, 1] for key in keys]
    with pytest.raises(MalformedMessage, match="equal hashes"):
        decode(json.dumps(["l", [[tag, payload]]]).encode())


HOSTILE = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from rrtf_trl.sandbox.common import codec
exec(sys.stdin.read())
try:
    value = codec.decode(data)
except codec.MalformedMessage as error:
    print("malformed", error)
else:
    print("decoded", type(value).__name__)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("data = json.dumps(['s', [['i', hex(n * (2**61 - 1))] for n in range(1, 400_000)]]).encode()", "malformed"),
        ("data = b'[' * (16 << 20)", "malformed"),
        ("data = b'[\"l\",[' * (1 << 20)", "malformed"),
        ("data = b'[\"l\",[' + b'[],' * (4 << 20) + b'1]]'", "malformed"),
        ("data = b'[\"l\",[' + b'[\"l\",[]],' * (1 << 20) + b'1]]'", "decoded list"),
        ("data = b'{' + b'\"a\":1,' * (1 << 20) + b'\"b\":1}'", "malformed"),
        ("data = b'[\"r\",[0,1000000000000000000,1]]'", "decoded range"),
        ("data = json.dumps(['n', ['<f8', [10**12, 0], '']]).encode()", "malformed"),
        ("data = json.dumps(['N', [[10**12, 0], []]]).encode()", "malformed"),
        ("data = json.dumps(['l', [['F', [['i', '0x' + 'f' * 170_000], ['i', '0x' + '7' * 170_000]]]] * 3]).encode()",
         "decoded list"),
    ],
)  # fmt: skip
def test_hostile_bytes_take_bounded_memory(make: str, said: str) -> None:
    path = str(Path(rrtf_trl.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE], input=make, capture_output=True, text=True, env={"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(said)

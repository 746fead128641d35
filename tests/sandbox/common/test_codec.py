"""Plain data crosses unchanged; nothing else does, and hostile bytes do nothing but raise."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf_trl.sandbox.common.codec import MAX_DEPTH, MAX_INT_BITS, MalformedMessage, NotPlainData, decode, encode
from rrtf_trl.sandbox.common.compare import same

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.complex_numbers(allow_nan=False)
)
hashable = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=3
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
    ),
    max_leaves=6,
)


def kinds(value: Any) -> Any:
    """The types of a value and of what is in it, as far as there is an order."""
    if isinstance(value, list | tuple):
        return type(value), [kinds(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(kinds(key), kinds(item)) for key, item in value.items()]
    return type(value)


@settings(max_examples=60, deadline=None)
@given(values)
def test_round_trip(value: Any) -> None:
    again = decode(encode(value))
    assert again == value
    assert kinds(again) == kinds(value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | st.text('[]{}",:0123456789ltdsfcibT.-eNaI ', max_size=40).map(str.encode))
def test_hostile_bytes_are_malformed_or_plain(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        encode(decode(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'["l"]',
        b'["x",[]]',
        b'["l",{}]',
        b'["d",[[["l",[]],1]]]',
        b'["d",[[1]]]',
        b'["s",[["l",[]]]]',
        b'["i","zz"]',
        b'["c",["a","b"]]',
        b'["b","0"]',
        b'["T","eval"]',
        b'[["l",[]],1]',
        b"9" * 5000,
        b"[" * 100_000,
        ('["l",[' * 200 + "1" + "]]" * 200).encode(),
        "\N{SNOWMAN}".encode(),
        json.dumps(["i", "f" * (MAX_INT_BITS // 4 + 10)]).encode(),
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(data)


def test_subclasses_are_flattened_without_asking_them() -> None:
    class Liar(list[int]):
        def __iter__(self) -> Any:
            raise AssertionError

        def __len__(self) -> int:
            raise AssertionError

    class Text(str):
        def __str__(self) -> str:
            return "lie"

    class Table(dict[str, int]):
        def items(self) -> Any:
            return [("lie", 1)]

    for value, plain in ((Liar([1, 2]), [1, 2]), (Text("true"), "true"), (Table(a=1), {"a": 1})):
        again = decode(encode(value))
        assert type(again) is type(plain)
        assert again == plain


@pytest.mark.parametrize("value", [object(), iter([1]), print, memoryview(b"x"), {1: {2: object()}}, Exception])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(NotPlainData, match="type"):
        encode(value)


def test_limits() -> None:
    assert decode(encode(1 << (MAX_INT_BITS - 1))) == 1 << (MAX_INT_BITS - 1)
    with pytest.raises(NotPlainData):
        encode(1 << MAX_INT_BITS)
    deep: list[Any] = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert same(deep, decode(encode(deep)), 0)
    with pytest.raises(NotPlainData):
        encode([deep])


def test_numpy_scalars_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    again = decode(encode([numpy.int64(3), numpy.bool_(True), numpy.float32(0.5)]))
    assert again == [3, True, 0.5]
    assert [type(value) for value in again] == [numpy.int64, numpy.bool_, numpy.float32]


@pytest.mark.parametrize(
    ("expected", "answer", "atol", "equal"),
    [
        (1, 1.0, 0, True),
        (True, 1, 0, True),
        (1, "1", 0, False),
        ([1], (1,), 0, False),
        ((1, [2]), (1, [2]), 0, True),
        (math.nan, math.nan, 0, True),
        ([math.nan], [math.nan], 0, True),
        (math.nan, 1.0, 1e9, False),
        (math.inf, 1.0, 1e9, False),
        (math.inf, math.inf, 0, True),
        (0.1 + 0.2, 0.3, 0, False),
        (0.1 + 0.2, 0.3, 1e-9, True),
        ({"a": [0.1 + 0.2]}, {"a": [0.3]}, 1e-9, True),
        ({"a": 1}, {"b": 1}, 0, False),
        ({1, 2}, {2, 1}, 0, True),
        ({1}, frozenset({1}), 0, True),
        (10**400, 1.0, 1e-6, False),
        (None, 0, 0, False),
        ("x", "x", 0, True),
    ],
)
def test_same(expected: Any, answer: Any, atol: float, equal: bool) -> None:
    assert same(expected, answer, atol) is equal

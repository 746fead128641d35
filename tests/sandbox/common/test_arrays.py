"""NumPy's arrays cross exactly; what NumPy takes for a value and cannot read is refused on both sides."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rrtf_trl.sandbox.common.codec import MalformedMessage, NotPlainData, decode, encode, is_exact
from rrtf_trl.sandbox.common.compare import same

dtypes = (
    hnp.scalar_dtypes()
    | hnp.unicode_string_dtypes(max_len=5)
    | hnp.byte_string_dtypes(max_len=5)
    | hnp.array_dtypes(hnp.integer_dtypes() | hnp.unicode_string_dtypes(max_len=3), max_size=3)
).filter(lambda dtype: len(dtype.fields or ()) == len(dtype.names or ()))  # none with titles


@settings(max_examples=120, deadline=None)
@given(hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, min_side=0, max_side=3)))
def test_an_array_is_the_same_on_the_other_side(array: Any) -> None:
    again = decode(encode([array]))[0]
    assert type(again) is np.ndarray
    assert (again.dtype, again.shape, again.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert again.flags.writeable
    assert is_exact(array)
    assert same(array, again, 0)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_scalar_is_the_same_on_the_other_side(data: Any) -> None:
    array = data.draw(hnp.arrays(dtypes, 1))
    scalar = array[0]
    again = decode(encode(scalar))
    assert type(again) is type(scalar)
    assert again.tobytes() == scalar.tobytes()
    assert is_exact(scalar)


def test_text_keeps_its_trailing_nuls() -> None:
    text, raw = decode(encode([np.str_("a\0"), np.bytes_(b"a\0")]))
    assert (str.__str__(text), bytes(raw)) == ("a\0", b"a\0")
    array = np.array(["a\0", "b"])
    assert decode(encode(array)).tobytes() == array.tobytes()
    assert not same(["a\0", "b"], array, 0)


def test_arrays_of_objects_of_fields_and_with_masks() -> None:
    objects = np.empty((2, 2), dtype=object)
    objects[0, 0], objects[0, 1], objects[1, 0] = [1, 2], np.array([1.5]), {"a": (1,)}
    again = decode(encode(objects))
    assert (again.dtype, again.shape) == (objects.dtype, (2, 2))
    assert (again[0, 0], again[1, 0], again[1, 1]) == ([1, 2], {"a": (1,)}, None)
    assert same(objects, again, 0)
    table = np.zeros(2, [("name", "U3"), ("at", "f8", (2, 3)), ("inner", [("x", "i4"), ("y", object)])])
    table["name"], table["at"][1], table["inner"]["y"][0] = ["a", "b"], 2.5, "text"
    again = decode(encode(table))
    assert again.dtype == table.dtype
    assert again.tolist()[0][2] == (0, "text")
    assert same(table["at"], again["at"], 0)
    assert is_exact(table)
    row = decode(encode(table[0]))
    assert type(row) is np.void
    assert row["name"] == "a"
    gaps = np.zeros(1, np.dtype([("a", "i1"), ("b", "i8")], align=True))
    assert decode(encode(gaps))["b"][0] == 0
    assert not is_exact(gaps)
    masked = np.ma.masked_array([1, 2, 3], mask=[0, 1, 0], fill_value=7)
    again = decode(encode(masked))
    assert (again.tolist(), again.fill_value, type(again)) == ([1, None, 3], 7, np.ma.MaskedArray)
    assert is_exact(masked)
    assert decode(encode(np.ma.masked)) is np.ma.masked
    assert same(masked, again, 0)
    assert not same(masked, np.array([1, 2, 3]), 0)
    assert not same(np.array([1, 2, 3]), masked, 0)
    assert not is_exact(np.asmatrix([[1]]))
    assert not is_exact([np.rec.array([(1,)], dtype=[("a", "i4")])])


UNREADABLE = [
    np.zeros(1, "M8[0D]"),
    np.zeros(1, "m8[0as]"),
    np.zeros(1, "M8[0Y]")[0],
    np.frombuffer(b"\x7f\x7f\x7f\x00", "<U1"),
    np.frombuffer(b"\x00\x11\x00\x00", ">U1"),
    np.frombuffer(b"\x02\x01", "?"),
    np.zeros((0, 10**9)),
    np.zeros(1, "V3"),
    np.zeros(1, [("t", "M8[0s]")]),
    np.ma.masked_array(np.zeros(1, "M8[0D]")),
]


@pytest.mark.parametrize("value", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_numpy_cannot_read_is_not_sent(value: Any) -> None:
    with pytest.raises(NotPlainData):
        encode([value])
    assert not is_exact(value)


@pytest.mark.parametrize(
    "payload",
    [
        ["n", ["<M8[0D]", [1], "00" * 8]],
        ["n", ["<M8[00D]", None, "00" * 8]],
        ["n", ["<M8[D/0]", [1], "00" * 8]],
        ["n", ["<m8[0as]", [1], "00" * 8]],
        ["n", ["<M8[zz]", [1], "00" * 8]],
        ["n", ["<U1", [1], "7f7f7f00"]],
        ["n", [">U1", None, "7f7f7f00"]],
        ["n", ["|b1", [2], "0102"]],
        ["n", ["<f3", [1], "000000"]],
        ["n", ["<U0", [3], ""]],
        ["n", ["|S0", [10**12], ""]],
        ["n", ["|O8", [1], "00" * 8]],
        ["n", ["|V8", [1], "00" * 8]],
        ["n", ["<f8", [10**12, 0], ""]],
        ["n", ["<f8", [-1, -1], "00" * 8]],
        ["n", ["<f8", [True], "00" * 8]],
        ["n", ["<f8", [1] * 100, "00" * 8]],
        ["n", ["<f8", None, ""]],
        ["n", ["str_", None, 1]],
        ["N", [[10**12, 0], []]],
        ["N", [[2], [1]]],
        ["N", [[1], 5]],
        ["R", [[1], []]],
        ["R", [[1], [["a", 1]]]],
        ["R", [[1], [["a", ["n", ["<i4", [2], "00" * 8]]]]]],
        ["R", [[1], [["a", ["n", ["<i4", [1], "00" * 4]]]] * 2]],
        ["R", [[10**12, 0], [["a", ["n", ["<i4", [0], ""]]]]]],
        ["R", [[10**9], [["a", ["n", ["<i4", [10**9, 0], ""]]]]]],
        ["A", [1, None, None]],
        ["A", [["n", ["<i4", [1], "00" * 4]], ["n", ["|b1", [2], "0000"]], None]],
    ],
)
def test_malformed(payload: Any) -> None:
    with pytest.raises(MalformedMessage):
        decode(json.dumps(payload).encode())

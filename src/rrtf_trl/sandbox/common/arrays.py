"""The part of :mod:`.codec` for NumPy: arrays and scalars, by value.

Some bytes are no value of a data type that NumPy offers, and NumPy takes them all the same: ``datetime64[0D]``
ends the process by a division by zero, and text beyond the last character of Unicode raises wherever it is read.
Both ways, such data types and values are refused.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import Any

from .plain import MalformedMessage, NotPlainData

_DTYPE = re.compile(r"[<>|][biufcSU][1-9][0-9]{0,7}|[<>][mM]8(\[([1-9][0-9]{0,8})?[A-Za-z]{1,2}\])?")
_MAX_EMPTY = 1_000_000
"""The largest product of an empty array's other sizes: as a list, an array of shape (n, 0) has n items."""
_MAX_FIELDS = 1000
_LAST_CHARACTER = 0x10FFFF


def pack_array(value: Any, numpy: Any, pack: Callable[[Any], Any], note_flattened: Callable[[], None]) -> list[Any]:
    """Return an array or scalar of NumPy as JSON data.

    Args:
        value: It; an instance of a subclass is sent as the plain array inside it.
        numpy: The module.
        pack: Encodes the items of an array of objects, and the arrays that an array is made of.
        note_flattened: Called where a type or a data type is not kept.

    Raises:
        NotPlainData: For a data type that does not cross.
    """
    kind = type(value)
    masked = sys.modules.get("numpy.ma")
    if masked is not None and issubclass(kind, masked.MaskedArray):
        if value is masked.masked:
            return ["A", None]
        if kind is not masked.MaskedArray:
            note_flattened()
        mask = None if value.mask is masked.nomask else pack(numpy.asarray(value.mask))
        return ["A", [pack(masked.getdata(value, subok=False)), mask, pack(value.fill_value)]]
    scalar = issubclass(kind, numpy.generic)
    if issubclass(kind, str):
        return ["n", ["str_", None, str.__str__(value)]]  # in an array it would lose trailing NULs
    if issubclass(kind, bytes):
        return ["n", ["bytes_", None, bytes.hex(value)]]
    array = numpy.asarray(value)
    dtype = array.dtype
    if kind is not (dtype.type if scalar else numpy.ndarray):
        note_flattened()
    shape = None if scalar else list(array.shape)
    if shape is not None and not _is_small_if_empty(shape):
        raise NotPlainData(f"an empty NumPy array of shape {array.shape}")
    if dtype.names:
        return _pack_fields(array, shape, numpy, pack, note_flattened)
    if dtype.kind == "O":
        return ["N", [shape, [pack(item) for item in array.ravel().tolist()]]]
    if not _DTYPE.fullmatch(dtype.str) or not _is_valid(array.ravel(), numpy):
        raise NotPlainData(f"a NumPy value of data type {dtype.str[:40]}")
    return ["n", [dtype.str, shape, numpy.ndarray.tobytes(array).hex()]]


def _pack_fields(
    array: Any, shape: Any, numpy: Any, pack: Callable[[Any], Any], note_flattened: Callable[[], None]
) -> list[Any]:
    columns = [(name, array[name]) for name in array.dtype.names]
    if len(columns) > _MAX_FIELDS or len(array.dtype.fields) != len(columns):
        raise NotPlainData("a NumPy array with titles, or too many fields")
    if _dtype_of(columns, array.ndim, numpy) != array.dtype:
        note_flattened()  # its fields have gaps between them
    return ["R", [shape, [[name, pack(numpy.asarray(column))] for name, column in columns]]]


def _dtype_of(columns: list[tuple[str, Any]], dimensions: int, numpy: Any) -> Any:
    return numpy.dtype([(name, column.dtype, column.shape[dimensions:]) for name, column in columns])


def _is_valid(flat: Any, numpy: Any) -> bool:
    """Return whether what is in an array are values of its data type."""
    if not flat.size:
        return True
    dtype = flat.dtype
    if dtype.kind == "U":
        codes = numpy.ascontiguousarray(flat).view(dtype.byteorder.replace("|", "=") + "u4")
        return bool(codes.max() <= _LAST_CHARACTER)
    if dtype.kind == "b":
        return bool(numpy.ascontiguousarray(flat).view("u1").max() <= 1)
    return True


def _is_small_if_empty(shape: list[int]) -> bool:
    return 0 not in shape or math.prod(size or 1 for size in shape) <= _MAX_EMPTY


def unpack_array(payload: Any, unpack: Callable[[Any], Any]) -> Any:
    """Return an array or scalar of numbers, text, or dates; ``unpack`` is not used: no value is inside of it."""
    import numpy

    name, shape, data = payload
    if shape is None and name == "str_":
        if type(data) is not str:
            raise MalformedMessage("no text")
        return numpy.str_(data)
    if shape is None and name == "bytes_":
        return numpy.bytes_(bytes.fromhex(data))
    if type(name) is not str or not _DTYPE.fullmatch(name):
        raise MalformedMessage("an unknown data type")
    raw = bytes.fromhex(data)
    dtype = numpy.dtype(name)
    flat: Any = numpy.frombuffer(raw, dtype=dtype) if raw else numpy.empty(0, dtype)
    if not _is_valid(flat, numpy):
        raise MalformedMessage("no values of their data type")
    if shape is None:
        (scalar,) = flat
        return scalar
    return flat.reshape(_shape(shape, flat.size)).copy()


def unpack_objects(payload: Any, unpack: Callable[[Any], Any]) -> Any:
    """Return an array of any values."""
    import numpy

    shape, items = payload
    if type(items) is not list:
        raise MalformedMessage("an array of no items")
    flat = numpy.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        flat[place] = unpack(item)
    return flat.reshape(_shape(shape, len(items)))


def unpack_fields(payload: Any, unpack: Callable[[Any], Any]) -> Any:
    """Return a structured array, or one row of it."""
    import numpy

    shape, packed = payload
    if type(packed) is not list or not 0 < len(packed) <= _MAX_FIELDS:
        raise MalformedMessage("an array of no fields")
    columns = [(name, unpack(column)) for name, column in packed]
    if any(type(name) is not str or type(column) is not numpy.ndarray for name, column in columns):
        raise MalformedMessage("a field of no array")
    sizes = [] if shape is None else _shape(shape, None)
    if any(list(column.shape[: len(sizes)]) != sizes for _, column in columns):
        raise MalformedMessage("an array of another shape")
    dtype = _dtype_of(columns, len(sizes), numpy)
    if not dtype.itemsize:
        raise MalformedMessage("an array of no size")
    array: Any = numpy.empty(sizes, dtype=dtype)
    for name, column in columns:
        array[name] = column
    return array if shape is not None else array[()]


def unpack_masked(payload: Any, unpack: Callable[[Any], Any]) -> Any:
    """Return a masked array, or the constant for a masked item."""
    from numpy import ma, ndarray

    if payload is None:
        return ma.masked
    data, mask, fill = (None if part is None else unpack(part) for part in payload)
    if type(data) is not ndarray or (mask is not None and (type(mask) is not ndarray or mask.shape != data.shape)):
        raise MalformedMessage("a masked array of other parts")
    array: Any = ma.MaskedArray(data, mask=ma.nomask if mask is None else mask)
    array.fill_value = fill
    return array


def _shape(shape: Any, size: int | None) -> list[int]:
    """Return a shape if it is one, of arrays with this number of items."""
    if type(shape) is not list or any(type(one) is not int or one < 0 for one in shape):
        raise MalformedMessage("an array of no shape")
    if not _is_small_if_empty(shape) or (size is not None and math.prod(shape) != size):
        raise MalformedMessage("an array of another shape")
    return shape


UNPACK_ARRAY: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "A": unpack_masked,
    "N": unpack_objects,
    "R": unpack_fields,
    "n": unpack_array,
}
"""By tag, returns the array of a payload, given what decodes the values inside of it."""

"""The messages to and from a worker: rows as Parquet, in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

import pyarrow
import pyarrow.parquet


def to_shard(**columns: Iterable[Any]) -> bytes:
    """Return columns of JSON values as a Parquet file; repeated values, such as a problem, are stored once."""
    table = pyarrow.table({name: [json.dumps(value) for value in values] for name, values in columns.items()})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def from_shard(shard: bytes) -> list[dict[str, Any]]:
    """Return the rows of a shard."""
    table = pyarrow.parquet.read_table(io.BytesIO(shard))
    return [{name: json.loads(value) for name, value in row.items()} for row in table.to_pylist()]

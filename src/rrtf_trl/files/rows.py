"""Rows of a data set: from JSONL, JSON and Parquet files, or from a hub."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrtf_trl.errors import InputError

HUB = "hub:"
"""What a path starts with that names a data set on a hub."""


def read_rows(path: str | Path, subset: str | None = None, split: str | None = None) -> Iterator[tuple[str, Any]]:
    """Yield (where, row) for each row of a data set; ``where`` is the file and line, for messages.

    Args:
        path: A file that ends in ``.jsonl``, ``.json`` (a list of objects) or ``.parquet``, the first two
            also gzipped; or ``hub:NAME`` for a data set of a hub.
        subset: Of a hub's data set, where it has several.
        split: Of a hub's data set.

    Raises:
        InputError: If it cannot be read.
    """
    if str(path).startswith(HUB):
        yield from _from_hub(str(path).removeprefix(HUB), subset, split)
        return
    path = Path(path)
    name = path.name.removesuffix(".gz")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if name.endswith(".parquet"):
        yield from _from_parquet(path)
    elif name.endswith(".json"):
        yield from _from_list(path)
    else:
        yield from ((f"{path}:{number}", row) for number, row in read_jsonl(path))


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each non-blank line of a JSONL file, plain or ``.gz``.

    Raises:
        InputError: If the file is missing, is no UTF-8 text, or a line is no JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    open_text = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with open_text(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(f"{path}:{number}: not JSON: {error.msg} at column {error.colno}") from None
                if not isinstance(row, dict):
                    raise InputError(f"{path}:{number}: expected a JSON object, got {type(row).__name__}")
                yield number, row
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number + 1}: not UTF-8 text ({error.reason})") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"{path}: not a whole gzip file ({error})") from None


def _from_list(path: Path) -> Iterator[tuple[str, Any]]:
    open_text = gzip.open if path.suffix == ".gz" else open
    try:
        with open_text(path, "rt", encoding="utf-8") as file:
            rows = json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(
            f"{path}: expected a list of JSON objects; a file with one object a line should end in .jsonl"
        )
    yield from ((f"{path}: row {number}", row) for number, row in enumerate(rows, start=1))


def _from_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: not a Parquet file ({error})") from None


def _from_hub(name: str, subset: str | None, split: str | None) -> Iterator[tuple[str, Any]]:
    import datasets

    try:
        rows = datasets.load_dataset(name, subset, split=split or "test")
    except Exception as error:  # from many libraries, and all of them mean the same here
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{HUB}{name}: the data set cannot be had from the hub ({reason}). Download its file where there is a "
            "network, and give the file's path instead."
        ) from None
    yield from ((f"{HUB}{name}: row {number}", row) for number, row in enumerate(rows, start=1))

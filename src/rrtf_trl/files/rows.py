"""Rows of a data set: from JSONL, JSON, CSV, Parquet and Arrow files, or from a hub."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

from rrtf_trl.errors import InputError

from .paths import user_path

HUB = "hub:"
"""The prefix of a path that names a data set on a hub."""
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_LONGEST_CELL = 2**31 - 1


def read_rows(path: str | Path, subset: str | None = None, split: str | None = None) -> Iterator[tuple[str, Any]]:
    """Yield (where, row) for each row of a data set; ``where`` is the file and line, for messages.

    Args:
        path: A file that ends in ``.jsonl``, ``.json`` (a list of objects), ``.csv`` or ``.tsv`` (with a header; all
            cells are text), ``.parquet`` or ``.arrow``, plain or gzipped; or ``hub:NAME`` for a data set of a hub.
        subset: Of a hub's data set, where it has several.
        split: Of a hub's data set.

    Raises:
        InputError: If it cannot be read.
    """
    if str(path).startswith(HUB):
        yield from _from_hub(str(path).removeprefix(HUB), subset, split)
        return
    path = user_path(path)
    ending = ending_of(path)
    if is_table(path):
        yield from ((f"{path}:{line}", row) for line, row in read_table(path))
    elif ending in ("parquet", "arrow", "feather"):
        yield from _from_arrow(path, ending)
    elif ending == "json":
        yield from _from_list(path)
    else:
        yield from ((f"{path}:{number}", row) for number, row in read_jsonl(path))


def ending_of(path: Path) -> str:
    """Return the ending of a file's name in small letters, without ``.gz``."""
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


def is_table(path: Path) -> bool:
    """Whether a file is a CSV or TSV table by its name."""
    return ending_of(path) in _DELIMITERS


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each non-blank line of a JSONL file, plain or ``.gz``.

    Raises:
        InputError: If the file is missing, or a line is not UTF-8 text (a byte order mark is skipped) or not a JSON
            object that Python can read.
    """
    path = user_path(path)
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            row = _parsed(line, path, number)
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}: expected a JSON object, got {type(row).__name__}")
            yield number, row


def read_table(path: str | Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line from 1, row by column) for a CSV or TSV file with a header, plain or ``.gz``.

    Raises:
        InputError: If the file is missing, is not such a table, or a row has more or fewer cells than the header.
    """
    path = user_path(path)
    csv.field_size_limit(_LONGEST_CELL)
    delimiter = _DELIMITERS.get(ending_of(path), ",")
    try:
        with (
            _opened(path) as opened,
            io.TextIOWrapper(
                cast(io.BufferedReader, opened), encoding="utf-8-sig", errors="surrogatepass", newline=""
            ) as file,
        ):
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(rows, [])
            line = rows.line_num + 1
            for row in rows:
                if row and len(row) != len(header):
                    raise InputError(f"{path}:{line}: {len(row)} cells, but the header has {len(header)}")
                if row:
                    yield line, dict(zip(header, row, strict=True))
                line = rows.line_num + 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not CSV: {error}") from None


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: If it is not JSON, is nested too deep, or has an integer of more digits than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "is no regular file, and may have to be read again"
        raise InputError(f"{path}: {kind if path.exists() else 'no such file'}")
    try:
        opened = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        with opened, gzip.open(opened) if path.suffix == ".gz" else opened as file:
            yield file
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: not a whole gzip file ({error})") from None


def _parsed(data: bytes, path: Path, line: int | None = None) -> Any:
    """Return the value of JSON bytes: of one line of a file, or of the whole file."""
    where = path if line is None else f"{path}:{line}"
    try:
        return parse_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text ({error.reason})") from None
    except json.JSONDecodeError as error:
        fault = error.msg.removesuffix(" at")
        raise InputError(f"{path}:{line or error.lineno}: not JSON: {fault} at column {error.colno}") from None
    except ValueError as error:
        raise InputError(f"{where}: not JSON: {error}") from None


def _from_list(path: Path) -> Iterator[tuple[str, Any]]:
    with _opened(path) as file:
        rows = _parsed(file.read(), path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(
            f"{path}: expected a list of JSON objects; a file with one object a line should end in .jsonl"
        )
    yield from ((f"{path}: row {number}", row) for number, row in enumerate(rows, start=1))


def _from_arrow(path: Path, ending: str) -> Iterator[tuple[str, Any]]:
    import pyarrow

    number = 0
    try:
        with _opened(path) as file:
            for batch in _batches(file, ending):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except pyarrow.ArrowException as error:
        kind = "a Parquet" if ending == "parquet" else "an Arrow"
        raise InputError(f"{path}: not {kind} file ({error})") from None


def _batches(file: BufferedIOBase, ending: str) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    if ending == "parquet":
        with pyarrow.parquet.ParquetFile(file) as opened:
            yield from opened.iter_batches(batch_size=64)
        return
    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":  # else a stream, as the library datasets writes it
        reader = pyarrow.ipc.open_file(file)
        yield from map(reader.get_batch, range(reader.num_record_batches))
    else:
        yield from pyarrow.ipc.open_stream(file)


def _from_hub(name: str, subset: str | None, split: str | None) -> Iterator[tuple[str, Any]]:
    import datasets

    try:
        rows = datasets.load_dataset(name, subset, split=split or "test")
    except Exception as error:  # each of the libraries below raises its own kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{HUB}{name}: the data set cannot be loaded from the hub ({reason}). Download its file where there is a "
            "network, and pass the file's path instead."
        ) from None
    yield from ((f"{HUB}{name}: row {number}", row) for number, row in enumerate(rows, start=1))

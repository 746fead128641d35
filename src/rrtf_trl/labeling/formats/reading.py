"""Rows of files, each with where it stands, for messages that name the line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrtf_trl.errors import InputError
from rrtf_trl.files.rows import read_jsonl

CSV_FIELD_LIMIT = 2**31 - 1


def read_json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line from 1, object) for JSONL, plain or ``.gz``, or for a file that is one JSON array.

    Raises:
        InputError: If the file is missing, or something in it is no JSON object.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        array = file.read(4096).decode("utf-8", "ignore").lstrip("\ufeff \t\r\n").startswith("[")
    yield from _array(path) if array else read_jsonl(path)


def _array(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason})") from None
    decoder = json.JSONDecoder()
    position, line, counted = text.index("[") + 1, 1, 0

    def to_next(closing: bool) -> bool:
        """Go to the next element; return whether there is one."""
        nonlocal position, line, counted
        position += len(text[position:]) - len(text[position:].lstrip())
        if closing and text[position : position + 1] == ",":
            position += 1
            return to_next(False)
        line, counted = line + text.count("\n", counted, position), position
        return text[position : position + 1] != "]"

    more = to_next(False)
    while more:
        try:
            row, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg} at column {error.colno}") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{line}: expected a JSON object, got {type(row).__name__}")
        yield line, row
        more = to_next(True)


def read_csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line from 1, row by column) for a CSV file with a header.

    Raises:
        InputError: If a row has more or fewer cells than the header.
    """
    csv.field_size_limit(CSV_FIELD_LIMIT)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogatepass", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            line = rows.line_num + 1
            for row in rows:
                if row and len(row) != len(header):
                    raise InputError(f"{path}:{line}: {len(row)} cells, but the header has {len(header)}")
                if row:
                    yield line, dict(zip(header, row, strict=True))
                line = rows.line_num + 1
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not CSV: {error}") from None

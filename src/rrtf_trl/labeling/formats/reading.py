"""Rows of files, each with its line number, for error messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrtf_trl.errors import InputError
from rrtf_trl.files.rows import read_jsonl

_SPACE, _COMMA = re.compile(r"\s*"), re.compile(r"\s*(,\s*)?")


def read_json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line from 1, object) for JSONL, plain or ``.gz``, or for a file that is one JSON array.

    Raises:
        InputError: If the file is missing, or a row is no JSON object.
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
    position, line, counted, between = text.index("[") + 1, 1, 0, _SPACE
    while True:
        found = between.match(text, position)
        assert found is not None, "the patterns match an empty string"
        position = found.end()
        line, counted = line + text.count("\n", counted, position), position
        if text[position : position + 1] == "]":
            return
        try:
            row, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg} at column {error.colno}") from None
        except RecursionError:
            raise InputError(f"{path}:{line}: not JSON: nested too deep") from None
        except ValueError as error:  # an integer of too many digits
            raise InputError(f"{path}:{line}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{line}: expected a JSON object, got {type(row).__name__}")
        yield line, row
        between = _COMMA

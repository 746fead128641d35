"""The labels file on disk: rows are only ever appended.

A row is flushed to the disk before an action is confirmed. A last row that a crash left half written is ignored; a row
that does not follow from those before it is an error that names its line.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path

from rrtf_trl.errors import InputError, UserError
from rrtf_trl.records import RecordError

from .items import Item
from .labels import HEADER, Ledger, Row


def is_labels_file(path: Path) -> bool:
    """Return whether a file is a labels file, by its first row."""
    try:
        with path.open("rb") as file:
            row = json.loads(file.readline())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(row, dict) and row.get("kind") == "labels"


def read_labels(path: str | Path) -> Ledger:
    """Read a labels file; another process may be writing to it.

    Raises:
        InputError: If it is missing or a row is wrong; the message names file, line and field.
    """
    ledger = Ledger()
    _read(Path(path), ledger)
    return ledger


def _read(path: Path, ledger: Ledger) -> int:
    """Add a file's rows to a ledger; return how many bytes are whole rows.

    A last row that is no JSON and has no line end was cut off by a crash before it was confirmed: it is ignored.
    """
    size = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    if not line.endswith(b"\n"):
                        break
                    raise InputError(f"{path}:{number}: not JSON: {error}") from None
                if number == 1 and (not isinstance(row, dict) or row.get("kind") != "labels"):
                    raise InputError(f"{path}: not a labels file: `rrtf label` and `rrtf label import` write them")
                if not isinstance(row, dict):
                    raise InputError(f"{path}:{number}: expected a JSON object")
                try:
                    ledger.apply(row)
                except RecordError as error:
                    raise InputError(f"{path}:{number}: {error}") from None
                size += len(line)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file") from None
    return size


class LabelFile:
    """A labels file that this process alone appends to; ``ledger`` is the state that its rows add up to.

    Args:
        path: The file; created if it is missing.

    Raises:
        InputError: If a row of it is wrong.
        UserError: If another process writes to it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.ledger = Ledger()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise UserError(f"another `rrtf label` is writing to {path}: stop it, or set another --labels") from None
        try:
            self._size = _read(self.path, self.ledger)
            os.ftruncate(self._file, self._size)
            if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
                self._write(b"\n")
            if not self._size:
                self.append(HEADER)
                folder = os.open(self.path.parent, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> LabelFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and release its lock."""
        os.close(self._file)

    def add_items(self, items: Iterable[Item]) -> None:
        """Append the items that the file does not have yet."""
        new = {item.item_id: item for item in items if item.item_id not in self.ledger.items}
        self.append(*({"kind": "item", **item.to_json()} for item in new.values()))

    def append(self, *rows: Row) -> None:
        """Append rows, all or none; when this returns they are on the disk.

        Raises:
            RecordError: If a row does not follow from those before it; the file is unchanged.
            OSError: If they cannot be written; the file is unchanged.
        """
        try:
            for row in rows:
                self.ledger.apply(row)
            if rows:
                self._write(b"".join(map(_line, rows)))
        except BaseException:
            self.ledger = Ledger()
            _read(self.path, self.ledger)
            raise

    def _write(self, text: bytes) -> None:
        try:
            left = memoryview(text)
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(text)


def _line(row: Row) -> bytes:
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can hold and UTF-8 cannot
        return (json.dumps(row) + "\n").encode()

"""A folder of results with JSON and JSONL files, each written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TextIO

from .atomic import write_whole
from .paths import user_path


class Folder:
    """One folder, whose files are accessed by name.

    Args:
        path: The folder; created when a file is first written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = user_path(path)

    def __truediv__(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.path / name

    def writing(self, name: str) -> AbstractContextManager[TextIO]:
        """Open a file for writing; it appears only if the block ends without an error."""
        return write_whole(self.path / name)

    def write_json(self, name: str, value: Any) -> None:
        """Write one JSON file."""
        with self.writing(name) as file:
            json.dump(value, file, indent=2, ensure_ascii=False)
            file.write("\n")

    def write_jsonl(self, name: str, rows: Iterable[dict[str, Any]]) -> int:
        """Write rows, one a line, and return how many."""
        count = 0
        with self.writing(name) as file:
            for row in rows:
                file.write(json_line(row))
                count += 1
        return count

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file, or ``None`` if there is no such file."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def read_jsonl(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a JSONL file."""
        with (self.path / name).open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def digest(self, name: str) -> str:
        """Return the first 16 hex digits of the SHA-256 of a file's content."""
        with (self.path / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def json_line(row: Any) -> str:
    """Return ``row`` as one line of JSONL."""
    return json.dumps(row, ensure_ascii=False) + "\n"

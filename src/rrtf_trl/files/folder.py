"""A folder of results: paths, JSON and JSONL files in it, each written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TextIO

from .atomic import write_whole


class Folder:
    """The files of one folder, by name.

    Args:
        path: The folder; made when something is first written to it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.path / name

    def writing(self, name: str) -> AbstractContextManager[TextIO]:
        """Open a file for writing that takes its name only when the block ends without an error."""
        return write_whole(self.path / name)

    def write_json(self, name: str, value: Any) -> None:
        """Write one JSON file."""
        with self.writing(name) as file:
            json.dump(value, file, indent=2, ensure_ascii=False)
            file.write("\n")

    def write_jsonl(self, name: str, rows: Iterable[dict[str, Any]]) -> int:
        """Write rows as they come, one a line, and return how many."""
        count = 0
        with self.writing(name) as file:
            for row in rows:
                file.write(json_line(row))
                count += 1
        return count

    def read_json(self, name: str) -> Any:
        """Return what a JSON file holds, or ``None`` where there is none."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def read_jsonl(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a JSONL file."""
        with (self.path / name).open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def digest(self, name: str) -> str:
        """Return a hash of a file's content."""
        with (self.path / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def json_line(row: Any) -> str:
    """Return ``row`` as one line of JSONL."""
    return json.dumps(row, ensure_ascii=False) + "\n"

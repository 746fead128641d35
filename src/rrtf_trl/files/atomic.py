"""Files and folders that are written whole or not at all.

What is written goes to ``NAME.part`` beside its place, and takes its name only when all of it is there: a kill in
between leaves what was there before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def write_whole(path: str | Path, *, errors: str = "strict", newline: str | None = None) -> Iterator[TextIO]:
    """Open a UTF-8 file for writing that takes its name only when the block ends without an error.

    Args:
        path: The file; the folders around it are made.
        errors: As for ``open``.
        newline: As for ``open``.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        with part.open("w", encoding="utf-8", errors=errors, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def write_whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which takes the place of ``path`` when the block ends without an error.

    Args:
        path: The folder; one that is there already is replaced.
    """
    target = Path(path)
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(target, ignore_errors=True)
    os.replace(part, target)

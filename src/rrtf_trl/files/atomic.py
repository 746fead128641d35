"""Write files and folders whole or not at all.

The content goes to ``NAME.part`` in the same folder, which is renamed to ``NAME`` once complete: a kill in between
leaves the old content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def part_of(path: str | Path) -> Path:
    """Return the name that a file or folder has until it is complete."""
    return Path(path).with_name(Path(path).name + ".part")


@contextmanager
def write_whole(path: str | Path, *, errors: str = "strict", newline: str | None = None) -> Iterator[TextIO]:
    """Open a UTF-8 file for writing; it appears at ``path`` only if the block ends without an error.

    Args:
        path: The file; missing parent folders are created.
        errors: As for ``open``.
        newline: As for ``open``.
    """
    target, part = Path(path), part_of(path)
    target.parent.mkdir(parents=True, exist_ok=True)
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
    """Yield an empty folder to fill; it becomes ``path`` if the block ends without an error.

    Args:
        path: The folder; an existing one is replaced.
    """
    target, part = Path(path), part_of(path)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(target, ignore_errors=True)
    os.replace(part, target)


def write_link(path: str | Path, target: str) -> None:
    """Make ``path`` a symbolic link to the folder ``target``; an existing link is replaced at once.

    Args:
        path: The link.
        target: What it points to, relative to the link's folder.
    """
    part = part_of(path)
    part.unlink(missing_ok=True)
    part.symlink_to(target, target_is_directory=True)
    os.replace(part, path)

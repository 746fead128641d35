"""Write files and folders whole or not at all.

The content goes to ``NAME.part`` in the same folder, which is renamed to ``NAME`` once complete: a kill in between
leaves the old content. Devices and pipes are written to as they are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from rrtf_trl.errors import UserError

from .paths import user_path

_STREAMS = {"/dev/stdout": "/dev/fd/1", "/dev/stderr": "/dev/fd/2"}


def part_of(path: str | Path) -> Path:
    """Return the name that a file or folder has until it is complete."""
    return Path(path).with_name(Path(path).name + ".part")


@contextmanager
def write_whole(path: str | Path, *, errors: str = "strict", newline: str | None = None) -> Iterator[TextIO]:
    """Open a UTF-8 file for writing; it appears at ``path`` only if the block ends without an error.

    Args:
        path: The file; missing parent folders are created. A device or a pipe is written to at once.
        errors: As for ``open``.
        newline: As for ``open``.

    Raises:
        UserError: If the system refuses to write it.
    """
    target, part = Path(path), part_of(path)
    if _is_stream(target):
        descriptor = _descriptor(target)
        file = target if descriptor is None else os.dup(descriptor)  # what it is redirected to is not written anew
        with _open(file, target, "a", errors, newline) as stream:
            yield stream
        return
    with _reporting(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _open(part, target, "w", errors, newline) as stream:
            yield stream
            with _reporting(target):
                stream.flush()
                os.fsync(stream.fileno())
        with _reporting(target):
            os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _open(
    file: Path | int, target: Path, mode: Literal["a", "w"], errors: str, newline: str | None
) -> Iterator[TextIO]:
    """Open a file for writing, and report as of ``target`` what the system refuses."""
    with _reporting(target):
        stream = open(file, mode, encoding="utf-8", errors=errors, newline=newline)  # noqa: SIM115 - closed below
    try:
        yield stream
        with _reporting(target):
            stream.flush()
    finally:
        with contextlib.suppress(OSError):  # it would report again what could not be written
            stream.close()


def check_output(path: str | Path, *inputs: str | Path) -> None:
    """Find out before any work whether a file can be written; make its folder if it is missing.

    Args:
        path: The file.
        inputs: Files that the work reads, which it must not replace.

    Raises:
        UserError: If it is a folder or one of the inputs, or cannot be written; the message states the reason.
    """
    target, part = Path(path), part_of(path)
    with _reporting(target):
        for name in map(user_path, inputs):
            if _are_same(target, name):
                raise UserError(f"{path}: this is the file that is read, {name}; use another one")
            if _are_same(part, name):
                raise UserError(f"{path}: is {part} until it is whole, and that is the file that is read; use another")
        if target.is_dir():
            raise UserError(f"{path}: is a folder; name a file")
        if _is_stream(target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
        if not target.exists():
            part.open("w").close()  # the name may be too long
            part.unlink()
        elif not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "it is read-only")


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    """Raise an error of the system in the block as one of the user's."""
    try:
        yield
    except FileExistsError:
        raise UserError(f"{path}: cannot be written: {path.parent} is not a folder") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None


def _are_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _is_stream(path: Path) -> bool:
    """Return whether a name is that of a device, a pipe or an open descriptor, which no file must replace."""
    if _descriptor(path) is not None or path.parent == Path("/dev"):
        return path.exists()
    return path.exists() and not path.is_file() and not path.is_dir()


def _descriptor(path: Path) -> int | None:
    """Return the number of the descriptor of this process that a name such as ``/dev/stdout`` stands for."""
    text = str(path.absolute())
    found = re.fullmatch(rf"(?:/dev/fd|/proc/(?:self|{os.getpid()})/fd)/([0-9]+)", _STREAMS.get(text, text))
    return int(found[1]) if found else None


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

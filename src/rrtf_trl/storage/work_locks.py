"""Locks on work: concurrent processes that share a store never do the same work.

A process writes to the store, in one transaction, what it is about to do (:meth:`.store.Store.lock`). That row alone
could outlive the process. So each process also locks one byte of the file ``store.sqlite.lock``, at an offset of its
own, and its rows count only while that byte is locked: the kernel releases the lock when the process ends, however it
ends. There is nothing to clean up after a kill, no heartbeat, and no time-out to choose.

The locks are POSIX record locks, as SQLite's own: a forked child does not inherit them, and they work between the
machines of a shared file system where record locks do. A lock file for each piece of work (the package ``filelock``)
would promise the same at the cost of a file for each of millions of judgements.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# File systems that several machines may share; of FUSE's, all but these.
_NETWORK = frozenset(
    ["nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "afs", "9p", "glusterfs", "pvfs2", "wekafs"]
)
_LOCAL_FUSE = frozenset(["fuse.fuse-overlayfs", "fuse.gvfsd-fuse", "fuse.portal", "fuse.lxcfs", "fuse.snapfuse"])

_OPENING = 0  # the byte that is locked while a store is opened

# Closing any descriptor of a file releases all of the process's record locks on it: so each process opens it once and
# keeps it open. By process id, since a forked child inherits the descriptor and not the locks.
_files: dict[tuple[int, Path], int] = {}
_ours: set[tuple[int, Path, int]] = set()


class Presence:
    """A lock that shows other processes that this one is alive.

    Args:
        path: The file to lock a byte of; created if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._number: int | None = None

    @property
    def number(self) -> int:
        """The offset of this process's byte, which is locked on first use."""
        if self._number is None:
            self._number = 1 + secrets.randbits(48)
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._number)
            _ours.add(self._key(self._number))
        return self._number

    @property
    def is_locked(self) -> bool:
        """Whether the byte is locked."""
        return self._number is not None

    def is_alive(self, number: int) -> bool:
        """Return whether the process with this number is alive."""
        if self._key(number) in _ours:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        return False

    def leave(self) -> None:
        """Release the lock."""
        if self._number is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._number)
            _ours.discard(self._key(self._number))
            self._number = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from opening the store while the block runs."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _OPENING)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _OPENING)

    @property
    def _file(self) -> int:
        key = (os.getpid(), self.path)
        if key not in _files:
            _files[key] = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return _files[key]

    def _key(self, number: int) -> tuple[int, Path, int]:
        return (os.getpid(), self.path, number)


def process_name() -> str:
    """Return this process's name, as shown to processes that wait for it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def is_on_network(path: Path) -> bool:
    """Return whether a file is on a file system that several machines may share."""
    found, kind = 0, ""
    resolved = path.resolve()
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    for line in mounts.splitlines():
        _, point, name, *_ = line.split(" ")
        folder = Path(point.replace("\\040", " "))
        if resolved.is_relative_to(folder) and len(folder.parts) >= found:
            found, kind = len(folder.parts), name
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)

"""Landlock rules for files: a program may read what Python needs, and write to its own folder.

Landlock removes rights by path, without privileges and irrevocably. It is a second layer behind the private root of
the namespaces, and replaces it where there are no namespaces.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from . import linux

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICE = _READ_FILE | _WRITE_FILE
_BIND_TCP, _CONNECT_TCP = 1, 2
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version to its number of rights over files; later versions have those of 5."""


def ruleset(
    version: int,
    readable: Iterable[str],
    listable: Iterable[str],
    devices: Iterable[str],
    writable: Iterable[str],
) -> int:
    """Build the ruleset and return its descriptor, which any number of processes may apply to themselves.

    Args:
        version: Result of :func:`.linux.landlock_version`, at least 1.
        readable: Folders and files that may be read and executed.
        listable: Folders whose names may be read, but no file in them.
        devices: Files that may be read and written.
        writable: Folders in which everything is allowed.
    """
    known = (1 << _RIGHTS_BY_VERSION[min(version, 5)]) - 1
    descriptor = linux.landlock_ruleset(known, _BIND_TCP | _CONNECT_TCP, _ABSTRACT_SOCKETS | _SIGNALS, version)
    for paths, rights in ((readable, _READ), (listable, _READ_DIR), (devices, _DEVICE), (writable, known)):
        for path in paths:
            is_folder = stat.S_ISDIR(os.stat(path).st_mode)
            linux.landlock_allow(descriptor, path, rights & known & (-1 if is_folder else _FILE_RIGHTS))
    return descriptor

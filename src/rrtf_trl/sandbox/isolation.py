"""Walls around the candidate's side: namespaces, a private root, limits, and no privileges.

Two modes. With **namespaces** (the kernel lets this user make them) programs see a file system of their own
that holds Python, the system's libraries and an empty folder; no other process; and no network. Without, they
run under limits and a strict system call filter (:mod:`.seccomp`), as ``nobody`` when started by root, and
can read what that user can read.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from . import kernel, seccomp

NOBODY = 65534
SCRATCH = "/job"
"""The one writable folder of the private root; emptied after every job."""
FILE_BYTES = 16 * 2**20
_SCRATCH_OPTIONS = "size=64m,nr_inodes=4096,mode=0777"
_MAX_PROCESSES = 64

_SYSTEM = (
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True)
class Walls:
    """What was put up around a fork server and holds for all its children.

    Args:
        namespaces: Whether it lives in namespaces of its own, as process 1.
        drop_user: Whether a child becomes ``nobody`` (only root can do that).
        seccomp: The system call filter for the children; ``None`` where it does not know this architecture.
    """

    namespaces: bool
    drop_user: bool
    seccomp: seccomp.Filter | None

    @property
    def name(self) -> str:
        """The name that outcomes carry: the walls that hold, joined by ``+``."""
        parts = ["namespaces"] * self.namespaces + ["seccomp"] * (self.seccomp is not None)
        return "+".join([*parts, "nobody" if self.drop_user else "same-user", "rlimits"])


def enter_namespaces() -> Walls:
    """Move this single-threaded process into new namespaces and a private root; return as process 1 there.

    The calling process stays outside, waits for process 1 and exits with it.

    Raises:
        OSError: If the kernel refuses a step. The process is then of no further use.
    """
    flags = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    flags |= kernel.CLONE_NEWNET | kernel.CLONE_NEWPID
    as_root = os.geteuid() == 0
    if as_root:
        write_maps = _map_from_outside(os.getpid())
        kernel.unshare(flags)
        write_maps()
    else:
        user, group = os.geteuid(), os.getegid()
        kernel.unshare(flags)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{NOBODY} {user} 1")
        _write("/proc/self/gid_map", f"{NOBODY} {group} 1")
    _enter_private_root()
    first = os.fork()
    if first:
        # This half stays outside process 1's namespace, and only waits for it.
        _, status = os.waitpid(first, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.die_with_parent(signal.SIGKILL)
    return Walls(namespaces=True, drop_user=as_root, seccomp=_filter(namespaces=True))


def stay() -> Walls:
    """Put up the walls that need no namespaces; the rest is done in each child."""
    kernel.adopt_orphans()
    drop_user = os.geteuid() == 0 and _nobody_can_read_python()
    return Walls(namespaces=False, drop_user=drop_user, seccomp=_filter(namespaces=False))


def _filter(namespaces: bool) -> seccomp.Filter | None:
    return seccomp.prepare(namespaces) if seccomp.available() else None


def confine(walls: Walls, cpu_seconds: int, memory_mb: int) -> None:
    """Give up everything that this process, a child of the fork server, still could do. No way back.

    Args:
        walls: What holds for the fork server.
        cpu_seconds: Processor time after which the kernel ends the process.
        memory_mb: Address space in MiB.
    """
    limits = {
        resource.RLIMIT_CPU: (cpu_seconds, cpu_seconds + 1),
        resource.RLIMIT_AS: (memory_mb * 2**20, memory_mb * 2**20),
        resource.RLIMIT_FSIZE: (FILE_BYTES, FILE_BYTES),
        resource.RLIMIT_NOFILE: (256, 256),
        resource.RLIMIT_CORE: (0, 0),
    }
    if walls.namespaces or walls.drop_user:  # elsewhere the count would include all that the user runs
        limits[resource.RLIMIT_NPROC] = (_MAX_PROCESSES, _MAX_PROCESSES)
    for kind, (soft, hard) in limits.items():
        _, most = resource.getrlimit(kind)
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(kind, (soft, hard))
    if walls.drop_user:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.drop_capabilities()
    kernel.forbid_new_privileges()
    if not walls.namespaces:
        kernel.die_with_parent(signal.SIGKILL)
    if walls.seccomp is not None:
        walls.seccomp.install()


class Scratch:
    """The working folder of jobs: new and empty for each, gone after it."""

    def __init__(self, walls: Walls) -> None:
        self._walls = walls
        self._path: str | None = None

    def open(self) -> None:
        """Make the folder and go there."""
        if self._walls.namespaces:
            kernel.mount("tmpfs", SCRATCH, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, _SCRATCH_OPTIONS)
            self._path = SCRATCH
        else:
            self._path = tempfile.mkdtemp(prefix="rrtf-job-")
            if self._walls.drop_user:
                os.chown(self._path, NOBODY, NOBODY)
        os.chdir(self._path)

    def close(self) -> None:
        """Leave the folder and remove it with all that is in it."""
        path, self._path = self._path, None
        os.chdir("/")
        if path is None:
            return
        if self._walls.namespaces:
            kernel.unmount(path)
        else:
            import shutil

            shutil.rmtree(path, ignore_errors=True)


def python_command(code: str, site: bool = True) -> list[str]:
    """Return the command line of a fresh interpreter that finds this package and runs ``code``.

    Args:
        code: What to run.
        site: Whether installed packages can be imported.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    start = f"import sys; sys.path.insert(0, {root!r})\n"
    return [sys.executable, "-s", "-P", *([] if site else ["-S"]), "-c", start + code]


def _map_from_outside(target: int) -> Callable[[], None]:
    """Start a helper that stays outside and maps root and ``nobody`` into ``target``'s user namespace.

    A process cannot map two users into its own new namespace; one that is still outside, as root, can.
    """
    ready_read, ready_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            os.close(ready_write)
            if os.read(ready_read, 1):
                for name in ("uid_map", "gid_map"):
                    _write(f"/proc/{target}/{name}", f"0 0 1\n{NOBODY} {NOBODY} 1")
                status = 0
        finally:
            os._exit(status)

    def go() -> None:
        os.write(ready_write, b"1")
        os.close(ready_read)
        os.close(ready_write)
        _, status = os.waitpid(helper, 0)
        if status != 0:
            raise OSError("the user map of the namespace could not be written")

    return go


def _enter_private_root() -> None:
    """Build a file system of only what Python needs, read-only, and make it the root.

    It is mounted over ``/proc``: a folder that every machine has, that holds none of the sources, and that is
    of no use after this. Nothing is left behind, since all mounts go with the namespace.
    """
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    root = "/proc"
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    prefixes |= {os.path.realpath(prefix) for prefix in prefixes}
    shown = [path for path in (*_SYSTEM, *_DEVICES) if os.path.lexists(path)]
    shown += sorted(path for path in prefixes if not _inside(path, shown))
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
    for path in shown:
        _show(path, root)
    os.makedirs(root + SCRATCH)
    for link in ("/tmp", "/dev/shm"):  # unless Python itself lives there
        if not os.path.lexists(root + link):
            os.symlink(SCRATCH, root + link)
    kernel.mount(
        "",
        root,
        "",
        kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV,
    )
    os.chroot(root)
    os.chdir("/")


def _show(path: str, root: str) -> None:
    target = root + path
    if os.path.islink(path) and path in _SYSTEM and not os.path.isabs(os.readlink(path)):
        os.symlink(os.readlink(path), target)  # /lib -> usr/lib
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
        kernel.bind(path, target, kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        kernel.bind(path, target, kernel.MS_NOSUID if path in _DEVICES else kernel.MS_RDONLY | kernel.MS_NOSUID)


def _inside(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _nobody_can_read_python() -> bool:
    probe = os.fork()
    if probe == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            with open(os.__file__, "rb"):
                status = 0
        finally:
            os._exit(status)
    return os.waitpid(probe, 0)[1] == 0


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)

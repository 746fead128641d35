"""Applies the isolation layers of a tier to the fork server (:mod:`..guest.fork_server`), whose children inherit them.

- ``full``: namespaces with a private root, Landlock and the system call filter. A program sees Python, the
  system's libraries and an empty folder; no other process, no network.
- ``no-landlock``: namespaces and the filter, where the kernel has no Landlock (gVisor, before 5.13).
- ``no-namespaces``: Landlock and a stricter filter, where user namespaces are switched off (Docker's default,
  some distributions). A program may start threads but no process, and change no file.
- ``unsafe``: less than that. Nothing runs there without ``allow_unsafe``.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Literal, NamedTuple

from . import landlock, linux, private_root, seccomp

Tier = Literal["full", "no-landlock", "no-namespaces", "unsafe"]

NOBODY = 65534
FILE_BYTES = 16 * 2**20
_MAX_PROCESSES = 64
"""The most processes and threads of one program, where the kernel counts them for it alone."""
_MAX_DESCRIPTORS = 128


class Isolation(NamedTuple):
    """What isolates a fork server and all its children.

    Args:
        tier: The tier.
        layers: The names of its layers.
        child_filter: A system call filter that each child must still apply to itself; None if the fork server
            applied it.
        namespaces: Whether the fork server is process 1 of namespaces of its own.
        renew: Replaces the scratch folder by an empty one.
    """

    tier: Tier
    layers: tuple[str, ...]
    child_filter: bytes | None
    namespaces: bool
    renew: Callable[[], None]


def tiers_to_try(allow_unsafe: bool) -> list[Tier]:
    """Return the tiers that this kernel may offer, best first; whether it allows namespaces, only an attempt shows."""
    with_landlock = linux.landlock_version() > 0
    with_filter = sys.platform == "linux" and seccomp.load("namespaces") is not None
    tiers: list[Tier] = []
    if with_filter:
        tiers = ["full", "no-namespaces"] if with_landlock else ["no-landlock"]
    return [*tiers, "unsafe"] if allow_unsafe else tiers


def why_no_tier() -> str:
    """Return what is missing where :func:`tiers_to_try` returns nothing, or none of its tiers works."""
    if sys.platform != "linux":
        return f"isolation needs Linux, and this is {sys.platform}"
    if seccomp.load("namespaces") is None:
        return f"there is no system call filter for {os.uname().machine}"
    return "the kernel offers neither user namespaces nor Landlock"


def isolate(tier: Tier, memory_mb: int, empty: str) -> Isolation:
    """Apply a tier's layers to this process, which has a single thread, irrevocably.

    With namespaces it returns in another process, which is process 1 there; the calling process stays outside as
    its warden, and exits with it.

    Args:
        tier: The tier to reach, exactly.
        memory_mb: Address space of each process, MiB.
        empty: An empty folder, the working folder where there is no private root.

    Raises:
        OSError: If the kernel refuses a step. The process is then of no further use.
    """
    namespaces = tier in ("full", "no-landlock")
    # Read before the private root, in which this package is hidden.
    program = seccomp.load({"unsafe": "bare", "no-namespaces": "landlock"}.get(tier, "namespaces"))
    if program is None and tier != "unsafe":
        raise OSError(f"there is no system call filter for {os.uname().machine}")
    wants_landlock = tier in ("full", "no-namespaces") or program is None
    version = linux.landlock_version() if wants_landlock else 0
    if version == 0 and tier in ("full", "no-namespaces"):
        raise OSError("the kernel has no Landlock")
    with contextlib.suppress(OSError):  # where memory runs out, the kernel should kill programs first
        _write("/proc/self/oom_score_adj", "1000")
    drop_user = os.geteuid() == 0
    if namespaces:
        drop_user, renew = _enter_namespaces(drop_user)
    else:
        drop_user, renew = drop_user and _nobody_can_read_python(), lambda: None
        os.chdir(empty)
        if sys.platform == "linux":
            linux.adopt_orphans()
    ruleset, devices = None, private_root.existing(private_root.DEVICES)
    if namespaces and version:
        ruleset = landlock.ruleset(version, private_root.visible(), [], devices, [private_root.BOX])
    elif version:
        readable, listable = private_root.without_hidden(private_root.visible())
        ruleset = landlock.ruleset(version, [*readable, empty], listable, devices, [])
    _limit(memory_mb, own_count=namespaces)
    if drop_user:
        _become_nobody()
    if sys.platform == "linux":
        linux.die_with_parent(signal.SIGKILL)
        linux.hide_memory()
        linux.drop_capabilities()
        linux.forbid_new_privileges()
    if ruleset is not None:
        linux.landlock_restrict(ruleset, version)
        os.close(ruleset)
    if namespaces:
        assert program is not None
        linux.install_filter(program)
    layers = [
        *(["namespaces"] * namespaces),
        *([f"landlock{version}"] if version else []),
        *(["seccomp"] if program is not None else []),
        "nobody" if drop_user else "same-user",
        "rlimits",
    ]
    return Isolation(tier, tuple(layers), None if namespaces else program, namespaces, renew)


def _limit(memory_mb: int, own_count: bool) -> None:
    limits = {
        resource.RLIMIT_AS: memory_mb * 2**20,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: _MAX_DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
    }
    if own_count and sys.platform == "linux":  # elsewhere the count would include all that the user runs
        release = [int(part) for part in os.uname().release.split("-")[0].split(".")[:2]]
        # Before 5.14 a user's processes were counted together over all namespaces.
        limits[resource.RLIMIT_NPROC] = _MAX_PROCESSES if release >= [5, 14] else 32 * _MAX_PROCESSES
    for kind, value in limits.items():
        _, most = resource.getrlimit(kind)
        if most != resource.RLIM_INFINITY:
            value = min(value, most)
        resource.setrlimit(kind, (value, value))


def _enter_namespaces(as_root: bool) -> tuple[bool, Callable[[], None]]:
    """Enter new namespaces as process 1; return whether to become ``nobody``, and what renews the scratch folder."""
    flags = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    flags |= linux.CLONE_NEWNET | linux.CLONE_NEWPID
    if as_root:
        write_maps = _map_from_outside(os.getpid())
        linux.unshare(flags)
        as_root = write_maps()
    else:
        user, group = os.geteuid(), os.getegid()
        linux.unshare(flags)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{NOBODY} {user} 1")
        _write("/proc/self/gid_map", f"{NOBODY} {group} 1")
    socket.sethostname("sandbox")
    private_root.enter_private_root()
    ours, wardens = socket.socketpair()
    first = os.fork()
    if first:
        ours.close()
        _be_warden(wardens, first)
    wardens.close()
    os.setsid()
    orders = ours.detach()  # a number: an object would close it again when a program's interpreter ends

    def renew() -> None:
        os.write(orders, b"r")
        if os.read(orders, 1) != b"r":
            raise OSError("the scratch folder could not be renewed")

    return as_root, renew


def _be_warden(orders: socket.socket, first: int) -> None:
    """Stay outside of the namespaces, renew the scratch folder on request, and exit with process 1; never returns."""
    os.closerange(0, orders.fileno())
    os.closerange(orders.fileno() + 1, 256)
    linux.hide_memory()
    with contextlib.suppress(OSError):
        while orders.recv(1):
            linux.unmount(private_root.SCRATCH)
            private_root.mount_scratch()
            orders.send(b"r")
    orders.close()
    _, status = os.waitpid(first, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _map_from_outside(target: int) -> Callable[[], bool]:
    """Start a helper that stays outside and maps root and ``nobody`` into ``target``'s user namespace.

    A process cannot map two users into its own new namespace; a root process outside can. The returned function
    writes the maps; it returns False where ``nobody`` does not exist (in a container with one user) and root alone
    is mapped.
    """
    ready_read, ready_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            os.close(ready_write)
            if os.read(ready_read, 1):
                try:
                    for name in ("uid_map", "gid_map"):
                        _write(f"/proc/{target}/{name}", f"0 0 1\n{NOBODY} {NOBODY} 1")
                    status = 0
                except OSError:
                    for name in ("uid_map", "gid_map"):
                        _write(f"/proc/{target}/{name}", f"{NOBODY} 0 1")
                    status = 2
        finally:
            os._exit(status)

    def write_maps() -> bool:
        os.write(ready_write, b"1")
        os.close(ready_read)
        os.close(ready_write)
        status = os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1])
        if status < 0:
            raise SystemExit("the helper was killed")  # by chance, and no reason for a lower tier
        if status not in (0, 2):
            raise OSError("the user map of the namespace could not be written")
        return status == 0

    return write_maps


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _nobody_can_read_python() -> bool:
    probe = os.fork()
    if probe == 0:
        status = 1
        try:
            _become_nobody()
            with open(os.__file__, "rb"):
                status = 0
        finally:
            os._exit(status)
    return os.waitpid(probe, 0)[1] == 0


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)

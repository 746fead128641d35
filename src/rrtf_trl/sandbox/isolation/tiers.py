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
import sys
from typing import Literal, NamedTuple

from . import landlock, linux, private_root, seccomp
from .namespaces import Namespaces, enter_namespaces, write
from .users import NOBODY, become, user_that_can_read_python

Tier = Literal["full", "no-landlock", "no-namespaces", "unsafe"]

FILE_BYTES = 16 * 2**20
_MAX_PROCESSES = 128
"""The most processes and threads of one program, where the kernel counts them for it alone."""
_MAX_DESCRIPTORS = 256


class Isolation(NamedTuple):
    """What isolates a fork server and all its children.

    Args:
        tier: The tier.
        layers: The names of its layers.
        child_filter: A system call filter that each child must still apply to itself; None if the fork server
            applied it.
        namespaces: What there is in namespaces; None without them.
    """

    tier: Tier
    layers: tuple[str, ...]
    child_filter: bytes | None
    namespaces: Namespaces | None


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
    wants_namespaces = tier in ("full", "no-landlock")
    # Read before the private root, in which this package is hidden.
    program = seccomp.load({"unsafe": "bare", "no-namespaces": "landlock"}.get(tier, "namespaces"))
    if program is None and tier != "unsafe":
        raise OSError(f"there is no system call filter for {os.uname().machine}")
    wants_landlock = tier in ("full", "no-namespaces") or program is None
    version = linux.landlock_version() if wants_landlock else 0
    if version == 0 and tier in ("full", "no-namespaces"):
        raise OSError("the kernel has no Landlock")
    with contextlib.suppress(OSError):  # where memory runs out, the kernel should kill programs first
        write("/proc/self/oom_score_adj", "1000")
    drop_user, user, namespaces = os.geteuid() == 0, NOBODY, None
    if wants_namespaces:
        drop_user, namespaces = enter_namespaces(drop_user)
    elif drop_user:
        user = user_that_can_read_python()
        drop_user = user > 0
    if namespaces is None:
        os.chdir(empty)
    try:
        if namespaces is not None:
            private_root.mount_processes()
            namespaces.renew_scratch()  # the mounts' order is always the same
        ruleset = _ruleset(version, empty, wants_namespaces) if version else None
        _limit(memory_mb, own_count=wants_namespaces)
        if drop_user:
            if namespaces is not None:
                linux.keep_capabilities_of_another_user()
            become(user)
        _drop_privileges(wants_namespaces)
        if ruleset is not None:
            linux.landlock_restrict(ruleset, version)
            os.close(ruleset)
        if namespaces is not None:
            assert program is not None
            linux.install_filter(program)
    except OSError:
        if namespaces is not None and namespaces.renewed:
            os._exit(1)  # nobody waits for the reason any more
        raise
    layers = [
        *(["namespaces"] * wants_namespaces),
        *([f"landlock{version}"] if version else []),
        *(["seccomp"] if program is not None else []),
        "nobody" if drop_user else "same-user",
        "rlimits",
    ]
    return Isolation(tier, tuple(layers), None if wants_namespaces else program, namespaces)


def _ruleset(version: int, empty: str, in_namespaces: bool) -> int:
    devices = private_root.existing(private_root.DEVICES)
    if in_namespaces:
        return landlock.ruleset(version, private_root.visible(), [], devices, [private_root.BOX])
    readable, listable = private_root.without_hidden(private_root.visible())
    return landlock.ruleset(version, [*readable, empty], listable, devices, [])


def _drop_privileges(in_namespaces: bool) -> None:
    if sys.platform != "linux":
        return
    linux.die_with_parent(signal.SIGKILL)
    linux.hide_memory()
    if in_namespaces:
        linux.keep_only_numbering_of_processes()  # programs drop it too
    else:
        linux.adopt_orphans()
        linux.drop_capabilities()
    linux.forbid_new_privileges()


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

"""What this machine offers to the sandbox: for ``rrtf doctor``."""

from __future__ import annotations

import math
import subprocess
import tempfile

from . import isolation, kernel, seccomp
from .server import ForkServer, Unavailable


def describe_isolation() -> dict[str, str | bool | int]:
    """Say what this machine offers to the sandbox, and why not where it does not.

    Returns:
        ``tier``: what outcomes will carry, or ``none``; ``isolation``: the walls; ``namespaces``: whether a
        program gets user, process, network, IPC, host name and mount namespaces and a private root;
        ``namespaces_reason``: empty, or what the kernel said; ``landlock``: the version of its interface, 0 for
        none; ``seccomp``: whether there is a system call filter for this processor; ``advice``: what to
        change, or empty.
    """
    landlock, with_filter = kernel.landlock_version(), seccomp.load("namespaces") is not None
    tier, walls, reason = "none", "", isolation.why_no_tier()
    namespaces_reason = ""
    for candidate in isolation.tiers_to_try(allow_unsafe=False):
        found = _try(candidate)
        if isinstance(found, str):
            reason = found
            namespaces_reason = found if candidate in ("full", "no-landlock") else namespaces_reason
            continue
        tier, walls = found
        break
    namespaces = tier in ("full", "no-landlock")
    return {
        "tier": tier,
        "isolation": walls,
        "namespaces": namespaces,
        "namespaces_reason": "" if namespaces else namespaces_reason or reason,
        "landlock": landlock,
        "seccomp": with_filter,
        "advice": _advice(tier),
    }


def _advice(tier: str) -> str:
    if tier == "full":
        return ""
    if tier == "no-landlock":
        return "A kernel from 5.13 on, with landlock among its security modules, adds a second wall around files."
    wanted = (
        "Allow unprivileged user namespaces (sysctl user.max_user_namespaces > 0; on Ubuntu also "
        "kernel.apparmor_restrict_unprivileged_userns=0; in Docker a seccomp profile that allows unshare and mount)"
    )
    if tier == "no-namespaces":
        return f"{wanted}: then programs may start processes and write files of their own."
    return f"{wanted}, or judge on a machine that holds nothing of value with allow_unsafe."


def _try(tier: isolation.Tier) -> tuple[str, str] | str:
    with tempfile.TemporaryDirectory(prefix="rrtf-sandbox-") as empty:
        try:
            server = ForkServer([tier], math.ceil(1), 256, empty)
        except (Unavailable, OSError, subprocess.SubprocessError) as error:
            return str(error)
        server.stop()
        return server.tier, server.isolation

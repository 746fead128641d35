"""What this machine offers to the sandbox: for ``rrtf doctor``."""

from __future__ import annotations

import subprocess
import tempfile

from .isolation import linux, seccomp, tiers
from .judge.fork_client import ForkServerClient, Unavailable


def describe_isolation() -> dict[str, str | bool | int]:
    """Return which isolation layers this machine offers, and why others are missing.

    Returns:
        ``tier``: that of outcomes here, or ``none``; ``isolation``: its layers; ``namespaces``: whether a
        program gets user, process, network, IPC, host name and mount namespaces and a private root;
        ``namespaces_reason``: empty, or the kernel's reason; ``landlock``: the version of its interface, 0 for
        none; ``seccomp``: whether there is a system call filter for this processor; ``advice``: what to
        change, or empty.
    """
    landlock, with_filter = linux.landlock_version(), seccomp.load("namespaces") is not None
    tier, layers, reason = "none", "", tiers.why_no_tier()
    namespaces_reason = ""
    for one in tiers.tiers_to_try(allow_unsafe=False):
        found = _try(one)
        if isinstance(found, str):
            reason = found
            namespaces_reason = found if one in ("full", "no-landlock") else namespaces_reason
            continue
        tier, layers = found
        break
    namespaces = tier in ("full", "no-landlock")
    return {
        "tier": tier,
        "isolation": layers,
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
        return "A kernel from 5.13 on, with landlock among its security modules, adds a second layer around files."
    advice = (
        "Allow unprivileged user namespaces (sysctl user.max_user_namespaces > 0; on Ubuntu also "
        "kernel.apparmor_restrict_unprivileged_userns=0; in Docker a seccomp profile that allows unshare and mount)"
    )
    if tier == "no-namespaces":
        return f"{advice}: then programs may start processes and write files of their own."
    return f"{advice}, or judge on a machine that holds nothing of value with allow_unsafe."


def _try(tier: tiers.Tier) -> tuple[str, str] | str:
    with tempfile.TemporaryDirectory(prefix="rrtf-sandbox-") as empty:
        try:
            server = ForkServerClient([tier], 1, 256, empty)
        except (Unavailable, OSError, subprocess.SubprocessError) as error:
            return str(error)
        server.stop()
        return server.tier, server.isolation

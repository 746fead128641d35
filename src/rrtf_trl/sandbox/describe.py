"""What this machine offers to the sandbox: for ``rrtf doctor``."""

from __future__ import annotations

import subprocess

from .isolation import python_command


def describe_isolation() -> dict[str, str | bool]:
    """Say what this machine offers to the sandbox, and why not where it does not.

    Returns:
        ``namespaces``: whether a program gets user, process, network, IPC, host name and mount namespaces and
        a private root; ``namespaces_reason``: empty, or what the kernel said; ``seccomp``: whether the system
        call filter holds; ``isolation``: the name that outcomes will carry; ``advice``: what to change, or
        empty.
    """
    reason = _try("enter_namespaces")
    strong = reason.startswith("namespaces")
    name = reason if strong else _try("stay")
    advice = ""
    if not strong:
        advice = (
            "Allow unprivileged user namespaces (sysctl user.max_user_namespaces > 0; on Ubuntu also "
            "kernel.apparmor_restrict_unprivileged_userns=0; in Docker a seccomp profile that allows "
            "unshare and mount), or run the judging on a machine that holds nothing of value."
        )
    return {
        "namespaces": strong,
        "namespaces_reason": "" if strong else reason,
        "seccomp": "seccomp" in name,
        "isolation": name,
        "advice": advice,
    }


def _try(step: str) -> str:
    # In a process of its own: entering namespaces cannot be undone, and the caller may have threads.
    code = f"try: print(isolation.{step}().name, flush=True)\nexcept OSError as error: print(error, flush=True)\n"
    command = python_command("from rrtf_trl.sandbox import isolation\n" + code)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() or done.stderr.strip()[-300:]

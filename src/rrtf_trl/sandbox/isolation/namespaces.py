"""Namespaces of a fork server's own: it is process 1 there, and renews what programs could leave traces in."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

from . import linux, private_root
from .users import NOBODY, OWN_USERS

FIRST_PROCESS = 2
"""The process id of every program in namespaces: process 1 is the fork server."""
EXIT_TO_RENEW = 9
"""Exit status of a process 1 that another is to replace."""


class Namespaces:
    """What the fork server, as process 1, can renew between programs.

    Args:
        scratch: The scratch folder.
        warden: The socket to the warden, which has the privileges for that.
        numbers: The kernel's file of the last process id that was given, which is writable; -1 for none.
        renewed: Whether this process 1 replaces another one.
    """

    def __init__(self, scratch: private_root.Scratch, warden: int, numbers: int, renewed: bool) -> None:
        self.scratch = scratch
        self.renewed = renewed
        self._warden = warden
        self._numbers = numbers

    def renew_scratch(self) -> None:
        """Replace the scratch folder by an empty one; the working folder must be another."""
        os.write(self._warden, b"r")
        if os.read(self._warden, 1) != b"r":
            raise OSError("the scratch folder could not be renewed")

    def number_processes_again(self) -> bool:
        """Have the next process be number 2, however many there were; return False where the kernel refuses it."""
        try:
            return self._numbers >= 0 and os.pwrite(self._numbers, b"%d" % (FIRST_PROCESS - 1), 0) > 0
        except OSError:
            return False


def enter_namespaces(as_root: bool) -> tuple[bool, Namespaces]:
    """Enter new namespaces as process 1; return whether it may become another user, and what it can renew there.

    It returns again, in a new process 1, whenever the one before ends with ``EXIT_TO_RENEW``.
    """
    flags = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNET
    if as_root:
        write_maps = _map_from_outside(os.getpid())
        linux.unshare(flags)
        as_root = write_maps()
    else:
        user, group = os.geteuid(), os.getegid()
        linux.unshare(flags)
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{NOBODY} {user} 1")
        write("/proc/self/gid_map", f"{NOBODY} {group} 1")
    socket.sethostname("sandbox")
    numbers = -1
    with contextlib.suppress(OSError):
        numbers = os.open("/proc/sys/kernel/ns_last_pid", os.O_WRONLY)
    private_root.enter_private_root()
    linux.hide_memory()
    scratch, renewed = private_root.Scratch(), False
    while True:
        ours, wardens = socket.socketpair()
        first = linux.fork_as_process_1()
        if first == 0:
            wardens.close()
            os.setsid()
            # A number: an object would close it again when a program's interpreter ends.
            return as_root, Namespaces(scratch, ours.detach(), numbers, renewed)
        ours.close()
        status = _be_warden(wardens, first, scratch)
        if status != EXIT_TO_RENEW:
            os._exit(status & 0xFF)
        renewed = True


def _be_warden(orders: socket.socket, first: int, scratch: private_root.Scratch) -> int:
    """Renew the scratch folder on request, outside of the process namespace; return process 1's exit status."""
    with contextlib.suppress(OSError):
        while orders.recv(1):
            scratch.renew()
            orders.send(b"r")
    orders.close()
    _, status = os.waitpid(first, 0)
    return os.waitstatus_to_exitcode(status)


def _map_from_outside(target: int) -> Callable[[], bool]:
    """Start a helper that stays outside and maps root and another user into ``target``'s user namespace.

    A process cannot map two users into its own new namespace; a root process outside can. The other user is
    ``nobody`` inside, and outside one of ``target``'s own, or ``nobody`` where that does not exist. The returned
    function writes the maps; it returns False where neither exists (in a container with one user) and root alone is
    mapped.
    """
    ready_read, ready_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            os.close(ready_write)
            if os.read(ready_read, 1):
                users = [f"0 0 1\n{NOBODY} {user} 1" for user in (OWN_USERS + target, NOBODY)]
                written = _write_first(f"/proc/{target}/uid_map", [*users, f"{NOBODY} 0 1"])
                _write_first(f"/proc/{target}/gid_map", [users[1], f"{NOBODY} 0 1"])
                status = 2 if written == 2 else 0
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


def _write_first(path: str, texts: list[str]) -> int:
    """Write the first of ``texts`` that the kernel takes, and return its index."""
    for index, text in enumerate(texts[:-1]):
        with contextlib.suppress(OSError):
            write(path, text)
            return index
    write(path, texts[-1])
    return len(texts) - 1


def write(path: str, text: str) -> None:
    """Write a text to a file of the kernel's."""
    with open(path, "w") as file:
        file.write(text)

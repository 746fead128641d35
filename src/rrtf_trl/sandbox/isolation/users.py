"""The users that programs run as: never root, and where root starts the sandbox one of the fork server's own."""

from __future__ import annotations

import os

NOBODY = 65534
OWN_USERS = 2_000_000_000
"""The users from here on belong to nobody; each fork server that root starts takes one, by its process id, since the
kernel counts pipe memory, descriptors in flight and the like by user."""


def become(user: int) -> None:
    """Become another user, in the group ``nobody`` alone; only for root."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(user, user, user)


def user_that_can_read_python() -> int:
    """Return a user to become in place of root: one of this process's own, or ``nobody``; 0 if there is none."""
    for user in (OWN_USERS + os.getpid(), NOBODY):
        probe = os.fork()
        if probe == 0:
            status = 1
            try:
                become(user)
                with open(os.__file__, "rb"):
                    status = 0
            finally:
                os._exit(status)
        if os.waitpid(probe, 0)[1] == 0:
            return user
    return 0

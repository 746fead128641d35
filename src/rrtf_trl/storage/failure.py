"""What went wrong, as one message: for a run's notes, and for the console."""

from __future__ import annotations

import errno
import sqlite3

from rrtf_trl.errors import UserError

_MACHINES_OWN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}
"""What goes wrong with files for reasons of the machine and not of ours."""


def failure_message(error: BaseException) -> str | None:
    """Return an error that is the user's or the machine's as one message, ``None`` for a mistake of ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _MACHINES_OWN and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, sqlite3.DatabaseError):
        return f"the store of samples and verdicts: {error}; what was written before is kept"
    return None

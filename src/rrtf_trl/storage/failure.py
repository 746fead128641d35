"""What went wrong, as one message: for a run's notes, and for the console."""

from __future__ import annotations

import errno
import sqlite3

from rrtf_trl.errors import UserError

_OF_THE_MACHINE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}
"""Errors of files that are the machine's or its user's, not bugs."""


def failure_message(error: BaseException) -> str | None:
    """Return a message for an error of the user or the machine; ``None`` for a bug of ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, sqlite3.DatabaseError):
        return f"the store of candidates and judgements: {error}; what was written before is kept"
    return None

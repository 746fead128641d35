"""How a program's process ended, as the fork server reports it to the judge."""

from __future__ import annotations

import signal
import struct
from typing import NamedTuple

EXIT_OF_NO_FORK = 1 << 20
"""Stands for the exit status where the machine had no room for another process."""
EXIT_OUT_OF_TIME = 128 + signal.SIGXCPU
"""Of a process that ran out of processor time, and could still send what it had answered by then."""

REPORT_FORMAT = struct.Struct("=idi")


class Report(NamedTuple):
    """How a program's process ended.

    Args:
        exit: Its exit status, or minus the number of the signal that ended it.
        cpu: Processor time of this process, seconds.
        peak_mb: The most memory that it held, MiB.
    """

    exit: int
    cpu: float
    peak_mb: int

    @property
    def never_ran(self) -> bool:
        """Whether the machine had no room for another process."""
        return self.exit == EXIT_OF_NO_FORK

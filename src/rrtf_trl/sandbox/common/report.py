"""The fork server's report to the judge of how a program's process ended."""

from __future__ import annotations

import signal
import struct
from typing import NamedTuple

EXIT_OF_NO_FORK = 1 << 20
"""Used as exit status where the machine could start no further process."""
EXIT_OUT_OF_TIME = 128 + signal.SIGXCPU
"""Exit status of a process that ran out of processor time after it had sent all its answers so far."""

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

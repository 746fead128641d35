"""What Linux tells of other processes: their children, processor time and memory. Elsewhere there are none."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_TICK = os.sysconf("SC_CLK_TCK")


class ProcessUse(NamedTuple):
    """What one process uses.

    Args:
        started: When it started, seconds since the machine did.
        cpu: Processor time of its own, seconds.
        cpu_of_ended: Processor time of its children that have ended and that it waited for, and of theirs, seconds.
        held_mb: Memory that it holds and that is no file's, MiB; where several share memory, it counts for each.
        tasks: The number of its threads.
        ended: Whether it has ended, and its parent has not asked for it yet.
    """

    started: float
    cpu: float
    cpu_of_ended: float
    held_mb: float
    tasks: int
    ended: bool


def children(pid: int) -> list[int]:
    """Return the processes that a process started, and those that it adopted."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    return found


def descendants(pid: int, most: int) -> list[int]:
    """Return the children of a process, theirs, and so on, parents first; ``most`` or a few more."""
    found: list[int] = []
    waiting = children(pid)
    while waiting and len(found) < most:
        found.append(waiting.pop())
        waiting += children(found[-1])
    return found


def use_of(pid: int) -> ProcessUse | None:
    """Return what a process uses; None if there is none of this number."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        times = [int(fields[at]) / _TICK for at in (11, 12, 13, 14, 19)]
        cpu, ended = times[0] + times[1], fields[0] == "Z"
        return ProcessUse(times[4], cpu, times[2] + times[3], _held_mb(pid), int(fields[17]), ended)
    except (OSError, ValueError, IndexError):
        return None


def _held_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        rows = dict(line.split(":", 1) for line in file if ":" in line)
    if "RssAnon" in rows and "RssShmem" in rows:
        return sum(int(rows[name].split()[0]) for name in ("RssAnon", "RssShmem")) / 1024
    with open(f"/proc/{pid}/statm") as file:  # gVisor, for instance
        resident, shared = file.read().split()[1:3]
    return (int(resident) - int(shared)) * _PAGE_MB

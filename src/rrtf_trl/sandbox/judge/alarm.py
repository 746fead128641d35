"""The judge's alarm: ends the tests of a program that takes too long or too much memory.

Every tenth of a second it looks at the time, and at the program's processes from outside; where a limit is passed it
raises a :class:`..common.faults.Fault` in whatever runs. A test that swallows it meets it again. What does not come
back to the interpreter at all is for the caller to end (:mod:`..pool`).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from time import monotonic  # by name: tests may patch the module
from types import FrameType

from ..common.faults import Fault

TICK = 0.1
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_MAX_TASKS = 256
"""Processes and threads of a program, where the kernel does not count them."""

_alarm: Alarm | None = None


class Alarm:
    """Watches one job at a time; :meth:`set` before and :meth:`clear` after what it may interrupt.

    Args:
        server_pid: The fork server, whose descendants are the program; 0 where that is not known.
        memory_mb: What they may hold together.
        on_tick: Called at each look, besides.
    """

    def __init__(self, server_pid: int, memory_mb: int, on_tick: Callable[[], None]) -> None:
        global _alarm
        self._server = server_pid
        self._memory_mb = memory_mb
        self._on_tick = on_tick
        self._deadline = 0.0
        self._on_fault: Callable[[Fault], BaseException] | None = None
        self._own_mb = _anonymous_mb(server_pid)
        _alarm = self
        signal.signal(signal.SIGALRM, _ring)

    def set(self, seconds: float, on_fault: Callable[[Fault], BaseException]) -> None:
        """Start, or start anew with another deadline.

        Args:
            seconds: From now on.
            on_fault: Takes the fault, and returns what to raise.
        """
        self._deadline = monotonic() + seconds
        self._on_fault = on_fault
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)

    def clear(self) -> None:
        """Stop."""
        self._on_fault = None
        signal.setitimer(signal.ITIMER_REAL, 0)

    def look(self) -> None:
        """Raise where a limit is passed."""
        if self._on_fault is None:
            return
        self._on_tick()
        if monotonic() > self._deadline:
            raise self._on_fault(Fault("timeout", "no answer in time"))
        held, tasks = self._held()
        if held > self._memory_mb:
            raise self._on_fault(Fault("memory", f"its processes hold {held:.0f} MiB together"))
        if tasks > _MAX_TASKS:
            raise self._on_fault(Fault("memory", f"it has {tasks} processes and threads"))

    def _held(self) -> tuple[float, int]:
        """What the program's processes hold beyond what they share with the fork server, and how many they are."""
        held, tasks, waiting = 0.0, 0, _children(self._server) if self._server else []
        while waiting and tasks < 10 * _MAX_TASKS:
            pid = waiting.pop()
            held += max(0.0, _anonymous_mb(pid) - self._own_mb)
            with contextlib.suppress(OSError):
                threads = os.listdir(f"/proc/{pid}/task")
                tasks += len(threads)
            waiting += _children(pid)
        return held, tasks


def _ring(number: int, frame: FrameType | None) -> None:
    if _alarm is not None:
        _alarm.look()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    return found


def _anonymous_mb(pid: int) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm") as file:
        resident, shared = file.read().split()[1:3]
        return (int(resident) - int(shared)) * _PAGE_MB
    return 0.0

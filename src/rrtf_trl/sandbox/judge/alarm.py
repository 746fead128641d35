"""The judge's alarm: ends the tests of a program that takes too long or too much memory.

Ten times a second it checks the time, and the program's processes from outside; past a limit it raises a
:class:`..common.faults.Fault` in the code that runs, again and again if a test catches it. Code that never returns to
the interpreter is ended by the caller (:mod:`..pool`).
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
"""The most processes and threads of a program, where the kernel does not count them."""

_alarm: Alarm | None = None


class Alarm:
    """Watches one job at a time; call :meth:`set` before and :meth:`clear` after what it may interrupt.

    Args:
        server_pid: Process id of the fork server, whose descendants are the program; 0 where it is not known.
        memory_mb: Memory that they may hold together, MiB.
        on_tick: Also called at each check.

    Attributes:
        interrupted_import: Whether a fault was raised in the middle of an import: the module may stay half loaded, so
            this process must not judge further programs.
    """

    def __init__(self, server_pid: int, memory_mb: int, on_tick: Callable[[], None]) -> None:
        global _alarm
        self._server = server_pid
        self._memory_mb = memory_mb
        self._on_tick = on_tick
        self._deadline = 0.0
        self._on_fault: Callable[[Fault], BaseException] | None = None
        self._own_mb = _anonymous_mb(server_pid)
        self.interrupted_import = False
        _alarm = self
        signal.signal(signal.SIGALRM, _on_signal)

    def set(self, seconds: float, on_fault: Callable[[Fault], BaseException]) -> None:
        """Start, or start again with another deadline.

        Args:
            seconds: The deadline, from now on.
            on_fault: Returns the exception to raise for a fault.
        """
        self._deadline = monotonic() + seconds
        self._on_fault = on_fault
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)

    def clear(self) -> None:
        """Stop."""
        self._on_fault = None
        signal.setitimer(signal.ITIMER_REAL, 0)

    def check(self, frame: FrameType | None = None) -> None:
        """Raise if a limit is exceeded.

        Args:
            frame: Where the exception will be raised.
        """
        if self._on_fault is None:
            return
        self._on_tick()
        try:
            self._check_limits(self._on_fault)
        except BaseException:
            self.interrupted_import |= _is_importing(frame)
            raise

    def _check_limits(self, on_fault: Callable[[Fault], BaseException]) -> None:
        if monotonic() > self._deadline:
            raise on_fault(Fault("timeout", "no answer in time"))
        held, tasks = self._usage()
        if held > self._memory_mb:
            raise on_fault(Fault("memory", f"its processes hold {held:.0f} MiB together"))
        if tasks > _MAX_TASKS:
            raise on_fault(Fault("memory", f"it has {tasks} processes and threads"))

    def _usage(self) -> tuple[float, int]:
        """Return the MiB that the program's processes hold beyond the fork server's, and their number of threads."""
        held, tasks, pids = 0.0, 0, _children(self._server) if self._server else []
        while pids and tasks < 10 * _MAX_TASKS:
            pid = pids.pop()
            held += max(0.0, _anonymous_mb(pid) - self._own_mb)
            with contextlib.suppress(OSError):
                tasks += len(os.listdir(f"/proc/{pid}/task"))
            pids += _children(pid)
        return held, tasks


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _alarm is not None:
        _alarm.check(frame)


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether a frame, or one that called it, is the interpreter's import system."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


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

"""The judge's alarm: ends the tests of a program that takes too long or too much memory.

Ten times a second it checks the time, and the program's processes from outside: the kernel limits each of them, and
the alarm all together, also those that have ended. Past a limit it raises a :class:`..common.faults.Fault` in the
code that runs, again and again if a test catches it. Code that never returns to the interpreter is ended by the
caller (:mod:`..pool`).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from time import clock_gettime, monotonic  # by name: tests may patch the module
from types import FrameType

from ..common.faults import Fault, Limits
from ..common.processes import descendants, use_of

TICK = 0.1
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_EARLIER = 0.1
"""Seconds by which a program's process may have started before the alarm."""
_MAX_TASKS = 256
"""The most processes and threads of a program, where the kernel does not count them."""

_alarm: Alarm | None = None


class Alarm:
    """Watches one job at a time; call :meth:`set` before and :meth:`clear` after what it may interrupt.

    Args:
        server_pid: Process id of the fork server, whose descendants are the program; 0 where it is not known.
        limits: The limits of a program.
        on_set: Called by :meth:`set`.
        on_tick: Called at each check.

    Attributes:
        interrupted_import: Whether a fault was raised in the middle of an import: the module may stay half loaded, so
            this process must not judge further programs.
    """

    def __init__(
        self, server_pid: int, limits: Limits, on_set: Callable[[], None], on_tick: Callable[[], None]
    ) -> None:
        global _alarm
        self._server = server_pid
        self._limits = limits
        self._on_set = on_set
        self._on_tick = on_tick
        self._deadline = 0.0
        self._on_fault: Callable[[Fault], BaseException] | None = None
        server = use_of(server_pid) if server_pid else None
        self._own_mb = server.held_mb if server is not None else 0.0
        self._started = 0.0
        self._cpu_seen: dict[tuple[int, float], float] = {}
        self.interrupted_import = False
        _alarm = self
        signal.signal(signal.SIGALRM, _on_signal)

    def set(self, seconds: float, on_fault: Callable[[Fault], BaseException]) -> None:
        """Start, or start again with another deadline.

        Args:
            seconds: The deadline, from now on.
            on_fault: Returns the exception to raise for a fault.
        """
        self._on_set()
        self._started = clock_gettime(_SINCE_BOOT)
        self._cpu_seen = {}
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
        held, tasks, cpu = self._usage()
        if held > self._limits.memory_mb:
            raise on_fault(Fault("memory", f"its processes hold {held:.0f} MiB together"))
        if tasks > _MAX_TASKS:
            raise on_fault(Fault("memory", f"it has {tasks} processes and threads"))
        if cpu > self._limits.cpu:
            text = f"its processes used up {cpu:.1f} s of processor time together"
            raise on_fault(Fault("timeout", text, used_up=True))

    def _usage(self) -> tuple[float, int, float]:
        """Return what the program's processes use together.

        Returns:
            MiB beyond the fork server's; their number of threads; and seconds of processor time, 0 for a single
            process, which the kernel limits. What ended without being waited for counts as far as it was seen.
        """
        held, tasks, together, several = 0.0, 0, 0.0, False
        for pid in descendants(self._server, 10 * _MAX_TASKS) if self._server else []:
            use = use_of(pid)
            if use is None:
                continue
            held += max(0.0, use.held_mb - self._own_mb)
            tasks += use.tasks
            if use.started >= self._started - _EARLIER:  # no process of the fork server's own
                self._cpu_seen[pid, use.started] = use.cpu
                together += use.cpu + use.cpu_of_ended
                several |= use.cpu_of_ended > 0
        cpu = max(together, sum(self._cpu_seen.values()))
        return held, tasks, cpu if several or len(self._cpu_seen) > 1 else 0.0


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

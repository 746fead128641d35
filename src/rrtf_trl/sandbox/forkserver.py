"""The fork server: starts a fresh process for each program, from an interpreter that is already warm.

It lives on the candidate's side of the border. It enters the walls once, then waits for orders on a control
socket: one program at a time, and after each one every process and file that the program left is removed.
It never sees tests. When its judge goes away it cleans up and ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from . import guest, isolation, kernel

# What solutions import all the time; a child has them at once.
_WARM = [
    "abc",
    "array",
    "bisect",
    "builtins",
    "cmath",
    "collections",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "queue",
    "random",
    "re",
    "statistics",
    "string",
    "threading",
    "time",
    "traceback",
    "typing",
]


def main(control_fd: int, namespaces: bool) -> int:
    """Serve orders from the control socket ``control_fd`` until it closes; return the exit status."""
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    for name in _WARM:
        importlib.import_module(name)
    try:
        walls = isolation.enter_namespaces() if namespaces else isolation.stay()
    except OSError as error:
        control.send(json.dumps({"refused": str(error)}).encode())
        return 1
    kernel.hide_memory()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a program of the same user could send it
    sys.path[:] = [path for path in sys.path if os.path.isdir(path) or path.endswith(".zip")]
    os.environ.clear()
    gc.collect()
    gc.freeze()  # the children share these pages as long as nobody writes to them
    control.send(json.dumps({"isolation": walls.name}).encode())
    return _ForkServer(control, walls).serve()


class _ForkServer:
    def __init__(self, control: socket.socket, walls: isolation.Walls) -> None:
        self._control = control
        self._walls = walls
        self._scratch = isolation.Scratch(walls)
        self._wake, wake_write = os.pipe()
        for end in (self._wake, wake_write):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)

    def serve(self) -> int:
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._control, 4096, 3)
            if not data:
                return 0
            order = json.loads(data)
            if order["op"] == "end":  # nothing runs
                self._send({"ended": True})
                continue
            self._scratch.open()
            child = os.fork()
            if child == 0:
                # The interpreter of the child ends here, as that of a program does; this frame holds nothing.
                sys.exit(guest.become(self._walls, order, descriptors))
            for number in descriptors:
                os.close(number)
            report, told_to_end = self._watch(child)
            self._sweep()
            self._scratch.close()
            self._send(report)
            if told_to_end:
                self._send({"ended": True})

    def _watch(self, child: int) -> tuple[dict[str, Any], bool]:
        """Wait for the child's own end, or kill it when told to (or when the judge is gone)."""
        told_to_end = False
        while True:
            for number, _ in self._poll.poll():
                if number == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 512)
                elif not told_to_end:
                    told_to_end = True
                    self._control.recv(4096)  # "end", or nothing where the judge is gone
                    self._poll.unregister(self._control)
                    os.kill(child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while True:
                    pid, status, usage = os.wait4(-1, os.WNOHANG)
                    if pid == 0:
                        break
                    if pid == child:
                        if told_to_end:
                            self._poll.register(self._control, select.POLLIN)
                        report = {
                            "exit": os.waitstatus_to_exitcode(status),
                            "cpu": usage.ru_utime + usage.ru_stime,
                            "peak_mb": usage.ru_maxrss // 1024,
                        }
                        return report, told_to_end

    def _sweep(self) -> None:
        """Kill and reap all that the program left; new ones cannot outrun it, their parents die too."""
        while True:
            for pid in [-1] if self._walls.namespaces else _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(json.dumps(message).encode())


def _children() -> list[int]:
    """The processes whose parent is this one; orphans below it count, since it adopts them."""
    found, parent = [], str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
                if file.read().rpartition(")")[2].split()[1] == parent:
                    found.append(int(name))
    return found

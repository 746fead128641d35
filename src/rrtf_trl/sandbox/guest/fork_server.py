"""The fork server: forks a process for each program, from an interpreter that is already warm.

It isolates itself once, then waits for orders on a control socket. It runs one program at a time; after each it
kills every process that the program left, and renews the scratch folder if the program used it. It never sees tests.
When the judge ends, it cleans up and ends.

Orders are one byte: ``r`` runs a program that answers calls, and brings the descriptor of its channel; ``p`` runs a
whole program, and brings those of its channel, stdin and stdout; ``e`` ends the program, and is answered with a
:class:`~..common.report.Report`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys

from ..common.report import EXIT_OF_NO_FORK, REPORT_FORMAT, Report
from ..isolation import linux, private_root, tiers
from . import program, warm_up
from .program import become

# What programs often import. Each module makes every fork slower (hashlib by a tenth).
_WARM = (
    *("bisect", "collections", "copy", "dataclasses", "datetime", "enum", "functools", "heapq", "itertools", "json"),
    *("math", "operator", "random", "re", "string", "threading", "time", "typing"),
)


def main(control_fd: int, tier: tiers.Tier, cpu_seconds: int, memory_mb: int, empty: str) -> int:
    """Serve orders from the control socket ``control_fd`` until it closes; return the exit status."""
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    for name in _WARM:
        importlib.import_module(name)
    channel = program.open_channel()
    warm_up.warm_up()
    try:
        isolation = tiers.isolate(tier, memory_mb, empty)
    except OSError as error:
        control.sendall(json.dumps({"refused": str(error)}).encode() + b"\n")
        return 1
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # process 1 ignores signals without a handler
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.path[:] = [path for path in sys.path if os.path.isdir(path) or path.endswith(".zip")]
    os.environ.clear()
    hello = {"tier": isolation.tier, "isolation": "+".join(isolation.layers)}
    control.sendall(json.dumps(hello).encode() + b"\n")
    kit, scratch = program.make_kit(channel, isolation, cpu_seconds), _Scratch(isolation)
    gc.collect()
    linux.tidy_heap()
    gc.freeze()  # children share these pages until a process writes to them
    _serve(control, isolation, kit, scratch)
    return 0


def _serve(control: socket.socket, isolation: tiers.Isolation, kit: program.Kit, scratch: _Scratch) -> None:
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        if not order:
            return
        try:
            child = linux.fork()
        except OSError:
            child = -1
        if child == 0:
            # A whole program's interpreter ends here, as a script's does.
            if len(descriptors) > 1:
                control.detach()
            sys.exit(become(kit, descriptors))
        for number in descriptors:
            os.close(number)
        order = control.recv(1)  # "e", or nothing where the judge has ended
        report = Report(EXIT_OF_NO_FORK, 0.0, 0)
        if child > 0:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            cpu = usage.ru_utime + usage.ru_stime
            report = Report(os.waitstatus_to_exitcode(status), cpu, usage.ru_maxrss // 1024)
        _sweep(isolation.namespaces)
        scratch.renew_if_used()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            control.send(REPORT_FORMAT.pack(*report))
        if not order:
            return


def _sweep(namespaces: bool) -> None:
    """Kill and reap all processes that the program left, until none is left: new ones are killed as they start."""
    with contextlib.suppress(ChildProcessError):
        while True:
            found, _ = os.waitpid(-1, os.WNOHANG)
            if found == 0:
                for pid in [-1] if namespaces else _children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                os.waitpid(-1, 0)


def _children() -> list[int]:
    """Return the processes whose parent is this one; it adopts orphans among its descendants."""
    found, parent = [], str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
                if file.read().rpartition(")")[2].split()[1] == parent:
                    found.append(int(name))
    return found


class _Scratch:
    """The scratch folder: empty for each program."""

    def __init__(self, isolation: tiers.Isolation) -> None:
        self._isolation = isolation
        if isolation.namespaces:
            os.chdir(private_root.SCRATCH)  # children start there
        self._fresh = self._state()

    def renew_if_used(self) -> None:
        if self._isolation.namespaces and self._state() != self._fresh:
            self._isolation.renew()
            os.chdir(private_root.SCRATCH)
            self._fresh = self._state()

    def _state(self) -> tuple[int, ...]:
        """Return what any use of the folder changes: creating, removing or renaming a file in it sets its times."""
        if not self._isolation.namespaces:
            return ()
        now = os.stat(private_root.SCRATCH)
        return now.st_ino, now.st_dev, now.st_mode, now.st_nlink, now.st_size, now.st_mtime_ns, now.st_ctime_ns

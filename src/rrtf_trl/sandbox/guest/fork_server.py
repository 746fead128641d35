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

from ..common import standard_types
from ..common.report import EXIT_OF_NO_FORK, REPORT_FORMAT
from ..isolation import linux, namespaces, private_root, tiers
from . import program, warm_up
from .program import become

# What programs often import. Each module makes every fork slower (hashlib by a tenth).
_WARM = (
    *("bisect", "collections", "copy", "dataclasses", "datetime", "enum", "functools", "heapq", "itertools", "json"),
    *("math", "operator", "random", "re", "string", "threading", "time", "typing"),
)

_REHEARSALS = 5
"""How often to clean up before the first program."""
_MAX_FREE = 200
"""More than the interpreter keeps of any kind of object for later use."""


def main(control_fd: int, tier: tiers.Tier, cpu_seconds: int, memory_mb: int, empty: str) -> int:
    """Serve orders from the control socket ``control_fd`` until it closes; return the exit status."""
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    for name in _WARM:
        importlib.import_module(name)
    channel = program.open_channel()
    standard_types.let_paths_open_files()
    linux.reserve_less_for_threads()
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
    kit, inside = program.make_kit(channel, isolation, cpu_seconds), isolation.namespaces
    if inside is not None:
        os.chdir(private_root.SCRATCH)  # children start there
    if inside is None or not inside.renewed:
        hello = {"tier": isolation.tier, "isolation": "+".join(isolation.layers)}
        control.sendall(json.dumps(hello).encode() + b"\n")
        _settle_memory(inside)
    gc.freeze()  # children share these pages until a process writes to them
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        if not order:
            return 0
        _run_one(control, inside, kit, descriptors)
        if inside is not None and not inside.number_processes_again():
            os._exit(namespaces.EXIT_TO_RENEW)  # a new process namespace counts from the start


def _settle_memory(inside: namespaces.Namespaces | None) -> None:
    """Have this process's memory be as it will be between any two programs, which inherit it.

    What it does for the first time changes its memory for good, and would show later programs what an earlier one
    did: so it cleans up a few times after a program that leaves as much as it can.
    """
    gc.collect()
    linux.tidy_heap()
    for kind in (list, dict, float):
        [kind() for _ in range(_MAX_FREE)]  # these stay in free lists, which would grow with each program
    if inside is None or not inside.number_processes_again():
        return
    for _ in range(_REHEARSALS):
        inside.scratch.make_young()
        if linux.fork() == 0:
            linux.fork()
            signal.pause()
        open("left", "w").close()
        _clean_up(inside)
    inside.number_processes_again()


def _run_one(
    control: socket.socket, inside: namespaces.Namespaces | None, kit: program.Kit, descriptors: list[int]
) -> None:
    """Run a program until the judge ends it, and remove its traces.

    Nothing that it learns of the program stays in memory, which the next program inherits: even the reference count
    of a small number would tell how much memory this one took.
    """
    _open_streams()
    if inside is not None:
        inside.scratch.make_young()
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
    control.recv(1)  # "e", or nothing where the judge has ended
    exit_status, cpu, peak_mb = EXIT_OF_NO_FORK, 0.0, 0
    if child > 0:
        os.kill(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
        cpu, peak_mb = usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024
        exit_status = os.waitstatus_to_exitcode(status)
    _clean_up(inside)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        control.send(REPORT_FORMAT.pack(exit_status, cpu, peak_mb))


def _open_streams() -> None:
    """Open descriptors 0 to 2 anew: flags and locks of an open file are seen by all that share it."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def _clean_up(inside: namespaces.Namespaces | None) -> None:
    """End all processes that a program left, and renew the scratch folder if it was used."""
    _sweep(inside is not None)
    if inside is not None and inside.scratch.was_used():
        os.chdir("/")  # the folder goes with the last process in it
        inside.renew_scratch()
        os.chdir(private_root.SCRATCH)


def _sweep(in_namespaces: bool) -> None:
    """Kill and reap all processes that the program left, until none is left: new ones are killed as they start."""
    with contextlib.suppress(ChildProcessError):
        while True:
            found, _ = os.waitpid(-1, os.WNOHANG)
            if found == 0:
                for pid in [-1] if in_namespaces else _children():
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

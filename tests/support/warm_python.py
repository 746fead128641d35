"""A Python that has imported the heavy libraries already, for tests that start `rrtf` in a process again and again.

Importing torch, transformers and TRL takes ten times as long as what most of these tests look at. So one process
imports them, once for all tests, and every command is a fork of it: a process of its own, with the folder, the
environment, the arguments and the streams that it was started with. What a command is called with, prints and
returns is the same as with ``sys.executable``; what is not the same is the seed of ``hash()``, what a library read
from the environment when it was imported, that the caller's child is :data:`CLIENT`, which hands signals on, and
that modules are not taken apart at the end, which takes seconds. Where a test is about one of these, or looks at a
process from outside, it uses ``sys.executable``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NoReturn

# Of rrtf-trl nothing: whatever looks at the arguments, the environment or the plugins is imported by the command.
LIBRARIES = (
    "torch.distributed.run", "torch._inductor.lowering", "transformers.trainer", "transformers.generation",
    "transformers.models.llama.modeling_llama", "transformers.modeling_layers", "trl.trainer.base_trainer",
    "trl.trainer.utils", "datasets", "accelerate.commands.launch", "peft", "bitsandbytes", "deepspeed",
    "matplotlib.figure", "matplotlib.backends.backend_svg", "hydra", "omegaconf", "rich.progress", "pluggy", "trackio",
    "optuna",
)  # fmt: skip
_running: list[subprocess.Popen[bytes]] = []  # kept, or their standard input would be closed
CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"f"], [0, 1, 2])
server.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\n")
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: server.sendall(bytes([number])))
status = int(server.recv(16) or -signal.SIGKILL)
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@functools.cache
def python() -> str:
    """Return the path of the Python to start; the first call starts the process that others are forked from.

    Beside it lies ``rrtf``, which does what the installed one does. On a machine with an Nvidia card it is
    ``sys.executable``: CUDA does not survive a fork.
    """
    if shutil.which("nvidia-smi"):
        return sys.executable
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    address = str(folder / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    # It ends, and takes the folder away, with the process that holds the other end of its standard input.
    server = subprocess.Popen(
        [sys.executable, __file__, str(listener.fileno()), str(folder)],
        stdin=subprocess.PIPE,
        pass_fds=[listener.fileno()],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    listener.close()
    _running.append(server)
    client = folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    command = folder / "rrtf"
    command.write_text(f'#!/bin/sh\nexec {client} {Path(sys.executable).with_name("rrtf")} "$@"\n')
    command.chmod(0o755)
    return str(client)


def serve(listener: socket.socket, folder: str) -> list[str]:
    """Fork a process for each request; return, in each of these, the arguments of the Python that it has to be."""
    gc.disable()  # it would look, again and again, at what stays
    for library in LIBRARIES:
        with contextlib.suppress(ModuleNotFoundError):  # an extra that is not installed
            importlib.import_module(library)
    own = str(os.getpid())
    threads = {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir() if task.name != own}
    assert threads <= {"jemalloc_bg_thd"}, "a fork would lose threads"  # that one, of pyarrow, knows of forks
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return answer(connection)
        connection.close()


def answer(connection: socket.socket) -> list[str]:
    """Become what a client asks for in a child, and stay behind to hand on its signals and the child's status."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    arguments, folder, environment = json.loads(connection.makefile("rb", buffering=0).readline())
    child = os.fork()
    if child == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return list(arguments)
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    ended = os.pidfd_open(child)
    while ended not in select.select([connection, ended], [], [])[0]:
        number = connection.recv(1)
        os.kill(child, number[0] if number else signal.SIGKILL)  # nothing: the client is gone
        if not number:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def run(arguments: list[str]) -> None:
    """Do what ``python ARGUMENTS`` does."""
    if unbuffered := arguments[0] == "-u":
        arguments = arguments[1:]
    if unbuffered or os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    form = arguments[0] if arguments[0] in ("-m", "-c") else ""
    what, sys.argv = arguments[1 if form else 0], arguments[1 if form else 0 :]
    first = os.getcwd() if form else str(Path(what).resolve().parent)
    more = list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    sys.path[:1] = [first, *more]
    for customizing in (Path(path) / "sitecustomize.py" for path in more):
        if customizing.is_file():
            runpy.run_path(str(customizing))
    if form == "-m":
        sys.modules.pop(what, None)
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif form == "-c":
        sys.argv[0] = "-c"
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(what, run_name="__main__")


def end(error: BaseException | None) -> NoReturn:
    """End the process as Python does, but for taking its modules apart."""
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    elif error is not None:
        status = 1
        sys.excepthook(type(error), error, error.__traceback__)
    else:
        status = 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status & 0xFF)


if __name__ == "__main__":
    told = serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
    try:
        run(told)
    except BaseException as error:
        end(error)
    end(None)

"""The program's process: runs one untrusted program and answers calls until it is killed.

Nothing here protects the outcome. From its first line on, the program can change anything in this process; all that
it can do is send data, which the judge reads as the program's answers. No test and no expected value is ever sent
here.

The judge accepts data of this process alone, and one answer to each request; a process that the program forked and
that returns from it ends.

A request is a JSON object, an answer a JSON list ``[number, kind, payload]``; :mod:`..judge.session` is the other end.
The first request holds the program, and calls to make at once; each later one an operation.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import importlib.machinery
import os
import resource
import signal
import socket
import sys
import types
from binascii import a2b_base64
from os import closerange, dup2  # by name: an attribute lookup costs a child a page
from resource import setrlimit
from typing import Any, NamedTuple

from ..common import codec, protocol
from ..common.interpreter import ENVIRONMENT
from ..isolation import linux, tiers
from . import script, weak
from .objects import Objects

CHANNEL = 3
_TEXT = 4
"""The descriptor of a whole program's text where it can write no file."""
_ENVIRONMENT = {
    "HOME": "",
    "LANG": "C.UTF-8",
    "LOGNAME": "user",
    "PATH": ":".join([os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin"]),
    "PWD": "",
    "SHELL": "/bin/sh",
    "TERM": "dumb",
    "TMPDIR": "/tmp",
    "USER": "user",
    **ENVIRONMENT,
}
"""What a whole program finds in its environment; those that are empty are its folder."""
_CPU = resource.RLIMIT_CPU


class Kit(NamedTuple):
    """What the fork server prepares for its children, since what a child makes or looks up costs it copies of pages.

    Args:
        channel: Over descriptor ``CHANNEL``, which each child replaces by its own.
        cpu_limit: Soft and hard limit of processor time, seconds.
        in_namespaces: Whether the fork server is process 1 of namespaces of its own.
        child_filter: A system call filter that a child must apply to itself; None for none.
    """

    channel: protocol.Channel
    cpu_limit: tuple[int, int]
    in_namespaces: bool
    child_filter: bytes | None


def open_channel() -> protocol.Channel:
    """Return a channel over descriptor ``CHANNEL``, which must be free, and which children replace by their own."""
    stream = socket.socket(socket.AF_UNIX)  # has the lowest free number
    if stream.fileno() != CHANNEL:
        raise OSError(f"descriptor {CHANNEL} is in use")
    return protocol.Channel(stream)


def make_kit(channel: protocol.Channel, isolation: tiers.Isolation, cpu_seconds: int) -> Kit:
    """Return what every child needs.

    Args:
        channel: Result of :func:`open_channel`.
        isolation: That of the fork server.
        cpu_seconds: Processor time after which the kernel ends a program.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    hard = cpu_seconds + 1 if most == resource.RLIM_INFINITY else min(cpu_seconds + 1, most)
    return Kit(channel, (min(cpu_seconds, hard), hard), isolation.namespaces is not None, isolation.child_filter)


def become(kit: Kit, descriptors: list[int]) -> int:
    """Turn this new child of the fork server into the program's process; return its exit status.

    Args:
        kit: Result of :func:`make_kit`.
        descriptors: The channel to the judge; for a whole program also its stdin and stdout.
    """
    channel, cpu_limit, in_namespaces, child_filter = kit
    whole_program = len(descriptors) == 3
    if whole_program:
        dup2(descriptors[1], 0)
        dup2(descriptors[2], 1)
        # As to a pipe: what others write to it by another descriptor stays.
        fcntl.fcntl(1, fcntl.F_SETFL, os.O_APPEND)
    dup2(descriptors[0], CHANNEL, False)  # not inherited by what the program executes
    closerange(CHANNEL + 1, 256)
    if whole_program and not in_namespaces and sys.platform == "linux":
        os.dup2(os.memfd_create("solution"), _TEXT)
    if not in_namespaces:
        os.setsid()
        if sys.platform == "linux":
            linux.die_with_parent(signal.SIGKILL)  # in namespaces all processes end with process 1
    setrlimit(_CPU, cpu_limit)
    if in_namespaces:
        linux.drop_capabilities()
    if child_filter is not None:
        linux.install_filter(child_filter)

    request = codec.parse(channel.receive(protocol.MAX_JOB_FRAME))
    # From here on the judge accepts data of this process only. Sent earlier, this frame would wake the judge before
    # there is anything to do, which on a busy machine takes longer than the rest.
    channel.send(b"")
    if whole_program:
        return _run_program(channel, request, in_namespaces)
    if "weak" in request:
        weak.run(channel, request)
    else:
        serve(channel, request)
    os._exit(0)  # faster than the interpreter's own end, which only whole programs need


def serve(channel: protocol.Channel, request: dict[str, Any]) -> None:
    """Execute the program, then run the tests' script, or answer requests until the judge closes."""
    number = request["id"]
    module = types.ModuleType("solution")
    objects = Objects(module, channel)
    failure = _execute(request["code"], module)
    objects.end_if_forked()
    if failure is not None:
        stage, error = failure
        channel.send(codec.dump([number, "f", [stage, script.describe(error)]]))
        return
    frame = codec.dump([number, "l", [name for name in request["names"] if hasattr(module, name)]])
    if "script" in request:
        waiting = len(frame).to_bytes(4, "big") + frame
        script.run(channel, module, a2b_base64(request["script"]), number + 1, waiting)
        return
    channel.send(frame)
    try:
        while True:
            objects.serve(codec.parse(channel.receive(protocol.MAX_JOB_FRAME)))
    except protocol.Closed:
        return


def _run_program(channel: protocol.Channel, request: dict[str, Any], in_namespaces: bool) -> int:
    """Run a whole program as ``python solution.py`` does, in the current folder; return its exit status."""
    source, folder = request["code"], os.getcwd()
    path = f"{folder}/solution.py" if in_namespaces else f"/proc/self/fd/{_TEXT}"
    with contextlib.suppress(OSError), open(path, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(source)
    os.environ.update({name: value or folder for name, value in _ENVIRONMENT.items()})
    sys.argv = [os.path.basename(path)] if in_namespaces else [path]
    sys.path.insert(0, folder)
    module = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    more = {
        "__annotations__": {},
        "__builtins__": builtins,
        "__cached__": None,
        "__file__": path,
        "__loader__": loader,
    }
    vars(module).update(more)
    failure = _execute(source, module, path)
    if failure is None:
        channel.stream.detach()  # it closes with the process, which shows the judge the end
        return 0  # the interpreter now ends: it joins threads, runs atexit, flushes stdout
    stage, error = failure
    if isinstance(error, SystemExit):
        channel.stream.detach()
        raise error
    channel.send(codec.dump([request["id"], "f", [stage, script.describe(error)]]))
    return 1


def _execute(source: str, module: types.ModuleType, path: str = "<solution>") -> tuple[str, BaseException] | None:
    """Execute the program as ``module``; return the stage that failed and the exception, or None."""
    sys.modules[module.__name__] = module
    stage = "compile"
    try:
        code = compile(source.removeprefix("\ufeff"), path, "exec", dont_inherit=True)
        stage = "load"
        exec(code, module.__dict__)
    except BaseException as error:
        return stage, error
    return None

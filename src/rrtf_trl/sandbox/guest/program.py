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

import _signal  # type: ignore[import-not-found]  # signal wraps it in enumerations, and takes five times as long
import contextlib
import os
import resource
import signal
import socket
import sys
import time
import types
from os import closerange, dup2  # by name: an attribute lookup costs a child a page
from resource import setrlimit
from typing import Any, NamedTuple

from ..common import codec, protocol
from ..common.report import EXIT_OUT_OF_TIME
from ..isolation import linux, tiers
from . import weak
from .objects import OPERATIONS, Objects

CHANNEL = 3
_CPU = resource.RLIMIT_CPU
_FLUSH_BYTES, _FLUSH_SECONDS = 65536, 0.005


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
    return Kit(channel, (min(cpu_seconds, hard), hard), isolation.namespaces, isolation.child_filter)


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
    dup2(descriptors[0], CHANNEL, False)  # not inherited by what the program executes
    closerange(CHANNEL + 1, 256)
    if not in_namespaces:
        os.setsid()
        if sys.platform == "linux":
            linux.die_with_parent(signal.SIGKILL)  # in namespaces all processes end with process 1
    setrlimit(_CPU, cpu_limit)
    if child_filter is not None:
        linux.install_filter(child_filter)

    request = codec.parse(channel.receive(protocol.MAX_JOB_FRAME))
    # From here on the judge accepts data of this process only. Sent earlier, this frame would wake the judge before
    # there is anything to do, which on a busy machine takes longer than the rest.
    channel.send(b"")
    if whole_program:
        return _run_program(channel, request)
    if "weak" in request:
        weak.run(channel, request)
    else:
        serve(channel, request)
    os._exit(0)  # faster than the interpreter's own end, which only whole programs need


def serve(channel: protocol.Channel, request: dict[str, Any]) -> None:
    """Execute the program, make the calls of its request, and answer further requests until the judge closes."""
    number = request["id"]
    module = types.ModuleType("solution")
    objects = Objects(module, channel)
    failure = _execute(request["code"], module)
    objects.end_if_forked()
    if failure is not None:
        stage, error = failure
        channel.send(codec.dump([number, "f", [stage, objects.describe(error)]]))
        return
    names = {name: objects.refer(getattr(module, name)) for name in request["names"] if hasattr(module, name)}
    _answer_all(channel, objects, codec.dump([number, "l", names]), request["calls"], number)
    try:
        while True:
            objects.serve(codec.parse(channel.receive(protocol.MAX_JOB_FRAME)))
    except protocol.Closed:
        return


def _answer_all(channel: protocol.Channel, objects: Objects, first: bytes, calls: list[Any], number: int) -> None:
    """Make the calls of the first request; send their answers together, or part by part where they take long."""
    waiting = len(first).to_bytes(4, "big") + first
    sent, now = time.monotonic(), time.monotonic

    def send_and_end(*_: object) -> None:
        """Processor time is used up: send the answers so far, which count."""
        with contextlib.suppress(protocol.Closed):
            channel.send_all(waiting)
        os._exit(EXIT_OUT_OF_TIME)

    if calls:
        _signal.signal(signal.SIGXCPU, send_and_end)
    for name, args, kwargs in calls:
        number += 1
        frame = objects.answer(number, OPERATIONS["call"], ["h", ["g", name]], args, kwargs)
        waiting += len(frame).to_bytes(4, "big") + frame
        if len(waiting) > _FLUSH_BYTES or now() - sent > _FLUSH_SECONDS:
            channel.send_all(waiting)
            waiting, sent = b"", now()
    if calls:
        _signal.signal(signal.SIGXCPU, _signal.SIG_DFL)
    channel.send_all(waiting)


def _run_program(channel: protocol.Channel, request: dict[str, Any]) -> int:
    sys.argv = ["solution.py"]
    module = types.ModuleType("__main__")
    failure = _execute(request["code"], module)
    if failure is None:
        channel.stream.detach()  # it closes with the process, which shows the judge the end
        return 0  # the interpreter now ends: it joins threads, runs atexit, flushes stdout
    stage, error = failure
    if isinstance(error, SystemExit):
        channel.stream.detach()
        raise error
    channel.send(codec.dump([request["id"], "f", [stage, Objects(module, channel).describe(error)]]))
    return 1


def _execute(source: str, module: types.ModuleType) -> tuple[str, BaseException] | None:
    """Execute the program as ``module``; return the stage that failed and the exception, or None."""
    sys.modules[module.__name__] = module
    stage = "compile"
    try:
        code = compile(source.removeprefix("\ufeff"), "<solution>", "exec", dont_inherit=True)
        stage = "load"
        exec(code, module.__dict__)
    except BaseException as error:
        return stage, error
    return None

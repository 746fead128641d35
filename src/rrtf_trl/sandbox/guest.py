"""The candidate's process: runs one untrusted program and answers calls until it is killed.

Nothing here protects the verdict. From the first line of the program on, this process belongs to the program,
and all it can do is send data, which the judge reads as the program's answer and nothing more. No test and no
expected value is ever sent here.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import types
from typing import Any

from . import codec, isolation, protocol

CHANNEL = 3


def become(walls: isolation.Walls, order: dict[str, Any], descriptors: list[int]) -> int:
    """Turn this fresh child of the fork server into the candidate's process; return its exit status.

    Args:
        walls: What holds for the fork server.
        order: ``cpu`` in seconds and ``memory`` in MiB.
        descriptors: The channel to the judge; for a whole program also its stdin and stdout.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    nothing = os.open("/dev/null", os.O_RDWR)
    wanted = [nothing, nothing, nothing, descriptors[0]]
    whole_program = len(descriptors) == 3
    if whole_program:
        wanted[:2] = descriptors[1:]
    high = [fcntl.fcntl(number, fcntl.F_DUPFD, 64) for number in wanted]
    for target, number in enumerate(high):
        os.dup2(number, target, inheritable=target < CHANNEL)
    os.closerange(CHANNEL + 1, 1024)
    isolation.confine(walls, order["cpu"], order["memory"])

    channel = protocol.Channel(socket.socket(fileno=CHANNEL))
    request = codec.decode(channel.receive(protocol.MAX_JOB_FRAME))
    if whole_program:
        return _run_program(channel, request)
    _serve(channel, request)
    os._exit(0)  # nobody waits for the tidy end of a module that only served calls


def _serve(channel: protocol.Channel, request: dict[str, Any]) -> None:
    module = _load(channel, request, "solution")
    if module is None:
        return
    found = {name: getattr(module, name, None) for name in request["names"]}
    reply = {
        "nonce": request["nonce"],
        "callables": [name for name, value in found.items() if callable(value)],
        "classes": [name for name, value in found.items() if isinstance(value, type)],
    }
    channel.send(codec.encode(reply))
    while True:
        try:
            call = codec.decode(channel.receive(protocol.MAX_JOB_FRAME))
        except protocol.Closed:
            return
        channel.send(_answer(module, call))


def _answer(module: types.ModuleType, call: dict[str, Any]) -> bytes:
    nonce = call["nonce"]
    try:
        value = getattr(module, call["name"])(*call["args"], **call["kwargs"])
    except BaseException as error:
        return codec.encode({"nonce": nonce, "error": _describe(error)})
    try:
        frame = codec.encode({"nonce": nonce, "value": value})
    except codec.Refused as error:
        return codec.encode({"nonce": nonce, "refused": str(error)})
    except BaseException as error:
        return codec.encode({"nonce": nonce, "error": _describe(error)})
    if len(frame) > protocol.MAX_FRAME:
        return codec.encode({"nonce": nonce, "refused": f"an answer of {len(frame)} bytes"})
    return frame


def _run_program(channel: protocol.Channel, request: dict[str, Any]) -> int:
    sys.argv = ["solution.py"]
    if _load(channel, request, "__main__") is None:
        return 1
    return 0  # the interpreter now ends as usual: threads are joined, atexit runs, stdout is flushed


def _load(channel: protocol.Channel, request: dict[str, Any], name: str) -> types.ModuleType | None:
    """Execute the program as module ``name``; tell the judge and return None where that fails."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    stage = "compile"
    try:
        code = compile(request["code"], "<solution>", "exec", dont_inherit=True)
        stage = "load"
        exec(code, module.__dict__)
    except BaseException as error:
        if name == "__main__" and isinstance(error, SystemExit):
            raise
        reply = {"nonce": request["nonce"], "stage": stage, "error": _describe(error)}
        channel.send(codec.encode(reply))
        return None
    return module


def _describe(error: BaseException) -> list[Any]:
    """Return the built-in classes of an exception, nearest first, and its text."""
    names = [base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"]
    try:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    except BaseException:
        text = type(error).__name__
    return [names, text[:300]]

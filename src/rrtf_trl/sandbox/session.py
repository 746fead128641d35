"""The judge's end of the channel to one candidate process.

Every byte that comes from there is hostile: a reply counts only if it is a well-formed frame that carries the
nonce drawn for this very call, so nothing sent before the call was made can answer it.
"""

from __future__ import annotations

import builtins
import json
import math
import os
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any, Literal

from . import codec, protocol

FaultKind = Literal["timeout", "memory", "refused", "ended", "raised", "unsupported"]

_NEVER_RAISED = {
    "AssertionError",
    "StopIteration",
    "StopAsyncIteration",
    "GeneratorExit",
    "SystemExit",
    "KeyboardInterrupt",
}
"""Exceptions of the program that would mean something else inside a test: a verdict, or the end of a loop."""


class Fault(BaseException):
    """The program failed a call in a way that no test may swallow.

    Args:
        kind: ``timeout``, ``memory``, ``refused`` (it broke the protocol, or
            the test passes what cannot cross), ``ended`` (its process is gone),
            ``raised`` (an exception that is not passed on by its own type), ``unsupported`` (an
            answer that cannot cross).
        text: What happened, for people.
    """

    def __init__(self, kind: FaultKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text

    @property
    def fatal(self) -> bool:
        """Whether the program can take no further call."""
        return self.kind in ("timeout", "memory", "refused", "ended")


class LoadError(Exception):
    """The program does not compile (``stage`` is ``compile``) or fails while its module runs (``load``)."""

    def __init__(self, stage: str, text: str) -> None:
        super().__init__(text)
        self.stage = stage


class Broken(Exception):
    """Our own machinery failed; says nothing about the program."""


@dataclass(frozen=True)
class Limits:
    """What one job may use.

    Args:
        cpu: Processor time, seconds.
        deadline: When it must be over, in :func:`time.monotonic` seconds.
        memory_mb: Address space of its process, MiB.
        output_bytes: What a whole program may print, bytes.
    """

    cpu: float
    deadline: float
    memory_mb: int
    output_bytes: int


class Session:
    """One program in one process, started on creation.

    Args:
        control: The socket to the fork server.
        limits: What the program may use.
        files: For a whole program, its stdin and stdout as open descriptors.
    """

    def __init__(self, control: socket.socket, limits: Limits, files: tuple[int, ...] = ()) -> None:
        self._control = control
        self._limits = limits
        ours, theirs = socket.socketpair()
        self._channel = protocol.Channel(ours, limits.deadline)
        order = {"op": "run", "cpu": max(1, math.ceil(limits.cpu)), "memory": limits.memory_mb}
        with theirs:
            try:
                socket.send_fds(control, [json.dumps(order).encode()], [theirs.fileno(), *files])
            except OSError as error:
                raise Broken(f"the fork server is gone: {error}") from error
        self.calls = 0
        self._last_call: tuple[str, Any, Any] | None = None
        self._last_answer: tuple[Any] | None = None
        self.fault: Fault | None = None
        """The last fault, even if the test swallowed it; whoever runs the tests looks here and clears it."""
        self._end: Fault | None = None
        self.classes: set[str] = set()

    def load(self, code: str, names: list[str]) -> set[str]:
        """Have the program executed as a module; return those of ``names`` that it defines as callables.

        Raises:
            LoadError: If it does not compile, or its module ends in an exception.
            Fault: If the process ends, hangs or breaks the protocol.
        """
        reply = self._exchange({"code": code, "names": names})
        if "stage" in reply:
            raise self._load_error(reply)
        found, classes = reply.get("callables"), reply.get("classes")
        if not isinstance(found, list) or not isinstance(classes, list):
            raise self._fail("refused", "a reply of the wrong shape")
        self.classes = set(names).intersection(classes)
        return set(names).intersection(found)

    def run_program(self, code: str) -> None:
        """Have the program executed as ``__main__`` to its end; returns when its process has ended with 0.

        Raises:
            LoadError: If it does not compile, or ends in an exception or with another status.
            Fault: If it hangs, is killed or breaks the protocol.
        """
        nonce = os.urandom(8).hex()
        self._send({"nonce": nonce, "code": code})
        try:
            reply = self._receive(nonce)
        except protocol.Closed:
            report = self._report(self._limits.deadline)
            if report is not None and report["exit"] == 0:
                return
            fault = self._why(report)
            if fault.kind == "ended":
                raise LoadError("load", fault.text) from None
            raise fault from None
        raise self._load_error(reply)

    def call(self, name: str, args: Any, kwargs: Any) -> Any:
        """Call a function of the program and return its answer, by value.

        Raises:
            Exception: A built-in exception that the program raised.
            Fault: Anything else that kept it from answering.
        """
        if self._end is not None:
            raise self._remember(self._end)
        self.calls += 1
        self._last_call, self._last_answer = (name, args, kwargs), None
        try:
            reply = self._exchange({"name": name, "args": tuple(args), "kwargs": kwargs})
        except codec.Refused as error:
            raise self._fail("refused", f"the test passes {error}, which cannot cross to the program") from None
        if "value" in reply:
            self._last_answer = (reply["value"],)
            return reply["value"]
        if "refused" in reply:
            raise self._fail("unsupported", f"the answer is {str(reply['refused'])[:100]}, which is not plain data")
        if "error" in reply:
            names, text = self._error(reply["error"])
            if "MemoryError" in names:
                raise self._fail("memory", text)
            raise self._as_builtin(names, text)
        raise self._fail("refused", "a reply of the wrong shape")

    def last_call(self) -> str:
        """The latest call and its answer, for people; empty before the first call."""
        if self._last_call is None:
            return ""
        name, args, kwargs = self._last_call
        shown = [short(arg, 60) for arg in args] + [f"{key}={short(value, 60)}" for key, value in kwargs.items()]
        answer = f" returned {short(self._last_answer[0])}" if self._last_answer is not None else ""
        return f"{name}({', '.join(shown)}){answer}"

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        nonce = os.urandom(8).hex()
        try:
            self._send({"nonce": nonce, **request})
            return self._receive(nonce)
        except protocol.Closed:
            # Its end is reported within moments; a program that only closed the channel counts as gone.
            raise self._remember(self._why(self._report(time.monotonic() + 1))) from None

    def _send(self, request: dict[str, Any]) -> None:
        try:
            self._channel.send(codec.encode(request))
        except TimeoutError:
            raise self._fail("timeout", "no answer in time") from None

    def _receive(self, nonce: str) -> dict[str, Any]:
        try:
            reply = codec.decode(self._channel.receive())
        except TimeoutError:
            raise self._fail("timeout", "no answer in time") from None
        except (codec.Malformed, protocol.TooLarge) as error:
            raise self._fail("refused", f"the program wrote to the judge's channel: {error}") from None
        except MemoryError:
            raise self._fail("refused", "an answer too large to read") from None
        if not isinstance(reply, dict) or reply.get("nonce") != nonce:
            raise self._fail("refused", "the program wrote to the judge's channel: a reply to no call")
        return reply

    def _report(self, deadline: float) -> dict[str, Any] | None:
        """How the process ended, told by the fork server, not by the program; None if it still lives."""
        return _receive_note(self._control, deadline)

    def _why(self, report: dict[str, Any] | None) -> Fault:
        if report is None:
            in_time = time.monotonic() < self._limits.deadline
            return Fault("ended", "the program closed its channel") if in_time else Fault("timeout", "no end in time")
        status = report["exit"]
        if status == -signal.SIGXCPU or (status == -signal.SIGKILL and report["cpu"] >= self._limits.cpu):
            return Fault("timeout", f"used up {report['cpu']:.1f} s of processor time")
        if status < 0 and report["peak_mb"] > 0.8 * self._limits.memory_mb:
            return Fault("memory", f"was killed at {report['peak_mb']} MiB")
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        return Fault("ended", f"the program {how}")

    def _load_error(self, reply: dict[str, Any]) -> LoadError:
        names, text = self._error(reply.get("error"))
        if "MemoryError" in names and reply.get("stage") == "load":
            raise self._fail("memory", text)
        return LoadError("compile" if reply.get("stage") == "compile" else "load", text)

    def _error(self, error: Any) -> tuple[list[str], str]:
        if isinstance(error, list) and len(error) == 2 and isinstance(error[0], list) and isinstance(error[1], str):
            return [name for name in error[0][:20] if isinstance(name, str)], error[1][:300]
        raise self._fail("refused", "a reply of the wrong shape")

    def _as_builtin(self, names: list[str], text: str) -> BaseException:
        """The exception to raise in the test for one that the program raised."""
        for name in names:
            if name in _NEVER_RAISED:
                break
            kind = getattr(builtins, name, None)
            if isinstance(kind, type) and issubclass(kind, Exception):
                try:
                    return kind(text.partition(": ")[2])
                except TypeError:  # a few take more arguments; their base class will do
                    continue
        return self._fail("raised", text)

    def _fail(self, kind: FaultKind, text: str) -> Fault:
        return self._remember(Fault(kind, text))

    def _remember(self, fault: Fault) -> Fault:
        self.fault = fault
        if fault.fatal:
            self._end = fault
        return fault


def end_program(control: socket.socket) -> None:
    """Have the fork server kill whatever still runs and clean up after it; returns when that is done.

    Raises:
        Broken: If it does not answer.
    """
    deadline = time.monotonic() + 15
    control.settimeout(15)
    try:
        control.send(json.dumps({"op": "end"}).encode())
    except OSError as error:
        raise Broken(f"the fork server is gone: {error}") from error
    while True:
        note = _receive_note(control, deadline)
        if note is None:
            raise Broken("the fork server does not answer")
        if "ended" in note:
            return


def _receive_note(control: socket.socket, deadline: float) -> dict[str, Any] | None:
    control.settimeout(max(0.001, deadline - time.monotonic()))
    try:
        data = control.recv(4096)
    except TimeoutError:
        return None
    except OSError as error:
        raise Broken(f"the fork server is gone: {error}") from error
    if not data:
        raise Broken("the fork server is gone")
    note: dict[str, Any] = json.loads(data)
    return note


def short(value: Any, limit: int = 150) -> str:
    """Return a value's ``repr``, cut to ``limit`` characters without building all of a large one."""
    if isinstance(value, str | bytes | list | tuple) and len(value) > limit:
        return repr(value[:limit])[:limit] + "..."
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python likes to print
        text = f"<{type(value).__name__} too long to print>"
    return cut(text, limit)


def cut(text: str, limit: int = 300) -> str:
    """Return at most ``limit`` characters of a text, marked where some are missing."""
    return text if len(text) <= limit else text[:limit] + "..."

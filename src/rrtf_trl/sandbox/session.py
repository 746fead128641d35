"""The judge's end of the channel to one candidate process.

Every byte that comes from there is hostile: an answer counts only if it is a well-formed frame with the number
of the request that it answers, and all that it can say is plain data, an exception by the name of a built-in,
or a reference to something of its own.

A program has one try a question. Only its first process is heard (:mod:`.protocol`); a question has a number that
nobody can guess before it is asked; the first answer decides; and when the program has been killed and all of its
processes are gone, so that nothing can come any more, the channel must hold no other one (:meth:`Session.end`).
"""

from __future__ import annotations

import builtins
import contextlib
import signal
import sys
from json import dumps  # these by name: tests may patch the modules
from os import urandom
from typing import Any

from . import codec, protocol
from .faults import Broken, Diverged, Fault, FaultKind, Limits, LoadError
from .forkserver import Report
from .guest import EXIT_OUT_OF_TIME
from .lent import Lent, standard_name
from .messages import short
from .raised import Raised
from .remote import BORROWED, EXPECTED, UNKNOWN, Remote, RemoteCoroutine
from .server import ForkServer
from .trace import Trace, call_frame, put_back

_KINDS = {"function", "class", "iterator", "coroutine", "module", "object", "value", "exception"}
_ARITHMETIC = {"add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow"}
_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""Signals that end a process on behalf of others, as far as anyone can tell."""
_MAX_SAID = 128 * 2**20
"""What a program may send in all, bytes: an iterator without end must not fill the judge's memory."""
_USED_UP = 0.9
"""The part of the processor time allowed that a program has used up which was killed for using all."""


class Session:
    """One program in one process, started on creation.

    Args:
        server: An idle fork server.
        limits: What the program may use.
        trace: Calls to make at once with the program, and what may come of its functions.
        files: For a whole program, its stdin and stdout as open descriptors.
    """

    def __init__(self, server: ForkServer, limits: Limits, trace: Trace, files: tuple[int, ...] = ()) -> None:
        self._server = server
        self._limits = limits
        self._trace = trace
        self._channel = protocol.Channel(server.run(files), one_sender=True)
        self._greeted = False
        self._loaded = False
        self._module = Remote(self, ["m", ""], "module", "module", EXPECTED)
        self._first = _fresh_number()
        """The number of the first request; those that are asked ahead follow it."""
        self._asked_ahead = 0
        self._awaited = 0
        """The number of the request that is to be answered next; 0 for none."""
        self._said = 0
        self._answering: tuple[str, Any] = ("", None)
        self._objects_seen: list[str] = []
        self._raised = Raised(self._fail)
        self._lent = Lent(self, self._fail)
        self._last_call: tuple[str, Any, Any] | None = None
        self._last_answer: tuple[Any] | None = None
        self._end: BaseException | None = None
        self._report: Report | None = None
        self.calls = 0
        self.said_too_much = False
        """Whether the program sent more than one answer to each question, known after :meth:`end`."""
        self.accident = False
        """Whether the end may have been an accident of the machine: the process was killed by nobody knows whom."""
        self.diverged = False
        self.broken: Broken | None = None
        """Our own failure, even if the test swallowed it: then no verdict holds."""
        self.fault: Fault | None = None
        """The last fault, even if the test swallowed it; whoever runs the tests looks here and clears it."""

    # -- The program -----------------------------------------------------------------------------------

    def load(self, code: str, names: list[str]) -> dict[str, Any]:
        """Have the program executed as a module; return those of ``names`` that it defines, as the tests see them.

        Raises:
            LoadError: If it does not compile, or its module ends in an exception.
            Fault: If the process ends, hangs or breaks the protocol.
        """
        self._asked_ahead = len(self._trace.frames)
        request = b'{"id":%d,"names":%b,"calls":%b,"code":%b}'
        named = dumps(names).encode("ascii")
        self._send(request % (self._first, named, self._trace.calls, dumps(code).encode("ascii")))
        kind, payload = self._exchange(self._first)
        if kind == "f":
            raise self._raised.load_error(payload)
        if kind != "l" or not isinstance(payload, dict):
            raise self._fail("refused", "a reply of the wrong shape")
        self._loaded = True
        found: dict[str, Any] = {}
        for name in names:
            if name in payload:
                value = self._global(name, payload[name])
                # A module that the program imports is not of its making, and must not be had from its hands.
                if not (isinstance(value, Remote) and value._kind == "module"):
                    found[name] = value
        return found

    def run_program(self, code: str) -> None:
        """Have the program executed as ``__main__`` to its end; returns when its process has ended with 0.

        Raises:
            LoadError: If it does not compile, or ends in an exception or with another status.
            Fault: If it hangs, is killed or breaks the protocol.
        """
        self._send(codec.dump({"id": self._first, "code": code}))
        try:
            kind, payload = self._receive(self._first)
        except protocol.Closed:
            fault = self._why()
            if fault is None:
                return
            if fault.kind == "ended":
                raise LoadError("load", fault.text) from None
            raise self._remember(fault) from None
        if kind != "f":
            raise self._fail("refused", "a reply of the wrong shape")
        raise self._raised.load_error(payload)

    def run_weak(self, request: dict[str, Any]) -> Any:
        """Have the program's own process run the tests, and return what it says of them."""
        self._send(codec.dump({"id": self._first, **request}))
        kind, payload = self._exchange(self._first)
        if kind == "f":
            raise self._raised.load_error(payload)
        return payload

    def expect_no_more(self) -> None:
        """Note that the tests are done; raises Diverged if more was asked ahead than they wanted to know."""
        if self._asked_ahead:
            raise self._diverge()

    def end(self) -> None:
        """Have the process killed and cleaned up after, and look at what it still said."""
        try:
            self._report = self._server.end() or self._report
            self.said_too_much = not self._is_awaited(*self._channel.left_over())
        finally:
            self._channel.close()

    def _is_awaited(self, frames: list[bytes], in_part: bool) -> bool:
        """Whether what is left in the channel is what was asked and never looked at, and no more."""
        last = self._first + len(self._trace.frames)
        numbers = [*([self._awaited] if self._awaited else []), *range(last - self._asked_ahead + 1, last + 1)]
        for frame, number in zip(frames, numbers, strict=False):
            with contextlib.suppress(codec.Malformed):
                reply = codec.parse(frame)
                if type(reply) is list and len(reply) == 3 and reply[0] in (number, 0):
                    continue
            return False
        return len(frames) + in_part <= len(numbers)

    # -- Operations ------------------------------------------------------------------------------------

    def ask(self, operation: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Have the program carry out an operation and return the answer, by value or as a handle.

        Raises:
            Exception: A built-in exception that the program raised.
            Fault: Anything else that kept it from answering.
            Diverged: If this is not what was asked ahead.
        """
        if self._end is not None:
            if isinstance(self._end, Fault):
                self.fault = self._end
            raise self._end
        self.calls += 1
        name = target._reference[1] if isinstance(target, Remote) and target._reference[0] == "g" else ""
        if operation == "call":
            self._last_call, self._last_answer = (name or "the object", args, kwargs), None
            if target._origin == BORROWED and (args or kwargs):
                text = f"the test passes data to a method of an object that {self._why_unexpected()}"
                raise self._fail("unsupported", f"{text}, which would be the program's word")
        try:
            if self._asked_ahead:
                answer = self._answer_ahead(operation, name, args, kwargs)
            else:
                changed = self._trace.changed.get(name, []) if operation == "call" else []
                answer = self._ask_now(operation, target, args, kwargs, changed)
        except codec.Refused as error:
            raise self._fail("refused", f"the test passes {error}, which cannot cross to the program") from None
        value = self._read(answer, operation, target)
        if self._objects_seen:
            if self._asked_ahead:
                raise self._diverge()  # what is done with it comes before the calls that were made already
            if operation == "call" and name in self._trace.facts().plain:
                seen = self._objects_seen[0]
                raise self._fail("unsupported", f"the answer is an object of class {seen}, which is not plain data")
        self._last_answer = (value,)
        return value

    def attribute(self, name: str) -> Any:
        """A name of the program's module: a handle, a plain value, or a stand-in for an exception class."""
        value = self.ask("getattr", self._module, name)
        if isinstance(value, Remote):
            return self._handle(value._kind, name, None, ["g", name], self._trace.origin(name, value._kind))
        return value

    def public_names(self) -> list[str]:
        """The names that ``from solution import *`` brings.

        They must not cover what the tests have of elsewhere: with a reference, they are those that it has too;
        without one, no built-in's and no module's name, and nothing that looks like a test.
        """
        names = self.ask("public", self._module)
        names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        known = self._trace.facts().names
        if known:
            return [name for name in names if name in known]
        taken = sys.stdlib_module_names | {"pytest", "solution"}
        return [
            name
            for name in names
            if not hasattr(builtins, name) and name not in taken and not name.lower().startswith(("test", "pytest"))
        ]

    def set_attribute(self, name: str, value: Any) -> None:
        """Set a name of the program's module."""
        self.ask("setattr", self._module, name, value)

    @property
    def stopped_by(self) -> Fault | None:
        """The fault after which the program could take no further call."""
        return self._end if isinstance(self._end, Fault) else None

    def unsupported(self, text: str) -> Fault:
        """Note that the test needs what cannot be judged, and return the fault to raise."""
        return self._fail("unsupported", text)

    def expire(self, fault: Fault) -> Fault:
        """Note that time or memory is up, and return the fault to raise."""
        return self._remember(fault)

    def last_call(self) -> str:
        """The latest call and its answer, for people; empty before the first call."""
        if self._last_call is None:
            return ""
        name, args, kwargs = self._last_call
        shown = [short(arg, 60) for arg in args] + [f"{key}={short(value, 60)}" for key, value in kwargs.items()]
        answer = f" returned {short(self._last_answer[0])}" if self._last_answer is not None else ""
        return f"{name}({', '.join(shown)}){answer}"

    @property
    def got(self) -> str | None:
        """The latest answer, for people; None where there is none."""
        return short(self._last_answer[0]) if self._last_answer is not None else None

    def _answer_ahead(self, operation: str, name: str, args: Any, kwargs: Any) -> tuple[str, Any]:
        place = len(self._trace.frames) - self._asked_ahead
        try:
            as_foreseen = operation == "call" and call_frame(name, args, kwargs) == self._trace.frames[place]
        except codec.Refused:
            as_foreseen = False
        if not as_foreseen:
            raise self._diverge()
        self._asked_ahead -= 1
        return self._exchange(self._first + place + 1)

    def _diverge(self) -> Diverged:
        self.diverged = True
        self._end = Diverged()
        return self._end

    def _ask_now(self, operation: str, target: Any, args: Any, kwargs: Any, changed: list[int]) -> tuple[str, Any]:
        """Ask, and change those of the arguments in place that the tests want to see changed."""
        number = _fresh_number()
        request = {
            "id": number,
            "op": operation,
            "args": [codec.pack(item, self) for item in (target, *args)],
            "kwargs": [[key, codec.pack(value, self)] for key, value in kwargs.items()],
        }
        if changed:
            request["back"] = changed
        self._send(codec.dump(request))
        kind, payload = self._exchange(number)
        if kind == "b":
            given = [args[place] for place in changed if place < len(args)]
            if not (given and type(payload) is list and len(payload) == 1 + len(given)):
                raise self._fail("refused", "a reply of the wrong shape")
            kind, (payload, *values) = "v", payload
            for argument, value in zip(given, values, strict=True):
                became = self._read(("v", value), operation, target)
                if self._objects_seen:  # the reference makes plain data of it
                    seen = self._objects_seen[0]
                    raise self._fail("unsupported", f"an argument now holds an object of class {seen}")
                put_back(argument, became)
        return kind, payload

    def _exchange(self, number: int) -> tuple[str, Any]:
        """Receive the answer to a request; meanwhile the program may call the tests' own functions."""
        outer, self._awaited = self._awaited, number  # that of a call whose function of the tests asks this one
        try:
            while True:
                kind, payload = self._receive(number)
                if kind not in ("k", "i"):
                    self._awaited = outer
                    return kind, payload
                self._answering = ("", None)
                self._send(self._lent.serve(kind, payload))
        except protocol.Closed:
            raise self._remember(self._why() or Fault("ended", "the program ended with exit status 0")) from None

    def _read(self, answer: tuple[str, Any], operation: str, target: Any) -> Any:
        kind, payload = answer
        if kind == "v":
            self._answering = (operation, target)
            self._objects_seen = []
            try:
                return codec.unpack(payload, self)
            except codec.Malformed as error:
                raise self._fail("refused", f"the program wrote to the judge's channel: {error}") from None
            except MemoryError:
                raise self._fail("refused", "an answer too large to read") from None
        if kind == "r":
            raise self._fail("unsupported", f"the answer is {str(payload)[:100]}, which is not plain data")
        if kind == "x":
            raise self._raised.exception(payload)
        raise self._fail("refused", "a reply of the wrong shape")

    # -- codec.References ------------------------------------------------------------------------------

    def pack(self, value: Any) -> Any:
        """Return a reference for the program: to its own object, or to a function or iterator of the tests."""
        if isinstance(value, Remote):
            return value._reference
        number = self._raised.number_of(value)
        if number is not None:
            return ["h", number]
        by_name = standard_name(value)
        return ["n", *by_name] if by_name is not None else self._lent.refer(value)

    def unpack(self, payload: Any) -> Any:
        """Return the handle that a reference of the program stands for."""
        if type(payload) is list and len(payload) == 2 and payload[0] == "k":
            return self._lent.find(payload[1])
        if type(payload) is list and len(payload) == 4:
            kind, name, bases, number = payload
            if kind in _KINDS and type(name) is str and type(number) is int and number >= 0:
                if kind in ("object", "class", "function"):
                    self._objects_seen.append(name[:60])
                return self._handle(kind, name[:60], bases, ["h", number], self._origin_of_answer())
        raise codec.Malformed("an unknown reference")

    def _origin_of_answer(self) -> int:
        """How an object comes with the answer that is being read."""
        operation, target = self._answering
        if not isinstance(target, Remote):
            return UNKNOWN
        origin: int = target._origin
        if operation == "call" and target._reference[0] == "g" and target._kind != "class":
            return EXPECTED if target._reference[1] in self._trace.facts().objects else UNKNOWN
        if operation == "getattr" and origin == UNKNOWN:
            return BORROWED
        if operation in _ARITHMETIC or (operation == "call" and target._kind == "class"):
            return origin
        return min(origin, EXPECTED)

    def _why_unexpected(self) -> str:
        return "came where the reference gives plain data, or there is no reference to say that one should come"

    def _global(self, name: str, payload: Any) -> Any:
        if not (type(payload) is list and len(payload) == 4 and payload[0] in _KINDS and type(payload[1]) is str):
            raise self._fail("refused", "a reply of the wrong shape")
        kind, type_name, bases, number = payload
        if kind == "value":
            try:
                return codec.unpack(bases, self)
            except codec.Malformed:
                raise self._fail("refused", "a reply of the wrong shape") from None
        if kind == "exception" and type(number) is int:
            return self._handle(kind, name, bases, ["h", number], UNKNOWN)
        return self._handle(kind, type_name[:60], bases, ["g", name], self._trace.origin(name, kind))

    def _handle(self, kind: str, name: str, bases: Any, reference: list[Any], origin: int) -> Any:
        if kind == "exception":
            return self._raised.stand_in(name, bases, reference[1])
        make = RemoteCoroutine if kind == "coroutine" else Remote
        return make(self, reference, kind, name, origin)

    # -- The channel -----------------------------------------------------------------------------------

    def _send(self, request: bytes) -> None:
        try:
            self._channel.send(request)
        except protocol.Closed:
            if self._loaded:
                raise self._remember(self._why() or Fault("ended", "the program closed its channel")) from None
            # The first request always arrives, or the process never was; what it said last is to be read still.

    def _receive(self, number: int) -> tuple[str, Any]:
        try:
            if not self._greeted:
                self._channel.receive(0)  # sent before the program's first line
                self._greeted = True
            frame = self._channel.receive()
            self._said += len(frame)
            if self._said > _MAX_SAID:
                raise self._fail("refused", f"the program answered with more than {_MAX_SAID // 2**20} MiB")
            reply = codec.parse(frame)
        except (codec.Malformed, protocol.TooLarge) as error:
            raise self._fail("refused", f"the program wrote to the judge's channel: {error}") from None
        except MemoryError:
            raise self._fail("refused", "an answer too large to read") from None
        shaped = type(reply) is list and len(reply) == 3 and type(reply[1]) is str
        if shaped and (reply[0] == number or (reply[0] == 0 and reply[1] in ("k", "i"))):
            return reply[1], reply[2]
        raise self._fail("refused", "the program wrote to the judge's channel: a reply to no call")

    def _why(self) -> Fault | None:
        """Why the channel closed, told by the fork server, not by the program; None for an end with status 0."""
        try:
            self._report = report = self._server.end()
            if report is None or report.never_ran:
                raise Broken("the machine has no room for another process")
        except Broken as error:
            self.broken = self._end = error
            raise
        status = report.exit
        if status == 0:
            return None
        spent = report.cpu / self._limits.cpu
        # The kernel's two clocks, of limits and of what was used, differ on a busy machine.
        own_words = status == EXIT_OUT_OF_TIME and spent >= _USED_UP / 2
        if status == -signal.SIGXCPU or own_words or (status == -signal.SIGKILL and spent >= _USED_UP):
            return Fault("timeout", f"used up {report.cpu:.1f} s of processor time")
        if status < 0 and report.peak_mb > 0.8 * self._limits.memory_mb:
            return Fault("memory", f"was killed at {report.peak_mb} MiB")
        self.accident = -status in _FROM_OUTSIDE
        if status == -signal.SIGKILL:
            return Fault("ended", "the program was killed by SIGKILL, or closed its channel")
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        return Fault("ended", f"the program {how}")

    def _fail(self, kind: FaultKind, text: str) -> Fault:
        return self._remember(Fault(kind, text))

    def _remember(self, fault: Fault) -> Fault:
        self.fault = fault
        if fault.fatal:
            self._end = fault
            said_all = self._report is not None and self._report.exit == EXIT_OUT_OF_TIME
            if self._asked_ahead and fault.kind != "refused" and not said_all:
                self.diverged = True  # some answers may have been on their way: which, only asking one by one tells
        return fault


def _fresh_number() -> int:
    """A number that an answer cannot bear before the question is asked."""
    return int.from_bytes(urandom(6), "big") + 1

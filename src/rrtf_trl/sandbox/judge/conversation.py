"""Requests to one program's process, and its answers: frames, their order, and how the process ended.

Every byte of an answer is hostile. A program can answer each request once: only data of its first process is accepted
(:mod:`..common.protocol`); a request has a number that nobody can guess before it is sent; the first answer decides;
and after all of the program's processes have ended, the channel must hold no second one (:meth:`Conversation.end`).
:mod:`.session` interprets the answers.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from os import urandom  # by name: tests may patch the module
from typing import Any

from ..common import codec, protocol
from ..common.faults import Broken, Fault, FaultKind, Limits
from ..common.report import EXIT_OF_NO_FORK, EXIT_OUT_OF_TIME, Report
from .fork_client import ForkServerClient

_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""Signals that probably come from another process."""
_MAX_RECEIVED = 128 * 2**20
"""Bytes that a program may send in all: an endless iterator must not fill the judge's memory."""
_USED_UP = 0.9
"""Fraction of the allowed processor time from which on a killed program counts as killed for using it up."""
_IDLE = 0.1
"""Fraction of it below which a program did nothing but wait."""

Answer = tuple[str, Any]
"""Its kind, one letter, and its payload."""


class Conversation:
    """The exchange with one program in one process, which starts on creation.

    Args:
        server: An idle fork server.
        limits: What the program may use.
        serve: From the kind and payload of a call that the program makes to a function of the tests, returns the
            reply.
        files: For a whole program, its stdin and stdout as open descriptors.
    """

    def __init__(
        self, server: ForkServerClient, limits: Limits, serve: Callable[[str, Any], bytes], files: tuple[int, ...] = ()
    ) -> None:
        self._server = server
        self._limits = limits
        self._serve = serve
        self._channel = protocol.Channel(server.run(files), one_sender=True)
        self._sent_first = False
        self._greeted = False
        self._received = 0
        self._awaited = 0
        """The number of the request that is to be answered next; 0 for none."""
        self._ended_by: BaseException | None = None
        self._report: Report | None = None
        self.first = self.new_number()
        """The number of the first request."""
        self.answered_too_much = False
        """Whether the program sent more than one answer to a request, known after :meth:`end`."""
        self.accident = False
        """Whether the process was killed by an unknown sender, perhaps not because of the program."""
        self.broken: Broken | None = None
        """A failure of the sandbox, even if the test caught it: there is then no valid result."""
        self.fault: Fault | None = None
        """The last fault, even if the test caught it; what runs the tests checks and clears it."""

    @staticmethod
    def new_number() -> int:
        """Return a number that a program cannot guess."""
        return int.from_bytes(urandom(6), "big") + 1

    # -- Requests --------------------------------------------------------------------------------------

    def send(self, request: bytes) -> None:
        """Send a request."""
        first, self._sent_first = not self._sent_first, True
        try:
            self._channel.send(request)
        except protocol.Closed:
            if not first:
                raise self.note_fault(self.end_fault() or Fault("ended", "the program closed its channel")) from None
            # After the first one, what the process sent before it ended is still to be read.

    def answer(self, number: int) -> Answer:
        """Receive the answer to a request; meanwhile the program may call functions of the tests."""
        outer, self._awaited = self._awaited, number  # not 0 where a function of the tests makes this request
        try:
            while True:
                kind, payload = self.receive(number)
                if kind not in ("k", "i"):
                    self._awaited = outer
                    return kind, payload
                self.send(self._serve(kind, payload))
        except protocol.Closed:
            ended = Fault("ended", "the program ended with exit status 0")
            raise self.note_fault(self.end_fault() or ended) from None

    def receive(self, number: int) -> Answer:
        """Receive the answer to a request, or a call of a function of the tests; raises :class:`.protocol.Closed`."""
        try:
            if not self._greeted:
                self._channel.receive(0)  # sent before the program's first line
                self._greeted = True
            frame = self._channel.receive()
            self._received += len(frame)
            if self._received > _MAX_RECEIVED:
                raise self.fail("refused", f"the program answered with more than {_MAX_RECEIVED // 2**20} MiB")
            reply = codec.parse(frame)
        except (codec.MalformedMessage, protocol.TooLarge) as error:
            raise self.fail("refused", f"the program wrote to the judge's channel: {error}") from None
        except MemoryError:
            raise self.fail("refused", "an answer too large to read") from None
        shaped = type(reply) is list and len(reply) == 3 and type(reply[1]) is str
        if shaped and (reply[0] == number or (reply[0] == 0 and reply[1] in ("k", "i"))):
            return reply[1], reply[2]
        raise self.fail("refused", "the program wrote to the judge's channel: a reply that was not requested")

    # -- The end ---------------------------------------------------------------------------------------

    def raise_if_ended(self) -> None:
        """Raise what ended the exchange, if anything has."""
        if self._ended_by is not None:
            if isinstance(self._ended_by, Fault):
                self.fault = self._ended_by
            raise self._ended_by

    @property
    def stopped_by(self) -> Fault | None:
        """The fault after which the program could answer no further request."""
        return self._ended_by if isinstance(self._ended_by, Fault) else None

    @property
    def used_up(self) -> bool:
        """Whether the program used up its processor time."""
        return self.stopped_by is not None and self.stopped_by.used_up

    @property
    def idle(self) -> bool:
        """Whether the program used hardly any processor time, known after :meth:`end`."""
        return self._report is not None and self._report.cpu < _IDLE * self._limits.cpu

    def take_fault(self) -> Fault | None:
        """Return the last fault, and clear it."""
        fault, self.fault = self.fault, None
        return fault

    def fail(self, kind: FaultKind, text: str) -> Fault:
        """Make and note a fault; return it to be raised."""
        return self.note_fault(Fault(kind, text))

    def note_fault(self, fault: Fault) -> Fault:
        """Note a fault that was made elsewhere, such as a timeout; return it to be raised."""
        self.fault = fault
        if fault.fatal:
            self._ended_by = fault
        return fault

    def end_fault(self) -> Fault | None:
        """End the process; return why it ended, by the fork server's report, or None for status 0."""
        try:
            self._report = report = self._server.end()
            if report is None or report.exit == EXIT_OF_NO_FORK:
                raise Broken("the machine can start no further process")
        except Broken as error:
            self.broken = self._ended_by = error
            raise
        status = report.exit
        if status == 0:
            return None
        spent = report.cpu / self._limits.cpu
        # The kernel's clocks for limits and for usage differ on a busy machine.
        sent_all = status == EXIT_OUT_OF_TIME and spent >= _USED_UP / 2
        if status == -signal.SIGXCPU or sent_all or (status == -signal.SIGKILL and spent >= _USED_UP):
            return Fault("timeout", f"used up {report.cpu:.1f} s of processor time", used_up=True)
        if status < 0 and report.peak_mb > 0.8 * self._limits.memory_mb:
            return Fault("memory", f"was killed at {report.peak_mb} MiB")
        self.accident = -status in _FROM_OUTSIDE
        if status == -signal.SIGKILL:
            return Fault("ended", "the program was killed by SIGKILL, or closed its channel")
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        return Fault("ended", f"the program {how}")

    def end(self) -> None:
        """Have the process killed and cleaned up, and check what it still sent."""
        try:
            self._report = self._server.end() or self._report
            self.answered_too_much = not self._was_requested(*self._channel.left_over())
        finally:
            self._channel.close()

    def _was_requested(self, frames: list[bytes], partial: bool) -> bool:
        """Return whether the frames left in the channel answer nothing but a request still without an answer."""
        numbers = [self._awaited] if self._awaited else []
        for frame, number in zip(frames, numbers, strict=False):
            with contextlib.suppress(codec.MalformedMessage):
                reply = codec.parse(frame)
                if type(reply) is list and len(reply) == 3 and reply[0] in (number, 0):
                    continue
            return False
        return len(frames) + partial <= len(numbers)

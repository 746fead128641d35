"""What the judge asks one candidate process, and what comes back: frames, their order, and how it ends.

Every byte that comes from there is hostile. A program has one try a question: only its first process is heard
(:mod:`..common.protocol`); a question has a number that nobody can guess before it is asked; the first answer
decides; and when the program has been killed and all of its processes are gone, so that nothing can come any more,
the channel must hold no other one (:meth:`Conversation.end`). What an answer means is :mod:`.session`'s business.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from os import urandom  # by name: tests may patch the module
from typing import Any

from ..common import codec, protocol
from ..common.faults import Broken, Diverged, Fault, FaultKind, Limits
from ..common.report import EXIT_OUT_OF_TIME, Report
from .fork_client import ForkServerClient

_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""Signals that end a process on behalf of others, as far as anyone can tell."""
_MAX_RECEIVED = 128 * 2**20
"""What a program may send in all, bytes: an iterator without end must not fill the judge's memory."""
_USED_UP = 0.9
"""The part of the processor time allowed that a program has used up which was killed for using all."""

Answer = tuple[str, Any]
"""Its kind, one letter, and its payload."""


class Conversation:
    """With one program in one process, started on creation.

    Args:
        server: An idle fork server.
        limits: What the program may use.
        serve: Gives the reply where the program calls what the tests handed to it: from a kind and a payload.
        files: For a whole program, its stdin and stdout as open descriptors.
    """

    def __init__(
        self, server: ForkServerClient, limits: Limits, serve: Callable[[str, Any], bytes], files: tuple[int, ...] = ()
    ) -> None:
        self._server = server
        self._limits = limits
        self._serve = serve
        self._channel = protocol.Channel(server.run(files), one_sender=True)
        self._begun = False
        self._greeted = False
        self._received = 0
        self._planned = 0
        self._awaited = 0
        """The number of the question that is to be answered next; 0 for none."""
        self._over: BaseException | None = None
        self._report: Report | None = None
        self.first = self.new_number()
        """The number of the first question; those that are asked ahead follow it."""
        self.ahead = 0
        """How many questions were asked ahead and not yet looked at."""
        self.answered_too_much = False
        """Whether the program sent more than one answer to each question, known after :meth:`end`."""
        self.accident = False
        """Whether the end may have been an accident of the machine: the process was killed by nobody knows whom."""
        self.diverged = False
        """Whether something else was asked than what was asked ahead."""
        self.broken: Broken | None = None
        """Our own failure, even if the test swallowed it: then no verdict holds."""
        self.fault: Fault | None = None
        """The last fault, even if the test swallowed it; whoever runs the tests looks here and clears it."""

    @staticmethod
    def new_number() -> int:
        """Return a number that an answer cannot bear before the question is asked."""
        return int.from_bytes(urandom(6), "big") + 1

    # -- Questions -------------------------------------------------------------------------------------

    def send(self, request: bytes) -> None:
        """Send a question."""
        first, self._begun = not self._begun, True
        try:
            self._channel.send(request)
        except protocol.Closed:
            if not first:
                raise self.remember(self.why_over() or Fault("ended", "the program closed its channel")) from None
            # The first one always arrives, or the process never was; what it sent last is to be read still.

    def ask_ahead(self, count: int) -> None:
        """Note that the first question brings ``count`` more."""
        self._planned = self.ahead = count

    @property
    def next_ahead(self) -> int:
        """Which of the questions that were asked ahead is next."""
        return self._planned - self.ahead

    def answer_ahead(self) -> Answer:
        """Receive the answer to the next question that was asked ahead."""
        self.ahead -= 1
        return self.answer(self.first + self.next_ahead)

    def answer(self, number: int) -> Answer:
        """Receive the answer to a question; meanwhile the program may call the tests' own functions."""
        outer, self._awaited = self._awaited, number  # that of a call whose function of the tests asks this one
        try:
            while True:
                kind, payload = self.receive(number)
                if kind not in ("k", "i"):
                    self._awaited = outer
                    return kind, payload
                self.send(self._serve(kind, payload))
        except protocol.Closed:
            ended = Fault("ended", "the program ended with exit status 0")
            raise self.remember(self.why_over() or ended) from None

    def receive(self, number: int) -> Answer:
        """Receive the answer to a question, or a call of what was handed over; raises :class:`.protocol.Closed`."""
        try:
            if not self._greeted:
                self._channel.receive(0)  # sent before the program's first line
                self._greeted = True
            frame = self._channel.receive()
            self._received += len(frame)
            if self._received > _MAX_RECEIVED:
                raise self.fail("refused", f"the program answered with more than {_MAX_RECEIVED // 2**20} MiB")
            reply = codec.parse(frame)
        except (codec.Malformed, protocol.TooLarge) as error:
            raise self.fail("refused", f"the program wrote to the judge's channel: {error}") from None
        except MemoryError:
            raise self.fail("refused", "an answer too large to read") from None
        shaped = type(reply) is list and len(reply) == 3 and type(reply[1]) is str
        if shaped and (reply[0] == number or (reply[0] == 0 and reply[1] in ("k", "i"))):
            return reply[1], reply[2]
        raise self.fail("refused", "the program wrote to the judge's channel: a reply to no call")

    # -- Its end ---------------------------------------------------------------------------------------

    def check_going(self) -> None:
        """Raise what ended it, if anything has."""
        if self._over is not None:
            if isinstance(self._over, Fault):
                self.fault = self._over
            raise self._over

    @property
    def stopped_by(self) -> Fault | None:
        """The fault after which the program could take no further question."""
        return self._over if isinstance(self._over, Fault) else None

    def take_fault(self) -> Fault | None:
        """Return the last fault, and forget it."""
        fault, self.fault = self.fault, None
        return fault

    def fail(self, kind: FaultKind, text: str) -> Fault:
        """Make and note a fault, and return it to be raised."""
        return self.remember(Fault(kind, text))

    def remember(self, fault: Fault) -> Fault:
        """Note a fault that was made elsewhere, such as that time is up, and return it to be raised."""
        self.fault = fault
        if fault.fatal:
            self._over = fault
            answered_all = self._report is not None and self._report.exit == EXIT_OUT_OF_TIME
            if self.ahead and fault.kind != "refused" and not answered_all:
                self.diverged = True  # some answers may have been on their way: which, only asking one by one tells
        return fault

    def diverge(self) -> Diverged:
        """Note that the tests want something else than what was asked ahead, and return what to raise."""
        self.diverged = True
        self._over = Diverged()
        return self._over

    def why_over(self) -> Fault | None:
        """Why the channel closed, as the fork server reports it, not the program; None for an end with status 0."""
        try:
            self._report = report = self._server.end()
            if report is None or report.never_ran:
                raise Broken("the machine has no room for another process")
        except Broken as error:
            self.broken = self._over = error
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

    def end(self) -> None:
        """Have the process killed and cleaned up after, and look at what it still sent."""
        try:
            self._report = self._server.end() or self._report
            self.answered_too_much = not self._is_awaited(*self._channel.left_over())
        finally:
            self._channel.close()

    def _is_awaited(self, frames: list[bytes], in_part: bool) -> bool:
        """Whether what is left in the channel is what was asked and never looked at, and no more."""
        last = self.first + self._planned
        numbers = [*([self._awaited] if self._awaited else []), *range(last - self.ahead + 1, last + 1)]
        for frame, number in zip(frames, numbers, strict=False):
            with contextlib.suppress(codec.Malformed):
                reply = codec.parse(frame)
                if type(reply) is list and len(reply) == 3 and reply[0] in (number, 0):
                    continue
            return False
        return len(frames) + in_part <= len(numbers)

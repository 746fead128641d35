"""Starts and ends the processes of programs that are judged."""

from __future__ import annotations

from typing import Any

from ..common.faults import Fault, Limits
from .alarm import Alarm
from .conversation import Conversation
from .fork_client import ForkServerClient
from .session import Facts, JudgeSession


class Runner:
    """Starts and ends programs' processes.

    Args:
        server: The fork server.
        alarm: Watches their limits.
        limits: The limits of a job.

    Attributes:
        last: The exchange with the program that ended last; None before the first one has.
    """

    def __init__(self, server: ForkServerClient, alarm: Alarm, limits: Limits) -> None:
        self.server = server
        self.alarm = alarm
        self.limits = limits
        self.last: Conversation | None = None

    def conversation(self, files: tuple[int, ...] = ()) -> Conversation:
        """Start a program's process, to which all is sent at once, and the alarm.

        Args:
            files: For a whole program, its stdin and stdout as open descriptors.
        """
        conversation = Conversation(self.server, self.limits, _serve_nothing, files)
        self.alarm.set(self.limits.wall, conversation.note_fault)
        return conversation

    def session(self, facts: Facts) -> JudgeSession:
        """Start a program's process, which tests use by proxies, and the alarm."""
        session = JudgeSession(self.server, self.limits, facts)
        self.alarm.set(self.limits.wall, session.conversation.note_fault)
        return session

    def end(self, conversation: Conversation) -> None:
        """Stop the alarm, and end the process."""
        self.alarm.clear()
        self.last = conversation
        conversation.end()


def _serve_nothing(kind: str, payload: Any) -> bytes:
    raise Fault("refused", "the program wrote to the judge's channel: a reply that was not requested")

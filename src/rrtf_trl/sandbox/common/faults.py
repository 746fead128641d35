"""What can go wrong with a program, and with ourselves."""

from __future__ import annotations

from typing import Literal, NamedTuple

FaultKind = Literal["timeout", "memory", "refused", "ended", "raised", "unsupported"]


class Fault(BaseException):
    """The program failed a call in a way that no test may swallow.

    Args:
        kind: ``timeout``, ``memory``, ``refused`` (it broke the protocol, or the test passes what cannot
            cross), ``ended`` (its process is gone), ``raised`` (an exception that is not passed on by its
            own type), ``unsupported`` (an answer that cannot cross, or a value that would be the program's word).
        text: What happened, for people.
        exception: The type of the program's exception; empty where its process ended, None where it is neither.
    """

    def __init__(self, kind: FaultKind, text: str, exception: str | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.exception = "" if kind == "ended" else exception

    @property
    def fatal(self) -> bool:
        """Whether the program can take no further call."""
        return self.kind in ("timeout", "memory", "refused", "ended")


class LoadError(Exception):
    """The program does not compile (``stage`` is ``compile``) or fails while its module runs (``load``).

    ``exception`` is as that of a :class:`Fault`.
    """

    def __init__(self, stage: str, text: str, exception: str | None = None) -> None:
        super().__init__(text)
        self.stage = stage
        self.exception = exception


class Diverged(BaseException):
    """The tests asked something else than what was asked ahead for them: all must be asked anew, one by one."""


class Broken(BaseException):
    """Our own machinery failed; says nothing about the program."""


class BadTests(Exception):
    """The tests themselves are at fault, whatever the program."""


class Limits(NamedTuple):
    """What one job may use.

    Args:
        cpu: Processor time, seconds.
        wall: Wall time of a job, or of one case of a whole program, seconds.
        memory_mb: Memory of all its processes together, and address space of each, MiB.
        output_bytes: What a whole program may print, bytes.
    """

    cpu: float
    wall: float
    memory_mb: int
    output_bytes: int

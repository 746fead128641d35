"""What can go wrong with a program, with its tests, and in the sandbox itself."""

from __future__ import annotations

from typing import Literal, NamedTuple

FaultKind = Literal["timeout", "memory", "refused", "ended", "raised", "unsupported"]


class Fault(BaseException):
    """The program failed a call in a way that no test may catch.

    Args:
        kind: ``timeout``, ``memory``, ``refused`` (it broke the protocol, or the test passes what cannot
            cross), ``ended`` (its process has ended), ``raised`` (an exception that is not raised in the test
            as its own type), ``unsupported`` (an answer that cannot cross, or one by which the program would judge
            itself).
        text: A description, for people.
        exception: The type of the program's exception; empty where its process ended, None where it is neither.
        used_up: For ``timeout``, whether processor time is used up, which does not depend on what else runs.
    """

    def __init__(self, kind: FaultKind, text: str, exception: str | None = None, used_up: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.exception = "" if kind == "ended" else exception
        self.used_up = used_up

    @property
    def fatal(self) -> bool:
        """Whether the program can take no further call."""
        return self.kind in ("timeout", "memory", "refused", "ended")


class LoadError(Exception):
    """The program does not compile (``stage`` is ``compile``) or fails while its module runs (``load``).

    ``exception`` means what it does for a :class:`Fault`.
    """

    def __init__(self, stage: str, text: str, exception: str | None = None) -> None:
        super().__init__(text)
        self.stage = stage
        self.exception = exception


class Broken(BaseException):
    """The sandbox itself failed; no statement about the program."""


class BadTests(Exception):
    """The tests are wrong, whatever the program."""


class Limits(NamedTuple):
    """The limits of one job.

    Args:
        cpu: Processor time, seconds.
        wall: Wall time of a job, or of one ``stdio`` case, seconds.
        memory_mb: Memory of all its processes together, and address space of each, MiB.
        output_bytes: What a whole program may print where less is expected, bytes.
    """

    cpu: float
    wall: float
    memory_mb: int
    output_bytes: int

"""What an executor is: where the work of a run's stages is done."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rrtf_trl.feedback.base import Feedback
from rrtf_trl.samplers.base import Sampler


@runtime_checkable
class Executor(Protocol):
    """Gives the stages their samplers and feedback sources, which do their work where the executor has it done.

    What comes back has the ``identity`` of what was given, since the place of the work must not show in its results:
    the same candidates, and the same judgements. So what one executor did is never done again by another.
    """

    def sampler(self, sampler: Sampler) -> Sampler:
        """Return a sampler that draws what ``sampler`` would."""
        ...

    def feedback(self, source: Feedback) -> Feedback:
        """Return a source that judges as ``source`` would."""
        ...

    def close(self) -> None:
        """Let go of what is held; a run's end, whatever ended it."""
        ...


class LocalExecutor:
    """Has everything done in this process and its sandbox."""

    def sampler(self, sampler: Sampler) -> Sampler:
        """Return it as it is."""
        return sampler

    def feedback(self, source: Feedback) -> Feedback:
        """Return it as it is."""
        return source

    def close(self) -> None:
        """Hold nothing, free nothing."""

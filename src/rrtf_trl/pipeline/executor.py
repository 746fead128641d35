"""What an executor is: where candidates are drawn and judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from rrtf_trl.feedback.base import Feedback
from rrtf_trl.records import Candidate, Judgement, Problem
from rrtf_trl.samplers.base import Sampler, Samples


@runtime_checkable
class Executor(Protocol):
    """Runs samplers and feedback sources on this machine or others.

    Candidates and judgements are the same wherever they come from. So what one executor did is never done again by
    another.
    """

    def sample(self, sampler: Sampler, units: Iterable[list[Problem]]) -> Iterator[Samples]:
        """Yield what ``sampler`` draws for each unit, in the order of the units.

        Args:
            sampler: A sampler; it can be pickled.
            units: Problems for one call each; taken only as there is room to work on them.
        """
        ...

    def judge(self, source: Feedback, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield the source's judgement of each item, in any order.

        Args:
            source: A feedback source; it can be pickled.
            items: Candidates, taken only as there is room to work on them; those of one problem come one after
                another.
        """
        ...

    def close(self) -> None:
        """Free what is held; called at the end of a run, also of one that failed."""
        ...


class LocalExecutor:
    """Runs everything in this process and its sandbox."""

    def sample(self, sampler: Sampler, units: Iterable[list[Problem]]) -> Iterator[Samples]:
        """Draw one unit after the other."""
        return map(sampler.sample, units)

    def judge(self, source: Feedback, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Have the source judge."""
        return source.judge(items)

    def close(self) -> None:
        """Do nothing: nothing is held."""

"""What an executor is: where answers are drawn and judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from rrtf_trl.feedback.base import Feedback
from rrtf_trl.records import Candidate, Judgement, Problem
from rrtf_trl.samplers.base import Sampler, Samples


@runtime_checkable
class Executor(Protocol):
    """Has samplers and feedback sources do their work somewhere.

    The place does not show in the results: candidates and judgements are those that the sampler and the source would
    give here. So what one executor did is never done again by another.
    """

    def sample(self, sampler: Sampler, units: Iterable[list[Problem]]) -> Iterator[Samples]:
        """Yield what ``sampler`` draws for each unit, in the order of the units.

        Args:
            sampler: A sampler; it can be pickled.
            units: Problems for one call each. They are taken as there is room to work on them, and no sooner.
        """
        ...

    def judge(self, source: Feedback, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield what ``source`` says of each item, in any order.

        Args:
            source: A feedback source; it can be pickled.
            items: Answers, taken as there is room to work on them, and no sooner; those to one problem one after
                another.
        """
        ...

    def close(self) -> None:
        """Let go of what is held; a run's end, whatever ended it."""
        ...


class LocalExecutor:
    """Has everything done in this process and its sandbox."""

    def sample(self, sampler: Sampler, units: Iterable[list[Problem]]) -> Iterator[Samples]:
        """Draw one unit after the other."""
        return map(sampler.sample, units)

    def judge(self, source: Feedback, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Have the source judge."""
        return source.judge(items)

    def close(self) -> None:
        """Hold nothing, free nothing."""

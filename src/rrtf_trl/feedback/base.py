"""What a feedback source is: candidates in, judgements out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from rrtf_trl.records import Candidate, Judged, Judgement, Problem


@runtime_checkable
class Feedback(Protocol):
    """A source of judgements.

    A source may also be one of :class:`ComparesCandidates`, :class:`SummarizesJudgements` and
    :class:`rrtf_trl.chat.ReportsSpending`.

    Args:
        name: Its name in each judgement.
    """

    name: str

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON, all that decides a judgement."""
        ...

    def check(self, problem: Problem) -> None:
        """Raise :class:`ValueError`, before any work, if this source cannot judge candidates for ``problem``."""
        ...

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each item, as they come, in any order, in constant memory."""
        ...


@runtime_checkable
class ComparesCandidates(Protocol):
    """A feedback source whose judgements may depend on the problem's other candidates.

    Args:
        compares: Whether they do. :meth:`Feedback.judge` then gets all candidates of a problem one after another, and
            its judgements are kept for that set of candidates alone.
    """

    compares: bool


@runtime_checkable
class SummarizesJudgements(Protocol):
    """A feedback source that summarizes its judgements of a run, for instance how biased they are."""

    def summarize(self, groups: Iterable[list[Judged]]) -> tuple[str, dict[str, Any]]:
        """Return a line for the console, and figures for ``feedback/NAME.json`` in the run's folder.

        Args:
            groups: The judged candidates, a list for each problem.
        """
        ...

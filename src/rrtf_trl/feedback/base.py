"""What a feedback source is: candidates in, judgements out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from rrtf_trl.records import Candidate, Judgement, Problem


@runtime_checkable
class Feedback(Protocol):
    """A source of judgements.

    A source may have these too:

    - ``compares``, true where a judgement depends on the problem's other candidates. Such a source is handed all
      candidates of a problem one after another, and its verdicts hold for that set of candidates alone.
    - ``summarize(groups)``, which gets the judged candidates problem by problem (lists of
      :class:`rrtf_trl.records.Judged`) and returns a line for the console and figures for ``feedback/NAME.json``.
    - ``describe_spending()``, which returns in words what was spent.

    Args:
        name: Stands in each judgement.
    """

    name: str

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON, all that decides a judgement."""
        ...

    def check(self, problem: Problem) -> None:
        """Raise :class:`ValueError`, before any work, if this source cannot judge answers to ``problem``."""
        ...

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each item, as they come, in any order, in constant memory."""
        ...

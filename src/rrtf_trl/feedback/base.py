"""What a feedback source is: candidates in, judgements out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from rrtf_trl.records import Candidate, Judgement, Problem


class FeedbackError(RuntimeError):
    """A source failed to judge for a reason of its own; the candidate is not to blame and gets no score."""


@runtime_checkable
class Feedback(Protocol):
    """A source of judgements.

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

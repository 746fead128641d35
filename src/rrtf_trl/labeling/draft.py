"""A ranking in the making: what each key does to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


class Refused(ValueError):
    """A key that cannot do what it does now; the message says what can be done instead."""


@dataclass
class Draft:
    """Answers put in order so far.

    Args:
        answers: All of the item's answers.
        groups: The ranked ones, best first; those in one group tie.
        tie: Whether the next one ties with the last one.
    """

    answers: list[str]
    groups: list[list[str]] = field(default_factory=list)
    tie: bool = False

    @property
    def left(self) -> list[str]:
        """The answers that have no rank yet, in their order."""
        ranked = {answer for group in self.groups for answer in group}
        return [answer for answer in self.answers if answer not in ranked]

    def rank(self, answer: str) -> None:
        """Put an answer next, or level with the last one if a tie was asked for."""
        if answer not in self.left:
            raise Refused("This answer has a rank already")
        if self.tie:
            self.groups[-1].append(answer)
        else:
            self.groups.append([answer])
        self.tie = False

    def unrank(self, answer: str) -> None:
        """Take an answer's rank back; the others keep their order."""
        if answer not in self.answers or answer in self.left:
            raise Refused("This answer has no rank to take back")
        self.groups = [kept for group in self.groups if (kept := [other for other in group if other != answer])]
        self.tie = self.tie and bool(self.groups)

    def toggle_tie(self) -> None:
        """Let the next answer tie with the last one, or no longer."""
        if not self.groups:
            raise Refused("Rank one answer first; = then ties the next one with it (0 ties all)")
        if not self.left:
            raise Refused("All answers are ranked; press Enter, or u to undo")
        self.tie = not self.tie

    def rest(self) -> None:
        """Tie all that are left, in the last place."""
        if not self.left:
            raise Refused("All answers are ranked; press Enter, or u to undo")
        if self.tie:
            self.groups[-1].extend(self.left)
        else:
            self.groups.append(self.left)
        self.tie = False

    def ranks(self) -> dict[str, int]:
        """Return the finished ranking, 1 is best and equal ranks tie; a single answer that is left comes last.

        Raises:
            Refused: If more than one answer has no rank.
        """
        left = self.left
        if len(left) > 1:
            raise Refused(f"{len(left)} answers have no rank yet: rank them, or press 0 to tie them for last")
        whole = Draft(self.answers, [list(group) for group in self.groups], self.tie)
        for answer in left:
            whole.rank(answer)
        return {answer: rank for rank, group in enumerate(whole.groups, start=1) for answer in group}


def dense(ranks: dict[str, float]) -> dict[str, int]:
    """Return any numbers for which smaller is better as ranks 1, 2, 3 …; equal numbers tie."""
    return {answer: _places(ranks.values())[value] for answer, value in ranks.items()}


def _places(values: Iterable[float]) -> dict[float, int]:
    return {value: place for place, value in enumerate(sorted(set(values)), start=1)}

"""An unfinished ranking, and what each key of the page does to it."""

from __future__ import annotations

from dataclasses import dataclass, field


class LabelRefused(ValueError):
    """An action that is not possible now; the message names what is possible instead."""


@dataclass
class Draft:
    """The candidates of an item, ranked in part.

    Args:
        candidates: The ids of all of the item's candidates.
        groups: The ids of the ranked ones, best first; those in one group tie.
        tie: Whether the next one ties with the last one.
    """

    candidates: list[str]
    groups: list[list[str]] = field(default_factory=list)
    tie: bool = False

    @property
    def left(self) -> list[str]:
        """The candidates without a rank, in their order."""
        ranked = {candidate for group in self.groups for candidate in group}
        return [candidate for candidate in self.candidates if candidate not in ranked]

    def rank(self, candidate: str) -> None:
        """Give a candidate the next rank, or the last one's rank if ``tie`` is set."""
        if candidate not in self.left:
            raise LabelRefused("This candidate has a rank already")
        self._add([candidate])

    def unrank(self, candidate: str) -> None:
        """Take a candidate's rank back; the others keep their order."""
        if candidate not in self.candidates or candidate in self.left:
            raise LabelRefused("This candidate has no rank to take back")
        self.groups = [kept for group in self.groups if (kept := [other for other in group if other != candidate])]
        self.tie = self.tie and bool(self.groups)

    def toggle_tie(self) -> None:
        """Set or clear ``tie``."""
        if not self.groups:
            raise LabelRefused("Rank one candidate first; = then ties the next one with it (0 ties all)")
        self._check_any_left()
        self.tie = not self.tie

    def rest(self) -> None:
        """Tie all candidates without a rank, in the last place."""
        self._check_any_left()
        self._add(self.left)

    def ranks(self) -> dict[str, int]:
        """Return the finished ranking, 1 is best and equal ranks tie; a single candidate without a rank comes last.

        Raises:
            LabelRefused: If more than one candidate has no rank.
        """
        left = self.left
        if len(left) > 1:
            raise LabelRefused(f"{len(left)} candidates have no rank yet: rank them, or press 0 to tie them for last")
        whole = Draft(self.candidates, [list(group) for group in self.groups], self.tie)
        if left:
            whole._add(left)
        return {candidate: rank for rank, group in enumerate(whole.groups, start=1) for candidate in group}

    def _add(self, candidates: list[str]) -> None:
        if self.tie:
            self.groups[-1].extend(candidates)
        else:
            self.groups.append(candidates)
        self.tie = False

    def _check_any_left(self) -> None:
        if not self.left:
            raise LabelRefused("All candidates are ranked; press Enter, or u to undo")


def dense_ranks(values: dict[str, float]) -> dict[str, int]:
    """Return any numbers for which smaller is better as ranks 1, 2, 3 …; equal numbers tie."""
    ranks = {value: rank for rank, value in enumerate(sorted(set(values.values())), start=1)}
    return {candidate: ranks[value] for candidate, value in values.items()}

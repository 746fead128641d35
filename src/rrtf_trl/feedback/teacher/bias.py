"""A judge's biases: by the position of a candidate, by its length, and towards its own model's candidates.

A figure is a proportion with a 95% Wilson interval; without bias it is one half (or ``expected``). Longer candidates,
and those of a strong judge's model, may really be better, so their proportions are computed twice: over all pairs, and
over pairs with the same test results. The latter are closer to a bias, but do not prove one. MT-Bench (arXiv
2306.05685) has the same three biases.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rrtf_trl.records import Judged
from rrtf_trl.statistics.proportion import Share


@dataclass
class Count:
    """A number of hits, out of ``count``."""

    hits: int = 0
    count: int = 0

    def add(self, hit: bool) -> None:
        """Count one more case."""
        self.hits += hit
        self.count += 1

    def figures(self, expected: float | None = None) -> dict[str, Any]:
        """Return the proportion with its interval, as plain JSON."""
        if not self.count:
            return {"share": None, "low": None, "high": None, "n": 0, "expected": expected}
        found = asdict(Share.of(self.hits, self.count, expected))
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}

    def __str__(self) -> str:
        """Return the proportion in percent with its interval; ``-`` if nothing was counted."""
        if not self.count:
            return "-"
        share = Share.of(self.hits, self.count)
        return f"{100 * share.share:.0f}% ({100 * share.low:.0f}-{100 * share.high:.0f}, n={share.n})"


class Bias:
    """Counts over the judged candidates of one problem after another.

    Args:
        model: The judge's model; candidates of a model of this name are its own.
        mode: The judge's mode; in ``grade`` candidates have no position.
    """

    def __init__(self, model: str, mode: str) -> None:
        self.model = model
        self.mode = mode
        self.judged = 0
        self.abstained: Counter[str] = Counter()
        self.first_wins, self.orders_agree = Count(), Count()
        self.first_expected = 0.0
        self.longer_wins = {"all": Count(), "same_tests": Count()}
        self.own_wins = {"all": Count(), "same_tests": Count()}

    def add(self, group: list[Judged]) -> None:
        """Count the judged candidates of one problem."""
        for item in group:
            self.judged += 1
            if item.judgement.score is None:
                self.abstained[str(item.judgement.detail.get("abstained"))[:80]] += 1
        self._add_positions(group)
        # Candidates with the same program count once.
        distinct = {item.candidate.code: item for item in group if item.judgement.score is not None}
        for a, b in itertools.combinations(distinct.values(), 2):
            assert a.judgement.score is not None
            assert b.judgement.score is not None
            if a.judgement.score == b.judgement.score:
                continue
            winner, loser = (a, b) if a.judgement.score > b.judgement.score else (b, a)
            same_tests = a.state is not None and (a.state, a.fraction_passed) == (b.state, b.fraction_passed)
            kinds = ("all", "same_tests") if same_tests else ("all",)
            for kind in kinds:
                if len(winner.candidate.code) != len(loser.candidate.code):
                    self.longer_wins[kind].add(len(winner.candidate.code) > len(loser.candidate.code))
                if self._is_own(winner) != self._is_own(loser):
                    self.own_wins[kind].add(self._is_own(winner))

    def figures(self) -> dict[str, Any]:
        """Return all figures as plain JSON."""
        position: dict[str, Any] | None = None
        if self.mode != "grade":
            n = self.first_wins.count
            expected = 0.5 if self.mode == "pair" or not n else round(self.first_expected / n, 4)
            position = {"first_wins": self.first_wins.figures(expected)}
            if self.mode == "pair":
                position["orders_agree"] = self.orders_agree.figures()
        return {
            "judge": self.model,
            "mode": self.mode,
            "judged": self.judged,
            "abstained": self.abstained.total(),
            "abstained_because": dict(self.abstained.most_common(10)),
            "position": position,
            "length": {kind: count.figures() for kind, count in self.longer_wins.items()},
            "self_preference": {kind: count.figures() for kind, count in self.own_wins.items()},
        }

    def line(self) -> str:
        """Return the figures as a line for the console."""
        parts = [f"{self.judged} judged, {self.abstained.total()} abstained"]
        if self.mode == "pair":
            parts.append(f"first shown wins {self.first_wins}, orders agree {self.orders_agree}")
        elif self.mode == "rank":
            parts.append(f"first shown ranked top {self.first_wins}")
        parts.append(f"longer wins {self.longer_wins['all']}")
        if self.own_wins["all"].count:
            parts.append(f"its own model's wins {self.own_wins['all']}")
        return ", ".join(parts)

    def _add_positions(self, group: list[Judged]) -> None:
        seen: set[frozenset[str]] = set()
        shown: dict[int, list[tuple[float, int]]] = {}  # order -> (score, place)
        programs = {item.candidate.code: item for item in group}
        for item in programs.values():
            for row in item.judgement.detail.get("comparisons", []):
                pair = frozenset((item.judgement.candidate_id, row["against"]))
                if pair in seen or "abstained" in (row["shown_first"], row["shown_second"]):
                    continue
                seen.add(pair)
                self.orders_agree.add(row["shown_first"] == row["shown_second"])
                if row["shown_first"] != "tie":
                    self.first_wins.add(row["shown_first"] == "won")
                if row["shown_second"] != "tie":  # the other one was shown first here
                    self.first_wins.add(row["shown_second"] == "lost")
            for index, row in enumerate(item.judgement.detail.get("orders", [])):
                shown.setdefault(index, []).append((row["score"], row["shown"]))
        for rows in shown.values():
            best = max(score for score, _ in rows)
            top = [place for score, place in rows if score == best]
            if len(top) == 1:
                self.first_wins.add(top[0] == 0)
                self.first_expected += 1 / len(rows)

    def _is_own(self, item: Judged) -> bool:
        return item.candidate.model in (self.model, self.model.rsplit("/", 1)[-1])

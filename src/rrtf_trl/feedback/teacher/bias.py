"""How biased a judge is: by the position of an answer, by its length, and towards its own model's answers.

A figure is a share with a 95% Wilson interval; without bias it is one half (or ``expected``). Longer answers
and a strong judge's own may be better in fact, so each share is given twice: over all pairs, and over pairs
whose programs met their tests with the same result. What is left there is nearer to bias, not bias proven.
The three kinds are those of MT-Bench (arXiv 2306.05685).
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
    """How often something is so, out of how many."""

    hits: int = 0
    count: int = 0

    def add(self, hit: bool) -> None:
        """Count one more."""
        self.hits += hit
        self.count += 1

    def figures(self, expected: float | None = None) -> dict[str, Any]:
        """Return the share as plain JSON."""
        if not self.count:
            return {"share": None, "low": None, "high": None, "n": 0, "expected": expected}
        found = asdict(Share.of(self.hits, self.count, expected))
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}

    def words(self) -> str:
        """Return the share in percent with its interval, or that there is none."""
        if not self.count:
            return "-"
        told = Share.of(self.hits, self.count)
        return f"{100 * told.share:.0f}% ({100 * told.low:.0f}-{100 * told.high:.0f}, n={told.n})"


class Bias:
    """Counts over the judged candidates of one problem after another.

    Args:
        model: The judge's model; candidates of the same name are its own.
        mode: The judge's mode: in ``grade`` nothing has a position.
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
        # The same program several times is one answer.
        distinct = {item.candidate.code: item for item in group if item.judgement.score is not None}
        for a, b in itertools.combinations(distinct.values(), 2):
            assert a.judgement.score is not None
            assert b.judgement.score is not None
            if a.judgement.score == b.judgement.score:
                continue
            winner, loser = (a, b) if a.judgement.score > b.judgement.score else (b, a)
            same_tests = a.state is not None and _result(a) == _result(b)
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
            "length": {kind: share.figures() for kind, share in self.longer_wins.items()},
            "self_preference": {kind: share.figures() for kind, share in self.own_wins.items()},
        }

    def line(self) -> str:
        """Return the figures in a line."""
        words = [f"{self.judged} judged, {self.abstained.total()} abstained"]
        if self.mode == "pair":
            words.append(f"first shown wins {self.first_wins.words()}, orders agree {self.orders_agree.words()}")
        elif self.mode == "rank":
            words.append(f"first shown ranked top {self.first_wins.words()}")
        words.append(f"longer wins {self.longer_wins['all'].words()}")
        if self.own_wins["all"].count:
            words.append(f"its own model's wins {self.own_wins['all'].words()}")
        return ", ".join(words)

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
                if row["shown_second"] != "tie":  # then the other one was shown first
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


def _result(item: Judged) -> tuple[str | None, float | None]:
    return item.state, item.share_passed

"""How the answers to held-out problems are spread before and after training: pass@k, scores, lengths."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rrtf_trl.files.folder import Folder

from .heldout import measurements
from .tallies import rows

WHICH = {"base": "before", "trained": "after"}
"""The two policies of a run, and what they are called on the page."""

SCORES = ("none", "under ¼", "¼ to ½", "½ to ¾", "over ¾", "all")
"""Shares of a problem's tests that an answer passes, as they are put together."""

_RESAMPLES = 1000  # for a band in a picture


@dataclass
class PassCurve:
    """pass@k over k, before and after.

    Args:
        name: The measurement.
        n: Samples a problem.
        ks: The k of each estimate, from 1 to ``n``.
        estimates: ``before`` and ``after``: ``value``, ``low`` and ``high`` at each k.
    """

    name: str
    n: int
    ks: list[int]
    estimates: dict[str, list[dict[str, float]]]

    def told(self) -> str:
        """Return the ends of the curves in words, for those who cannot see them."""
        sides = [
            f"{label} from {100 * found[0]['value']:.1f}% at k = {self.ks[0]} to {100 * found[-1]['value']:.1f}% "
            f"at k = {self.ks[-1]}"
            for label, found in self.estimates.items()
        ]
        return f"pass@k, {self.name}: {'; '.join(sides)}"


@dataclass
class Spread:
    """Lengths and scores of the answers of one policy in one measurement.

    Args:
        measurement: Its name.
        which: ``before`` or ``after``.
        lengths: How many answers have which length, in characters of the program.
        passing: The same of the answers that pass.
        scores: Shares of answers by ``SCORES``; empty where the files do not tell.
        cut_off: Answers that ended at ``max_new_tokens``, or ``None`` where the files do not tell.
    """

    measurement: str
    which: str
    lengths: Counter[int] = field(default_factory=Counter)
    passing: Counter[int] = field(default_factory=Counter)
    scores: list[float] = field(default_factory=list)
    cut_off: int | None = None

    @property
    def total(self) -> int:
        """How many answers there are."""
        return self.lengths.total()


def pass_curves(folder: Folder) -> list[PassCurve]:
    """Return a curve for each measurement that draws several samples a problem, where both policies have it."""
    found = []
    sides = {label: measurements(folder, which) for which, label in WHICH.items()}
    for name, row in sides["before"].items():
        if row["n"] > 1 and name in sides["after"]:
            least = min((n for side in sides.values() for n, _ in side[name]["counts"].values()), default=0)
            ks = _ks(least)
            if ks:
                estimates = {label: [_estimate(side[name]["counts"], k) for k in ks] for label, side in sides.items()}
                found.append(PassCurve(name, row["n"], ks, estimates))
    return found


def _ks(n: int) -> list[int]:
    """Return up to a dozen numbers from 1 to ``n``, closer at the beginning, where the curve bends."""
    if n <= 8:
        return list(range(1, n + 1))
    return sorted({round(n ** (step / 11)) for step in range(12)})


def _estimate(counts: dict[str, list[int]], k: int) -> dict[str, float]:
    from rrtf_trl.statistics.pass_at_k import mean_interval, pass_at_k

    return asdict(mean_interval([pass_at_k(n, passed, k) for n, passed in counts.values()], _RESAMPLES))


def spreads(folder: Folder) -> list[Spread]:
    """Return the spread of every measurement, before and after, in the order of the measurements."""
    names = list(measurements(folder)) or ["greedy", "sampled"]
    found = [_spread(folder, name, which, label) for name in names for which, label in WHICH.items()]
    return [spread for spread in found if spread.total]


def _spread(folder: Folder, name: str, which: str, label: str) -> Spread:
    spread = Spread(name, label)
    scores: Counter[int] = Counter()
    for row in rows(folder, f"evaluation/{which}.{name}.jsonl"):
        length = len(row.get("solution") or row.get("completion", ""))
        spread.lengths[length] += 1
        spread.passing[length] += bool(row["passed"])
        if isinstance(row.get("score"), int | float):
            scores[_bin(row["score"])] += 1
        if "finish_reason" in row:
            spread.cut_off = (spread.cut_off or 0) + (row["finish_reason"] == "length")
    if scores:
        spread.scores = [scores[number] / scores.total() for number in range(len(SCORES))]
    return spread


def _bin(score: float) -> int:
    if score <= 0:
        return 0
    return len(SCORES) - 1 if score >= 1 else 1 + int(4 * score)


def quantile(lengths: Counter[int], share: float) -> int | None:
    """Return the length that ``share`` of the answers do not exceed, or ``None`` where there is no answer."""
    left = share * lengths.total()
    for length in sorted(lengths):
        left -= lengths[length]
        if lengths[length] and left <= 0:
            return length
    return None


def drift(found: list[Spread]) -> list[dict[str, Any]]:
    """Return a row a measurement and policy on how long the answers are; ``change`` is of the median, in percent."""
    told, before = [], None
    for spread in found:
        middle = quantile(spread.lengths, 0.5)
        if spread.which == "before":
            before = middle
        changed = spread.which == "after" and before
        told.append(
            {
                "name": f"{spread.measurement}, {spread.which}",
                "answers": spread.total,
                "low": quantile(spread.lengths, 0.1),
                "median": middle,
                "high": quantile(spread.lengths, 0.9),
                "passing": quantile(spread.passing, 0.5),
                "cut_off": spread.cut_off,
                "change": 100 * ((middle or 0) / before - 1) if changed and before else None,
            }
        )
    return told


def scored_pairs(found: list[Spread]) -> dict[str, dict[str, list[float]]]:
    """Return the scores before and after of each measurement for which both are known."""
    by_name: dict[str, dict[str, list[float]]] = {}
    for spread in found:
        if spread.scores:
            by_name.setdefault(spread.measurement, {})[spread.which] = spread.scores
    return {name: sides for name, sides in by_name.items() if len(sides) == len(WHICH)}


def told(name: str, shares: dict[str, list[float]]) -> str:
    """Return the shares of answers in words, for those who cannot see the picture."""
    sides = [
        f"{which} " + ", ".join(f"{kind}: {100 * value:.0f}%" for kind, value in zip(SCORES, values, strict=True))
        for which, values in shares.items()
    ]
    return f"share of tests passed, {name}: {'; '.join(sides)}"

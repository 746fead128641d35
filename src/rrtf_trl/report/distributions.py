"""How the candidates of held-out problems are distributed before and after training: pass@k, scores, lengths."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rrtf_trl.files.folder import Folder

from .heldout import measurements
from .tallies import rows

WHICH = {"base": "before", "trained": "after"}
"""The two policies of a run, as in file names, and as the page calls them."""

SCORES = ("none", "under ¼", "¼ to ½", "½ to ¾", "over ¾", "all")
"""The bins of the fraction of a problem's tests that a candidate passes."""

_RESAMPLES = 1000  # enough for a band in a figure


@dataclass
class PassCurve:
    """pass@k over k, before and after.

    Args:
        name: The measurement.
        n: Candidates per problem.
        ks: The k of each estimate, from 1 to ``n``.
        estimates: ``before`` and ``after``: ``value``, ``low`` and ``high`` at each k.
    """

    name: str
    n: int
    ks: list[int]
    estimates: dict[str, list[dict[str, float]]]

    def summary(self) -> str:
        """Return the ends of the curves as text, for readers who cannot see them."""
        sides = [
            f"{label} from {100 * points[0]['value']:.1f}% at k = {self.ks[0]} to {100 * points[-1]['value']:.1f}% "
            f"at k = {self.ks[-1]}"
            for label, points in self.estimates.items()
        ]
        return f"pass@k, {self.name}: {'; '.join(sides)}"


@dataclass
class Spread:
    """Lengths and scores of the candidates of one policy in one measurement.

    Args:
        measurement: Its name.
        which: ``before`` or ``after``.
        lengths: Counts of candidates by length, in characters of the program.
        passing: The same for the candidates that pass.
        scores: Fractions of candidates in each bin of ``SCORES``; empty where the files have no scores.
        cut_off: Candidates that ended at ``max_new_tokens``, or ``None`` where the files do not state it.
    """

    measurement: str
    which: str
    lengths: Counter[int] = field(default_factory=Counter)
    passing: Counter[int] = field(default_factory=Counter)
    scores: list[float] = field(default_factory=list)
    cut_off: int | None = None

    @property
    def total(self) -> int:
        """The number of candidates."""
        return self.lengths.total()


def pass_curves(folder: Folder) -> list[PassCurve]:
    """Return a curve for each measurement with several candidates per problem, where both policies have it."""
    curves = []
    sides = {label: measurements(folder, which) for which, label in WHICH.items()}
    for name, row in sides["before"].items():
        if row["n"] > 1 and name in sides["after"]:
            least = min((n for side in sides.values() for n, _ in side[name]["counts"].values()), default=0)
            ks = _ks(least)
            if ks:
                estimates = {label: [_estimate(side[name]["counts"], k) for k in ks] for label, side in sides.items()}
                curves.append(PassCurve(name, row["n"], ks, estimates))
    return curves


def _ks(n: int) -> list[int]:
    """Return up to a dozen numbers from 1 to ``n``, denser at the start, where the curve bends."""
    if n <= 8:
        return list(range(1, n + 1))
    return sorted({round(n ** (step / 11)) for step in range(12)})


def _estimate(counts: dict[str, list[int]], k: int) -> dict[str, float]:
    from rrtf_trl.statistics.pass_at_k import mean_interval, pass_at_k

    return asdict(mean_interval([pass_at_k(n, passed, k) for n, passed in counts.values()], _RESAMPLES))


def spreads(folder: Folder) -> list[Spread]:
    """Return the spread of every measurement, before and after, in the order of the measurements."""
    names = list(measurements(folder)) or ["greedy", "sampled"]
    spreads = (_spread(folder, name, which, label) for name in names for which, label in WHICH.items())
    return [spread for spread in spreads if spread.total]


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


def quantile(lengths: Counter[int], fraction: float) -> int | None:
    """Return the length that ``fraction`` of the candidates do not exceed, or ``None`` where there are none."""
    left = fraction * lengths.total()
    for length in sorted(lengths):
        left -= lengths[length]
        if lengths[length] and left <= 0:
            return length
    return None


def drift(spreads: list[Spread]) -> list[dict[str, Any]]:
    """Return a row for each measurement and policy: quantiles of length, and the change of the median in percent."""
    table, before = [], None
    for spread in spreads:
        median = quantile(spread.lengths, 0.5)
        if spread.which == "before":
            before = median
        table.append(
            {
                "name": f"{spread.measurement}, {spread.which}",
                "candidates": spread.total,
                "low": quantile(spread.lengths, 0.1),
                "median": median,
                "high": quantile(spread.lengths, 0.9),
                "passing": quantile(spread.passing, 0.5),
                "cut_off": spread.cut_off,
                "change": 100 * ((median or 0) / before - 1) if spread.which == "after" and before else None,
            }
        )
    return table


def scored_pairs(spreads: list[Spread]) -> dict[str, dict[str, list[float]]]:
    """Return the scores before and after of each measurement for which both are known."""
    by_name: dict[str, dict[str, list[float]]] = {}
    for spread in spreads:
        if spread.scores:
            by_name.setdefault(spread.measurement, {})[spread.which] = spread.scores
    return {name: sides for name, sides in by_name.items() if len(sides) == len(WHICH)}


def scores_summary(name: str, fractions: dict[str, list[float]]) -> str:
    """Return the fractions of candidates as text, for readers who cannot see the figure."""
    sides = [
        f"{which} " + ", ".join(f"{kind}: {100 * value:.0f}%" for kind, value in zip(SCORES, values, strict=True))
        for which, values in fractions.items()
    ]
    return f"fraction of tests passed, {name}: {'; '.join(sides)}"

"""Write the study's tables and plots from its results.

python benchmarks/study/write.py

For each `benchmarks/results/study/POLICY.jsonl` a `POLICY.md` with tables, and `docs/images/study-POLICY-PART.svg`.
An interval is of 95%, by resampling problems and seeds together; a difference is between arms on the same problems
and seeds.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from arms import PARTS
from numpy.typing import NDArray

from rrtf_trl.statistics.pass_at_k import pass_at_k

Values = NDArray[np.float64]
"""Of an arm: seeds x problems, each a problem's estimate of pass@k."""
Rows = list[dict[str, Any]]

FIGURES = ("greedy pass@1", "sampled pass@1", "sampled pass@4")
SAMPLES = {"greedy": 1, "sampled": 8}


def main() -> None:
    """Write what there are results for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/study"))
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    for file in sorted(options.results.glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        lines = list({row["key"]: row for row in rows}.values())  # two processes may have made the same one
        file.with_suffix(".md").write_text(page(file.stem, lines))
        for part in PARTS:
            if arms := by_arm(lines, part):
                plot(part, arms, start(lines), options.images / f"study-{file.stem}-{part}.svg")


def by_arm(lines: Rows, part: str) -> dict[str, Rows]:
    """Return the results of a part's arms, in the order of the arms, each by seed; none if only one is there."""
    found: dict[str, Rows] = {}
    for name, arm in PARTS[part].arms.items():
        about = asdict(arm)
        rows = [line for line in lines if "learning_rate" in line and "rate" not in line]
        rows = [line for line in rows if all(line[key] == value for key, value in about.items())]
        if rows:
            found[name] = sorted(rows, key=lambda line: line["seed"])
    return found if len(found) > 1 else {}


def start(lines: Rows) -> dict[str, dict[str, Any]]:
    """Return the figures of the policy that all start from, and of the teachers."""
    return {line["start"]: line for line in lines if "start" in line}


def values(rows: Rows, figure: str) -> Values:
    """Return an arm's estimates of a figure, seeds x problems."""
    name, k = figure.split(" pass@")
    n = SAMPLES[name]
    return np.array([[pass_at_k(n, passed, int(k)) for passed in row["passes"][name]] for row in rows])


def interval(data: Values, resamples: int = 2000) -> tuple[float, float]:
    """Return a 95% interval of the mean, by resampling seeds and problems."""
    rng = np.random.default_rng(0)
    seeds, problems = data.shape
    means = []
    for _ in range(resamples):
        some = data[rng.integers(0, seeds, seeds)]
        means.append(some[:, rng.integers(0, problems, problems)].mean())
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def page(policy: str, lines: Rows) -> str:
    """Return all tables of a policy."""
    seeds = sorted({line["seed"] for line in lines if "learning_rate" in line and "rate" not in line})
    level = lines[0]["level"]
    dates, machines = (sorted({line[name] for line in lines}) for name in ("date", "machine"))
    text = [
        f"# The study with {policy}",
        "",
        f"`python benchmarks/study/run.py --policy {policy} --teacher teacher --level {level} "
        f"--seeds {' '.join(map(str, seeds))}`",
        "",
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}, {'; '.join(machines)}, one thread a process, other "
        f"work beside it: seconds are rough. 200 held-out exercises of level {level}, greedy and 8 samples at T 0.8; "
        "means over seeds in percent. Differences are to the first row of a table, in points, with 95% intervals over "
        "problems and seeds. Tokens are those that are trained on, in thousands; the reference model of DPO, and the "
        "answers of all but GRPO, come on top.",
        "",
        "| | " + " | ".join(FIGURES) + " |",
        "| --- | --- | --- | --- |",
    ]
    for name, line in start(lines).items():
        text.append(f"| {name} | " + " | ".join(f"{100 * line['figures'][figure]:.1f}" for figure in FIGURES) + " |")
    for part, about in PARTS.items():
        arms = by_arm(lines, part)
        if arms:
            text += ["", f"## {about.question}", "", *table(arms)]
    return "\n".join(text) + "\n"


def table(arms: dict[str, Rows]) -> list[str]:
    """Return the table of a part."""
    head = ["", "seeds", "learning rate", "tokens", "seconds"]
    for figure in FIGURES:
        head += [figure, "difference"]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    first = next(iter(arms.values()))
    for name, rows in arms.items():
        tokens, seconds = (np.mean([row[key] for row in rows]) for key in ("tokens", "train_seconds"))
        cells = [name, str(len(rows)), f"{rows[0]['learning_rate']:g}", f"{tokens / 1000:.0f}", f"{seconds:.0f}"]
        both = sorted({row["seed"] for row in rows} & {row["seed"] for row in first})
        for figure in FIGURES:
            cells.append(f"{100 * values(rows, figure).mean():.1f}")
            if rows is first or not both:
                cells.append("")
                continue
            ours, theirs = (values([row for row in some if row["seed"] in both], figure) for some in (rows, first))
            low, high = interval(ours - theirs)
            cells.append(f"{100 * (ours - theirs).mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def plot(part: str, arms: dict[str, Rows], starts: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw a part: figures of all arms with intervals, or, for the amounts of data, curves over epochs."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "study", "svg.fonttype": "none", "font.size": 9})
    shown = FIGURES[:2] if part == "data" else FIGURES
    height = 3.2 if part == "data" else 1.2 + 0.28 * len(arms)
    figure, axes = pyplot.subplots(1, len(shown), figsize=(9, height), sharey=part != "data", layout="constrained")
    for axis, name in zip(axes, shown, strict=True):
        if part == "data":
            _curves(axis, name, arms)
        else:
            _dots(axis, name, arms)
            axis.axvline(100 * starts["base"]["figures"][name], color="grey", linestyle=":", linewidth=1)
        axis.set_title(f"{name}, %")
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False) if part == "data" else None
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _dots(axis: Any, name: str, arms: dict[str, Rows]) -> None:
    for number, rows in enumerate(arms.values()):
        data = values(rows, name)
        low, high = interval(data)
        ours = rows[0]["trainer"] == "rrtf"
        color = "tab:blue" if ours else "tab:orange"
        axis.plot([100 * low, 100 * high], [number, number], color=color, linewidth=1.5)
        axis.plot(100 * data.mean(), number, "o", color=color, markersize=5)
        axis.plot(100 * data.mean(axis=1), [number] * len(data), "|", color=color, markersize=7)
    axis.set_yticks(range(len(arms)), list(arms))
    axis.invert_yaxis() if not axis.yaxis_inverted() else None


def _curves(axis: Any, name: str, arms: dict[str, Rows]) -> None:
    by_size: dict[int, dict[float, Values]] = defaultdict(dict)
    for rows in arms.values():
        by_size[rows[0]["problems"]][rows[0]["epochs"]] = values(rows, name)
    for size, by_epochs in sorted(by_size.items()):
        epochs = sorted(by_epochs)
        means = [100 * by_epochs[count].mean() for count in epochs]
        low, high = zip(*(interval(100 * by_epochs[count]) for count in epochs), strict=True)
        (line,) = axis.plot(epochs, means, "o-", label=f"{size} problems")
        axis.fill_between(epochs, low, high, alpha=0.15, color=line.get_color())
    axis.set_xlabel("epochs")


if __name__ == "__main__":
    main()

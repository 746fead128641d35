"""Rounds: sample from the newest policy, judge, rank, train it, measure it, and repeat.

rounds/1, rounds/2, ...   each round as a run of its own: its data, checkpoints, policy, figures and report
rounds.json               the figures before and after each round, which policy is kept, why it ended
policy                    a link to the policy that is kept
results.json              the first policy beside the one that is kept, as in any run
report.html               the curve over the rounds

A round is an ordinary run that starts from the policy of the round before. So it resumes after a kill like any run, a
larger ``rounds=N`` continues where a smaller one ended, and the policy that a round starts from is not measured again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from rrtf_trl.errors import NothingToTrainOn, UserError
from rrtf_trl.evaluation import Evaluation, before_and_after
from rrtf_trl.files.atomic import write_link
from rrtf_trl.storage.run_folder import RunFolder

from .pipeline import measured_in


@dataclass(frozen=True)
class EarlyStopping:
    """When rounds end before their number is reached.

    Args:
        patience: Rounds in a row without a new best figure after which to stop. The policy of the best round is kept
            then. ``None`` runs all rounds and keeps the last policy.
        figure: What is compared, by its name in ``results.json`` such as ``greedy pass@1``; by default the first.

    Raises:
        ValueError: If ``patience`` is not a positive number.
    """

    patience: int | None = None
    figure: str | None = None

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"early_stopping.patience: expected null or a number from 1, got {self.patience}")


def run_rounds(
    folder: RunFolder,
    count: int,
    model: str,
    one_round: Callable[[int, str], RunFolder],
    evaluation: Evaluation,
    stopping: EarlyStopping,
    console: Console,
) -> dict[str, Any]:
    """Run the rounds, and return the content of ``rounds.json``.

    Args:
        folder: The folder of all rounds together.
        count: Rounds at most.
        model: Path or hub id of the policy to start from.
        one_round: Called with the number of a round, from 1, and the policy to start from; runs it to its report.
        evaluation: How policies are measured.
        stopping: When to end early.
        console: Where progress goes.

    Raises:
        UserError: If ``count`` is not positive, or there is no figure of the name to compare.
    """
    if count < 1:
        raise UserError(f"rounds: expected a number from 1, got {count}")
    figures = [f"{name} pass@{k}" for name, measurement in evaluation.measurements.items() for k in measurement.ks]
    figure = stopping.figure or figures[0]
    if figure not in figures:
        raise UserError(f"early_stopping.figure: there is no {figure!r}; there are: {', '.join(figures)}")
    rounds: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    policy = model
    for number in range(1, count + 1):
        console.rule(f"round {number} of {count}", align="left")
        try:
            finished = one_round(number, policy)
        except NothingToTrainOn as error:
            if not rounds:
                raise
            summary["ended"] = f"round {number} found nothing to train on: {error}"
            break
        policy = str(finished / "policy")
        rounds.append(_round(finished, number))
        summary = _summarize(rounds, figure, stopping)
        if _exhausted(summary, stopping):
            summary["ended"] = f"no new best {figure} in {stopping.patience} rounds"
            break
        summary["ended"] = "all rounds are done" if number == count else f"stopped before round {number + 1}"
        _write(folder, summary, evaluation)
    _write(folder, summary, evaluation)
    _report(folder)
    console.print(_summary_line(summary), highlight=False)
    console.print(f"report: {folder / 'report.html'}", highlight=False)
    return summary


def _round(run: RunFolder, number: int) -> dict[str, Any]:
    results = run.read_json("results.json")
    stages = (run.read_json("run.json") or {})["stages"]
    return {
        "round": number,
        "groups": stages["rank"]["groups"],
        "responses": stages["rank"]["responses"],
        "seconds": round(sum(stage["seconds"] for stage in stages.values()), 1),
        "before": {figure: row["base"] for figure, row in results.items()},
        "after": {figure: row["trained"] for figure, row in results.items()},
        "gain": {figure: row["gain"] for figure, row in results.items()},
    }


def _summarize(rounds: list[dict[str, Any]], figure: str, stopping: EarlyStopping) -> dict[str, Any]:
    """Return the figure that decides, the best round, and the one that is kept."""
    best = max(rounds, key=lambda row: row["after"][figure]["value"])["round"]  # of equal ones, the earliest
    kept = rounds[-1]["round"] if stopping.patience is None else best
    return {"figure": figure, "best": best, "kept": kept, "rounds": rounds}


def _exhausted(summary: dict[str, Any], stopping: EarlyStopping) -> bool:
    if stopping.patience is None:
        return False
    rounds, figure = summary["rounds"], summary["figure"]
    start = rounds[0]["before"][figure]["value"]
    best = summary["best"] if rounds[summary["best"] - 1]["after"][figure]["value"] > start else 0
    return len(rounds) - best >= stopping.patience


def _write(folder: RunFolder, summary: dict[str, Any], evaluation: Evaluation) -> None:
    """Write the rounds so far, so that after a kill the folder shows those that are finished."""
    folder.write_json("rounds.json", summary)
    kept = f"rounds/{summary['kept']}"
    before = measured_in(RunFolder(folder / "rounds/1"), "base")
    after = measured_in(RunFolder(folder / kept), "trained")
    folder.write_json("results.json", before_and_after(before, after, evaluation))
    write_link(folder / "policy", f"{kept}/policy")


def _summary_line(summary: dict[str, Any]) -> str:
    figure = summary["figure"]
    values = [summary["rounds"][0]["before"][figure], *(row["after"][figure] for row in summary["rounds"])]
    curve = " → ".join(f"{100 * value['value']:.1f}" for value in values)
    return f"rounds: {figure} {curve} percent; the policy of round {summary['kept']} is kept ({summary['ended']})"


def _report(folder: RunFolder) -> None:
    from rrtf_trl.report.rounds import write_rounds_report

    write_rounds_report(folder.path)

"""Iterated rounds: sample from the newest policy, judge, rank, train from it, measure it, and go again.

rounds/1, rounds/2, ...   each round as a run of its own: its data, checkpoints, policy, figures and report
rounds.json               the figures before and after each round, which policy is kept, why it ended
policy                    a link to the policy that is kept
results.json              the policy of the start beside the one that is kept, as in any run
report.html               the curve over the rounds

A round is an ordinary run that starts from the policy before it. So it goes on after a kill like any run, a later
``rounds=N`` with a larger N goes on from where a smaller one ended, and the policy that a round starts from, which
the round before has measured, is not measured again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from rrtf_trl.errors import NothingToTrainOn, UserError
from rrtf_trl.evaluation import Evaluation, before_and_after
from rrtf_trl.storage.run_folder import RunFolder

from .pipeline import measured_in


@dataclass(frozen=True)
class EarlyStopping:
    """When rounds end before their number is reached.

    Args:
        patience: Rounds in a row without a new best figure after which to stop. The policy of the best round is kept
            then. ``None`` goes through all rounds and keeps the last policy.
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
    """Go through the rounds, and return what ``rounds.json`` holds.

    Args:
        folder: Of all rounds together.
        count: How many to go through at most.
        model: The policy to start from, path or hub id.
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
    told: dict[str, Any] = {}
    policy = model
    for number in range(1, count + 1):
        console.rule(f"round {number} of {count}", align="left")
        try:
            finished = one_round(number, policy)
        except NothingToTrainOn as error:
            if not rounds:
                raise
            told["ended"] = f"round {number} found nothing to train on: {error}"
            break
        policy = str(finished / "policy")
        rounds.append(_round(finished, number))
        told = _told(rounds, figure, stopping)
        if _exhausted(told, stopping):
            told["ended"] = f"no new best {figure} in {stopping.patience} rounds"
            break
        told["ended"] = "all rounds were gone through" if number == count else f"stopped before round {number + 1}"
        _write(folder, told, evaluation)
    _write(folder, told, evaluation)
    _report(folder)
    console.print(_summary(told), highlight=False)
    console.print(f"report: {folder / 'report.html'}", highlight=False)
    return told


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


def _told(rounds: list[dict[str, Any]], figure: str, stopping: EarlyStopping) -> dict[str, Any]:
    """Return what is known after these rounds: the figure that decides, the best round, the one that is kept."""
    best = max(rounds, key=lambda row: row["after"][figure]["value"])["round"]  # of equal ones, the earliest
    kept = rounds[-1]["round"] if stopping.patience is None else best
    return {"figure": figure, "best": best, "kept": kept, "rounds": rounds}


def _exhausted(told: dict[str, Any], stopping: EarlyStopping) -> bool:
    if stopping.patience is None:
        return False
    rounds, figure = told["rounds"], told["figure"]
    start = rounds[0]["before"][figure]["value"]
    best = told["best"] if rounds[told["best"] - 1]["after"][figure]["value"] > start else 0
    return len(rounds) - best >= stopping.patience


def _write(folder: RunFolder, told: dict[str, Any], evaluation: Evaluation) -> None:
    """Write what is known so far: after a kill, the folder shows the rounds that were finished."""
    folder.write_json("rounds.json", told)
    kept = f"rounds/{told['kept']}"
    before = measured_in(RunFolder(folder / "rounds/1"), "base")
    after = measured_in(RunFolder(folder / kept), "trained")
    folder.write_json("results.json", before_and_after(before, after, evaluation))
    link = folder / "policy.part"
    link.unlink(missing_ok=True)
    link.symlink_to(f"{kept}/policy", target_is_directory=True)
    os.replace(link, folder / "policy")


def _summary(told: dict[str, Any]) -> str:
    figure = told["figure"]
    values = [told["rounds"][0]["before"][figure], *(row["after"][figure] for row in told["rounds"])]
    curve = " → ".join(f"{100 * value['value']:.1f}" for value in values)
    return f"rounds: {figure} {curve} percent; the policy of round {told['kept']} is kept ({told['ended']})"


def _report(folder: RunFolder) -> None:
    from rrtf_trl.report.rounds import write_rounds_report

    write_rounds_report(folder.path)

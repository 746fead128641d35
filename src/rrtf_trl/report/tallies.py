"""Counts over the files of a run, read one row at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rrtf_trl.files.folder import Folder
from rrtf_trl.records import ANSWER_REASONS, PROBLEM_REASONS

from .words import CURVES, STATES

REASONS = {**ANSWER_REASONS, **PROBLEM_REASONS}
"""Why ranking drops answers or whole problems, each in words."""

_POINTS = 150  # of a drawn curve; a longer log is averaged down to this many


@dataclass
class Tally:
    """How many answers of one kind came to which state.

    Args:
        label: Whose answers, to what.
        counts: Answers by state.
    """

    label: str
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All answers of this kind."""
        return self.counts.total()


@dataclass
class Drop:
    """One line of the account of what was dropped.

    Args:
        reason: Why, in words.
        problems: Whole problems dropped, or ``None`` where single answers are.
        answers: Answers dropped, alone or with their problem; ``None`` where the files do not tell.
        examples: The first problems concerned.
    """

    reason: str
    problems: int | None
    answers: int | None = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Curve:
    """A logged value over the steps of training, averaged down where there are many."""

    name: str
    meaning: str
    steps: list[float]
    values: list[float]


def rows(folder: Folder, name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of the run, none where there is no such file."""
    if (folder / name).is_file():
        yield from folder.read_jsonl(name)


def judged(folder: Folder) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each candidate with its verdict by tests; the two files are in the same order."""
    candidates = rows(folder, "candidates.jsonl")
    candidate: dict[str, Any] | None = None
    for judgement in rows(folder, "judgements.jsonl"):
        while candidate is None or candidate["candidate_id"] != judgement["candidate_id"]:
            candidate = next(candidates, None)
            if candidate is None:
                return
        if judgement["state"] is not None:
            yield candidate, judgement


def tallies(folder: Folder, measurement: str) -> list[Tally]:
    """Count states: of the answers to the training problems by source, and of those to held-out ones before and after.

    Args:
        folder: The run.
        measurement: The name of the measurement whose answers to held-out problems are counted.
    """
    by_source: dict[str, Tally] = {}
    for candidate, judgement in judged(folder):
        source = candidate["source"]
        tally = by_source.setdefault(source, Tally(f"{source}, training problems"))
        tally.counts[judgement["state"]] += 1
    found = list(by_source.values())
    for which, label in (("base", "held-out problems, before"), ("trained", "held-out problems, after")):
        tally = Tally(
            label,
            Counter(
                row.get("state", row["result"]) for row in rows(folder, f"evaluation/{which}.{measurement}.jsonl")
            ),
        )
        if tally.total:
            found.append(tally)
    return found


def states_of(found: list[Tally]) -> list[str]:
    """Return the states that occur, from best to worst."""
    present = {state for tally in found for state in tally.counts}
    return [state for state in STATES if state in present] + sorted(present - STATES.keys())


def drops(folder: Folder, rank: dict[str, Any]) -> list[Drop]:
    """Count what ranking dropped, by reason.

    Args:
        folder: The run; without its ``dropped.jsonl`` only the counts of ``rank`` are known.
        rank: What ``run.json`` notes of the rank stage.
    """
    found: dict[str, Drop] = {}
    for row in rows(folder, "dropped.jsonl"):
        drop = found.setdefault(row["reason"], _drop(row["reason"]))
        if drop.problems is not None:
            drop.problems += 1
        drop.answers = (drop.answers or 0) + len(row["candidate_ids"])
        if len(drop.examples) < 3:
            drop.examples.append(row["task_id"][:120])
    if not (folder / "dropped.jsonl").is_file():
        for reason in REASONS:
            if count := rank.get(reason, 0):
                drop = found[reason] = _drop(reason)
                drop.problems, drop.answers = (None, count) if drop.problems is None else (count, None)
    order = list(REASONS)
    return [found[reason] for reason in sorted(found, key=lambda r: order.index(r) if r in order else len(order))]


def _drop(reason: str) -> Drop:
    return Drop(REASONS.get(reason, reason), None if reason in ANSWER_REASONS else 0)


def curves(folder: Folder) -> list[Curve]:
    """Return the curves of the training log, in the order of ``words.CURVES``."""
    logged: dict[str, list[tuple[float, float]]] = {name: [] for name in CURVES}
    for row in rows(folder, "train_log.jsonl"):
        for name, found in logged.items():
            value = row.get(name)
            if isinstance(value, int | float) and math.isfinite(value) and "step" in row:
                found.append((row["step"], value))
    return [
        Curve(name, CURVES[name], *_averaged([s for s, _ in found], [v for _, v in found]))
        for name, found in logged.items()
        if found
    ]


def _averaged(steps: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    size = math.ceil(len(steps) / _POINTS)
    if size == 1:
        return steps, values
    chunks = [slice(start, start + size) for start in range(0, len(steps), size)]
    return [steps[c][-1] for c in chunks], [sum(values[c]) / len(values[c]) for c in chunks]

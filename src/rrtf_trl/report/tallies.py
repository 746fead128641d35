"""Counts over the files of a run, read one row at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rrtf_trl.files.folder import Folder
from rrtf_trl.records import CANDIDATE_REASONS, PROBLEM_REASONS

from .words import CURVES, STATES

REASONS = {**CANDIDATE_REASONS, **PROBLEM_REASONS}
"""Why ranking drops candidates or whole problems, as text by reason."""

_POINTS = 150  # of a drawn curve; a longer log is averaged down to this many


@dataclass
class Tally:
    """How many candidates of one kind came to which state.

    Args:
        label: Which candidates.
        counts: Candidates by state.
    """

    label: str
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """The number of candidates."""
        return self.counts.total()


@dataclass
class Drop:
    """What was dropped for one reason.

    Args:
        reason: Why, as text.
        problems: Whole problems dropped, or ``None`` where single candidates are.
        candidates: Candidates dropped, alone or with their problem; ``None`` where the files do not state it.
        examples: The first problems concerned.
    """

    reason: str
    problems: int | None
    candidates: int | None = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Curve:
    """A logged value over the steps of training, averaged down where there are many."""

    name: str
    meaning: str
    steps: list[float]
    values: list[float]


def rows(folder: Folder, name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of the run; none where the file is missing."""
    if (folder / name).is_file():
        yield from folder.read_jsonl(name)


def judged(folder: Folder) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each candidate with its judgement by tests; the two files are in the same order."""
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
    """Count the states of candidates of training problems by source, and of held-out problems before and after.

    Args:
        folder: The run.
        measurement: The measurement of held-out problems whose candidates are counted.
    """
    by_label: dict[str, Tally] = {}
    for candidate, judgement in judged(folder):
        label = f"{candidate['source']}, training problems"
        by_label.setdefault(label, Tally(label)).counts[judgement["state"]] += 1
    for which, label in (("base", "held-out problems, before"), ("trained", "held-out problems, after")):
        for row in rows(folder, f"evaluation/{which}.{measurement}.jsonl"):
            by_label.setdefault(label, Tally(label)).counts[row.get("state", row["result"])] += 1
    return list(by_label.values())


def states_of(tallied: list[Tally]) -> list[str]:
    """Return the states that occur, from best to worst."""
    present = {state for tally in tallied for state in tally.counts}
    return [state for state in STATES if state in present] + sorted(present - STATES.keys())


def drops(folder: Folder, rank: dict[str, Any]) -> list[Drop]:
    """Count what ranking dropped, by reason.

    Args:
        folder: The run; without its ``dropped.jsonl`` only the counts of ``rank`` are known.
        rank: The notes of the rank stage in ``run.json``.
    """
    by_reason: dict[str, Drop] = {}
    for row in rows(folder, "dropped.jsonl"):
        drop = by_reason.setdefault(row["reason"], _drop(row["reason"]))
        if drop.problems is not None:
            drop.problems += 1
        drop.candidates = (drop.candidates or 0) + len(row["candidate_ids"])
        if len(drop.examples) < 3:
            drop.examples.append(row["task_id"][:120])
    if not (folder / "dropped.jsonl").is_file():
        for reason in REASONS:
            if count := rank.get(reason, 0):
                drop = by_reason[reason] = _drop(reason)
                drop.problems, drop.candidates = (None, count) if drop.problems is None else (count, None)
    order = list(REASONS)
    known_first = sorted(by_reason, key=lambda reason: order.index(reason) if reason in order else len(order))
    return [by_reason[reason] for reason in known_first]


def _drop(reason: str) -> Drop:
    return Drop(REASONS.get(reason, reason), None if reason in CANDIDATE_REASONS else 0)


def curves(folder: Folder) -> list[Curve]:
    """Return the curves of the training log, in the order of ``words.CURVES``."""
    logged: dict[str, list[tuple[float, float]]] = {name: [] for name in CURVES}
    for row in rows(folder, "train_log.jsonl"):
        for name, points in logged.items():
            value = row.get(name)
            if isinstance(value, int | float) and math.isfinite(value) and "step" in row:
                points.append((row["step"], value))
    return [
        Curve(name, CURVES[name], *_averaged([step for step, _ in points], [value for _, value in points]))
        for name, points in logged.items()
        if points
    ]


def _averaged(steps: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    size = math.ceil(len(steps) / _POINTS)
    if size == 1:
        return steps, values
    chunks = [slice(start, start + size) for start in range(0, len(steps), size)]
    return [steps[c][-1] for c in chunks], [sum(values[c]) / len(values[c]) for c in chunks]

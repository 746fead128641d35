"""Who judged, how far their word can be trusted, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rrtf_trl.run_folder import RunFolder

from .tallies import rows

_SHARE = ("share", "value")  # what a share is called in the figures of a source
_LONGEST = 40  # figures of one source that are shown


@dataclass
class Source:
    """What a source of feedback tells of itself.

    Args:
        name: The source.
        figures: What was counted or measured, each with its value in words.
    """

    name: str
    figures: list[tuple[str, str]]


@dataclass
class Disagreement:
    """How often two sources put the same two answers in opposite orders."""

    sources: str
    pairs: int
    opposed: int


def sources(folder: RunFolder, names: list[str]) -> list[Source]:
    """Return what each source says of itself in ``feedback/NAME.json``, those that say something."""
    found = []
    for name in names:
        figures = folder.read_json(f"feedback/{name}.json")
        if figures:
            found.append(Source(name, list(_in_words(figures))[:_LONGEST]))
    return found


def _in_words(figures: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each figure under its path; a share with an interval is one figure."""
    if isinstance(figures, dict) and any(key in figures for key in _SHARE) and "low" in figures:
        share = figures.get("share", figures.get("value"))
        if share is not None:
            count = figures.get("n", figures.get("pairs"))
            interval = f"{100 * figures['low']:.0f} to {100 * figures['high']:.0f}"
            expected = figures.get("expected", figures.get("others"))
            told = f", expected {100 * expected:.0f}%" if isinstance(expected, float) else ""
            yield path, f"{100 * share:.0f}% ({interval}; of {count}{told})"
    elif isinstance(figures, dict):
        for key, value in figures.items():
            yield from _in_words(value, f"{path}, {key}" if path else key)
    elif isinstance(figures, list):
        for item in figures:
            if isinstance(item, dict):
                who = " and ".join(str(item.pop(key)) for key in ("name", "one", "other") if key in item)
                yield from _in_words(item, f"{path}, {who}" if who else path)
    elif figures is not None and figures != "":
        yield path.replace("_", " "), f"{figures:,.3g}" if isinstance(figures, float) else str(figures)


def disagreements(rank: dict[str, Any]) -> list[Disagreement]:
    """Return the conflicts that ``run.json`` counts in its note on ranking."""
    return [
        Disagreement(name, found.get("pairs", 0), found.get("opposed", 0))
        for name, found in rank.get("conflicts", {}).items()
    ]


def opinions(folder: RunFolder, tasks: set[str]) -> dict[str, str]:
    """Return what sources beside the tests said of the answers to some problems: by candidate, in words."""
    found: dict[str, str] = {}
    left = set(tasks)
    for row in rows(folder, "standings.jsonl"):
        if row["task_id"] in left:
            left.discard(row["task_id"])
            for standing in row["standings"]:
                others = {k: v for k, v in standing["opinions"].items() if k not in ("unit_tests", "sample")}
                found[standing["candidate_id"]] = ", ".join(
                    f"{name} {'abstained' if value is None else f'{value:.2f}'}" for name, value in others.items()
                )
        if not left:
            break
    return found

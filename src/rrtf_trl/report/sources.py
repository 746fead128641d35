"""The feedback sources: what they report on themselves, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rrtf_trl.files.folder import Folder

_MOST_FIGURES = 40  # of one source


@dataclass
class Source:
    """What a feedback source reports on itself.

    Args:
        name: The source.
        figures: Names and values of what it counted or measured, as text.
    """

    name: str
    figures: list[tuple[str, str]]


@dataclass
class Disagreement:
    """How often two sources put the same two candidates in opposite orders."""

    sources: str
    pairs: int
    opposed: int


def sources(folder: Folder, names: list[str]) -> list[Source]:
    """Return what each source reports on itself in ``feedback/NAME.json``, where it has that file."""
    reports = {name: folder.read_json(f"feedback/{name}.json") for name in names}
    return [Source(name, list(_as_text(report))[:_MOST_FIGURES]) for name, report in reports.items() if report]


def _as_text(figures: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (name, value) of each figure, named by its path; a proportion with its interval is one figure."""
    if isinstance(figures, dict) and {"share", "low", "high", "n"} <= figures.keys():
        if figures["share"] is not None:  # a `rrtf_trl.statistics.proportion.Share`
            interval = f"{100 * figures['low']:.0f} to {100 * figures['high']:.0f}"
            expected = figures.get("expected")
            by_chance = f", expected {100 * expected:.0f}%" if expected is not None else ""
            yield path, f"{100 * figures['share']:.0f}% ({interval}; of {figures['n']}{by_chance})"
    elif isinstance(figures, dict):
        for key, value in figures.items():
            yield from _as_text(value, f"{path}, {key}" if path else key)
    elif isinstance(figures, list):
        for item in figures:
            if isinstance(item, dict):
                name = " and ".join(str(item.pop(key)) for key in ("name", "one", "other") if key in item)
                yield from _as_text(item, f"{path}, {name}" if name else path)
    elif figures is not None and figures != "":
        yield path.replace("_", " "), f"{figures:,.3g}" if isinstance(figures, float) else str(figures)


def disagreements(rank: dict[str, Any]) -> list[Disagreement]:
    """Return the conflicts that ``run.json`` counts for the rank stage."""
    return [
        Disagreement(name, counts.get("pairs", 0), counts.get("opposed", 0))
        for name, counts in rank.get("conflicts", {}).items()
    ]

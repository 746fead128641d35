"""Who judged, how far their word can be trusted, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rrtf_trl.files.folder import Folder

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


def sources(folder: Folder, names: list[str]) -> list[Source]:
    """Return what each source says of itself in ``feedback/NAME.json``, those that say something."""
    found = []
    for name in names:
        figures = folder.read_json(f"feedback/{name}.json")
        if figures:
            found.append(Source(name, list(_in_words(figures))[:_LONGEST]))
    return found


def _in_words(figures: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each figure under its path; a share with an interval is one figure."""
    if (
        isinstance(figures, dict) and {"share", "low", "high", "n"} <= figures.keys()
    ):  # a rrtf_trl.statistics.proportion.Share
        if figures["share"] is not None:
            interval = f"{100 * figures['low']:.0f} to {100 * figures['high']:.0f}"
            expected = figures.get("expected")
            told = f", expected {100 * expected:.0f}%" if expected is not None else ""
            yield path, f"{100 * figures['share']:.0f}% ({interval}; of {figures['n']}{told})"
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

"""The report of iterated rounds: the estimates over them, and links to each round's own page."""

from __future__ import annotations

from pathlib import Path

from rrtf_trl.files.folder import Folder

from . import words
from .page import style
from .sections import environment, markup


def write_rounds_report(folder: Path) -> Path:
    """Write ``report.html`` into the folder of rounds, and return its path.

    Args:
        folder: A folder that :mod:`rrtf_trl.pipeline.rounds` wrote.
    """
    from .figures import rounds_figure

    run = Folder(folder)
    summary, results = run.read_json("rounds.json"), run.read_json("results.json")
    page = (
        environment()
        .get_template("rounds.html.jinja")
        .render(
            style=style(),
            name=run.path.resolve().name,
            headline=words.headline(results),
            summary=summary,
            figure=markup(rounds_figure(summary)),
        )
    )
    with run.writing("report.html") as file:
        file.write(page)
    return run / "report.html"

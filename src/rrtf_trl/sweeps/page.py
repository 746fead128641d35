"""A sweep's report: one self-contained HTML page in the style of a run's report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rrtf_trl.report import words
from rrtf_trl.report.page import style
from rrtf_trl.report.sections import environment, markup
from rrtf_trl.storage.run_folder import RunFolder

from .effects import effects, show
from .table import SweepTable

_LONGEST = 20_000


def write_sweep_report(table: SweepTable, folder: RunFolder) -> Path:
    """Write ``report.html`` into a sweep's folder, and return its path.

    Args:
        table: The sweep.
        folder: Its folder.
    """
    page = environment(Path(__file__).parent).get_template("sweep.html.jinja").render(_facts(table, folder.path))
    with folder.writing("report.html") as file:
        file.write(page.encode("utf-8", "replace").decode())
    return folder / "report.html"


def _facts(table: SweepTable, path: Path) -> dict[str, Any]:
    states = [row.state for row in table.rows]
    found = effects(table) if table.measured else {}
    return {
        "words": words,
        "show": show,
        "style": style(),
        "name": table.name,
        "headline": _headline(table),
        "table": table,
        "counts": {state: states.count(state) for state in dict.fromkeys(states)},
        "as_good": table.as_good if table.measured else 0,
        "links": {row.job: _link(row.run, path) for row in table.rows},
        "commands": {row.job: words.without_secrets(row.command)[:_LONGEST] for row in table.rows},
        **_pictures(table, found),
    }


def _headline(table: SweepTable) -> str:
    """Return the best run as a sentence."""
    if not table.measured:
        return f"No run of this sweep has figures yet, of {len(table.rows)} jobs."
    best, figure = table.measured[0], table.figures[0]
    estimate = best.figures[figure]
    settings = ", ".join(f"{name} = {show(value)}" for name, value in best.settings.items())
    return (
        f"Best {figure} of {len(table.measured)} runs: {words.percent(estimate['value'])} "
        f"(95% interval {words.interval(estimate)}){' with ' + settings if settings else ''}."
    )


def _link(run: Path | None, sweep: Path) -> str | None:
    """Return the relative link from the sweep's page to a run's report, if there is one."""
    report = run / "report.html" if run else None
    return os.path.relpath(report, sweep) if report and report.is_file() else None


def _pictures(table: SweepTable, found: dict[str, Any]) -> dict[str, Any]:
    if not table.measured or not table.settings:
        return {"parallel": "", "effects": [], "most_axes": 0}
    from .figures import MOST_AXES, effect_figure, parallel_coordinates

    means = [level.mean for levels in found.values() for level in levels]
    scale = (min(mean.low for mean in means), max(mean.high for mean in means)) if means else (0.0, 1.0)
    return {
        "parallel": markup(parallel_coordinates(table)),
        "effects": [(name, levels, markup(effect_figure(name, levels, *scale))) for name, levels in found.items()],
        "most_axes": MOST_AXES,
    }

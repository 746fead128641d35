"""A run as one HTML page without scripts, requests or other files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrtf_trl import registry
from rrtf_trl.files.folder import Folder

from . import examples, words
from .sections import Section, config_of, environment, markup, stages_of

_HERE = Path(__file__).parent


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, and return its path.

    A run that was stopped early has a report too, which states what is missing. The same files give the same page,
    and its size is bounded.

    Args:
        folder: The run's folder, see :mod:`rrtf_trl.storage.run_folder`.
    """
    run = Folder(folder)
    page = environment().get_template("page.html.jinja").render(_facts(run))
    with run.writing("report.html") as file:
        file.write(page.encode("utf-8", "replace").decode())  # JSON can hold lone surrogates, UTF-8 cannot
    return run / "report.html"


def style() -> Any:
    """Return the CSS of the pages."""
    return markup("\n".join((_HERE / name).read_text("utf-8") for name in ("palette.css", "page.css")))


def _facts(run: Folder) -> dict[str, Any]:
    """Return the values of the page's template."""
    stages = stages_of(run)
    results = run.read_json("results.json")
    if results:
        from .figures import result_figure  # matplotlib is loaded only if needed
    return {
        "style": style(),
        "name": run.path.resolve().name,
        "headline": words.headline(results) if results else words.progress(stages),
        "goal": examples.clip(words.goal(stages, config_of(run)[0]), 1000),
        "results": results,
        "result_figure": markup(result_figure(results)) if results else "",
        "sections": list(_sections(run)),
    }


def _sections(run: Folder) -> Iterator[Section]:
    """Yield the built-in sections and then those of plugins."""
    for name in registry.names("report_section"):
        section: Section | None = registry.find("report_section", name)(run)
        if section is not None:
            yield section

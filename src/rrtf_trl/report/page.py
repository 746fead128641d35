"""A run as one HTML page that needs nothing else: no script, no request, no other file."""

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

    It shows what there is: a run that was stopped early has a report too, which says what is missing. The same files
    give the same page, and its size does not grow with theirs.

    Args:
        folder: The run's folder, see :mod:`rrtf_trl.storage.run_folder`.
    """
    run = Folder(folder)
    page = environment().get_template("page.html.jinja").render(_facts(run))
    with run.writing("report.html") as file:
        file.write(page.encode("utf-8", "replace").decode())  # JSON can hold lone surrogates, this file cannot
    return run / "report.html"


def style() -> Any:
    """Return the style of our pages, to stand within them."""
    return markup("\n".join((_HERE / name).read_text("utf-8") for name in ("palette.css", "page.css")))


def _facts(run: Folder) -> dict[str, Any]:
    """Return all that the page shows, by the names that its template uses."""
    stages = stages_of(run)
    results = run.read_json("results.json")
    return {
        "style": style(),
        "name": run.path.resolve().name,
        "headline": words.headline(results) if results else words.so_far(stages),
        "asked": examples.clip(words.asked(stages, config_of(run)[0]), 1000),
        "results": results,
        "result_figure": _result_figure(results),
        "sections": list(_sections(run)),
    }


def _sections(run: Folder) -> Iterator[Section]:
    """Yield what each section shows, ours and then the plugins'."""
    for name in registry.names("report_section"):
        section: Section | None = registry.find("report_section", name)(run)
        if section is not None:
            yield section


def _result_figure(results: dict[str, Any] | None) -> Any:
    if not results:
        return ""
    from .figures import result_figure  # only here is matplotlib loaded

    return markup(result_figure(results))

"""A run as one HTML page that needs nothing else: no script, no request, no other file."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrtf_trl.plugins import Registered, plugins
from rrtf_trl.run_folder import RunFolder

from . import examples, words
from .sections import Section, config_of, environment, markup, stages_of

_HERE = Path(__file__).parent


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, and return its path.

    It shows what there is: a run that was stopped early has a report too, which says what is missing. The same files
    give the same page, and its size does not grow with theirs.

    Args:
        folder: The run's folder, see :mod:`rrtf_trl.run_folder`.
    """
    run = RunFolder(folder)
    page = environment().get_template("page.html.jinja").render(_facts(run))
    with run.writing("report.html") as file:
        file.write(page.encode("utf-8", "replace").decode())  # JSON can hold lone surrogates, this file cannot
    return run / "report.html"


def style() -> Any:
    """Return the style of our pages, to stand within them."""
    return markup("\n".join((_HERE / name).read_text("utf-8") for name in ("palette.css", "page.css")))


def _facts(run: RunFolder) -> dict[str, Any]:
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


def _sections(run: RunFolder) -> Iterator[Section]:
    """Yield what each registered section shows, ours and then the plugins'; one that fails says so in its place."""
    for name, registered in plugins().registered("report_section").items():
        plugin = registered.plugin
        before = len(plugin.faults)
        section = plugins().guarded(plugin, f"report section {name}", functools.partial(_shown, registered, run))
        if section is not None:
            yield section
        elif len(plugin.faults) > before:
            yield Section(name.replace("_", " "), f"Plugin {plugin}: {plugin.faults[-1].cause}.")


def _shown(section: Registered, run: RunFolder) -> Section | None:
    found: Section | None = section.load()(run)
    if found is not None and not isinstance(found, Section):
        raise TypeError(f"expected a rrtf_trl.report.Section or None, got {type(found).__name__}")
    return found


def _result_figure(results: dict[str, Any] | None) -> Any:
    if not results:
        return ""
    from .figures import result_figure  # only here is matplotlib loaded

    return markup(result_figure(results))

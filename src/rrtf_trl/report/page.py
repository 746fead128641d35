"""A run as one HTML page that needs nothing else: no script, no request, no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rrtf_trl.run_folder import RunFolder

from . import examples, sources, tallies, words

_HERE = Path(__file__).parent


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, and return its path.

    It shows what there is: a run that was stopped early has a report too, which says what is missing. The same files
    give the same page, and its size does not grow with theirs.

    Args:
        folder: The run's folder, see :mod:`rrtf_trl.run_folder`.
    """
    run = RunFolder(folder)
    page = render("page.html.jinja", _facts(run))
    with run.writing("report.html") as file:
        file.write(page.encode("utf-8", "replace").decode())  # JSON can hold lone surrogates, this file cannot
    return run / "report.html"


def render(template: str, facts: dict[str, Any]) -> str:
    """Return a template of this folder, filled in; all text is escaped but :func:`markup`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    return environment.get_template(template).render(facts)


def style() -> Any:
    """Return the style of our pages, to stand within them."""
    return markup("\n".join((_HERE / name).read_text("utf-8") for name in ("palette.css", "page.css")))


def _facts(run: RunFolder) -> dict[str, Any]:
    """Return all that the page shows, by the names that its template uses."""
    notes = run.read_json("run.json") or {}
    stages = notes.get("stages", {})
    rank = stages.get("rank", {})
    timed = {name: facts for name, facts in stages.items() if name != "report"}  # the report is not over yet
    seconds = [facts["seconds"] for facts in timed.values()]
    results = run.read_json("results.json")
    config, config_text = _config(run)
    counted = tallies.tallies(run)
    change_counts, changes = examples.changes(run)
    return {
        "words": words,
        "style": style(),
        "name": run.path.resolve().name,
        "headline": words.headline(results) if results else words.so_far(stages),
        "asked": examples.clip(words.asked(stages, config), 1000),
        "results": results,
        **_pictures(run, results),
        "tallies": counted,
        "states": tallies.states_of(counted),
        "rank": rank,
        "problems": stages.get("problems", {}).get("train"),
        "sampled": words.sampled(stages),
        "drops": tallies.drops(run, rank),
        "sources": sources.sources(run, list(config.get("feedback") or {})),
        "disagreements": sources.disagreements(rank),
        "groups": examples.ranked_groups(run),
        "shown_first": examples.SHOWN_FIRST,
        "change_counts": change_counts,
        "changes": changes,
        "stages": timed,
        "slowest": max([*seconds, 1e-9]),
        "together": sum(seconds),
        "command": examples.clip(words.without_secrets(notes.get("command", "")), 8000),
        "versions": notes.get("versions", {}),
        "config": config_text,
    }


def _config(run: RunFolder) -> tuple[dict[str, Any], str]:
    """Return the run's configuration, and its text as it may be shown."""
    from omegaconf import OmegaConf

    path = run / "config.yaml"
    if not path.is_file():
        return {}, ""
    config: Any = OmegaConf.to_container(OmegaConf.load(path))
    text = words.without_secrets(path.read_text(encoding="utf-8"))
    return config, examples.clip(text, 60_000)


def _pictures(run: RunFolder, results: dict[str, Any] | None) -> dict[str, Any]:
    """Draw the figures; only here is matplotlib loaded."""
    curves = tallies.curves(run)
    if not results and not curves:
        return {"result_figure": "", "curves": []}
    from .figures import curve_figure, result_figure

    return {
        "result_figure": markup(result_figure(results)) if results else "",
        "curves": [(curve, markup(curve_figure(curve.name, curve.steps, curve.values))) for curve in curves],
    }


def markup(text: str) -> Any:
    """Mark text of our own making as HTML; all else in the page is escaped."""
    from markupsafe import Markup

    return Markup(text)

"""A run as one HTML page that needs nothing else: no script, no request, no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rrtf_trl.run_folder import RunFolder

from . import distributions, examples, heldout, sources, tallies, words

_HERE = Path(__file__).parent


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, and return its path.

    It shows what there is: a run that was stopped early has a report too, which says what is missing. The same files
    give the same page, and its size does not grow with theirs.

    Args:
        folder: The run's folder, see :mod:`rrtf_trl.run_folder`.
    """
    run = RunFolder(folder)
    page = _render(_facts(run))
    with run.writing("report.html") as file:
        file.write(page.encode("utf-8", "replace").decode())  # JSON can hold lone surrogates, this file cannot
    return run / "report.html"


def _render(facts: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html.jinja").render(facts)


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
    change_counts, changes = heldout.changes(run)
    spreads = distributions.spreads(run)
    pass_curves = distributions.pass_curves(run)
    return {
        "words": words,
        "style": _markup("\n".join((_HERE / name).read_text("utf-8") for name in ("palette.css", "page.css"))),
        "name": run.path.resolve().name,
        "headline": words.headline(results) if results else words.so_far(stages),
        "asked": examples.clip(words.asked(stages, config), 1000),
        "results": results,
        **_pictures(run, results, pass_curves, spreads),
        "drift": distributions.drift(spreads),
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
        "change_kinds": list(heldout.KINDS),
        "sampled_name": pass_curves[0].name if pass_curves else "",
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


def _pictures(
    run: RunFolder,
    results: dict[str, Any] | None,
    pass_curves: list[distributions.PassCurve],
    spreads: list[distributions.Spread],
) -> dict[str, Any]:
    """Draw the figures; only here is matplotlib loaded, where there is something to draw."""
    curves = tallies.curves(run)
    pairs = distributions.scored_pairs(spreads)
    if not (results or curves or pass_curves or pairs):
        return {"result_figure": "", "curves": [], "pass_figures": [], "score_figures": []}
    from .figures import curve_figure, pass_figure, result_figure, shares_figure

    return {
        "result_figure": _markup(result_figure(results)) if results else "",
        "curves": [(curve, _markup(curve_figure(curve.name, curve.steps, curve.values))) for curve in curves],
        "pass_figures": [
            (found.name, found.n, _markup(pass_figure(found.ks, found.estimates, found.told())))
            for found in pass_curves
        ],
        "score_figures": [
            (name, _markup(shares_figure(distributions.SCORES, shares, distributions.told(name, shares))))
            for name, shares in pairs.items()
        ],
    }


def _markup(text: str) -> Any:
    """Mark text of our own making as HTML; all else in the page is escaped."""
    from markupsafe import Markup

    return Markup(text)

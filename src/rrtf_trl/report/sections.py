"""The sections of a run's report, each made from what the run's folder holds."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from rrtf_trl.files.folder import Folder

from . import distributions, examples, sources, tallies, words
from . import heldout as held_out

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Args:
        title: Its heading.
        body: Text, which is escaped, or HTML as ``markupsafe.Markup``. The page runs no script and loads nothing.
    """

    title: str
    body: str


def training(run: Folder) -> Section:
    """The curves of training."""
    curves = tallies.curves(run)
    if curves:
        from .figures import curve_figure  # matplotlib is loaded only if needed
    figures = [(curve, markup(curve_figure(curve.name, curve.steps, curve.values))) for curve in curves]
    return _section("Training", "training", curves=figures)


def answers(run: Folder) -> Section:
    """How many candidates came to which state."""
    counted = tallies.tallies(run, held_out.several_samples(run) or "greedy")
    return _section("Candidates by state", "answers", tallies=counted, states=tallies.states_of(counted))


def spread(run: Folder) -> Section | None:
    """How the candidates of held-out problems are distributed before and after: pass@k, scores, lengths."""
    spreads = distributions.spreads(run)
    curves = distributions.pass_curves(run)
    pairs = distributions.scored_pairs(spreads)
    if not (spreads or curves):
        return None
    pass_figures, score_figures = [], []
    if curves or pairs:
        from .figures import pass_figure, scores_figure

        pass_figures = [(c.name, c.n, markup(pass_figure(c.ks, c.estimates, c.summary()))) for c in curves]
        score_figures = [
            (name, markup(scores_figure(distributions.SCORES, scores, distributions.scores_summary(name, scores))))
            for name, scores in pairs.items()
        ]
    return _section(
        "Held-out candidates: pass@k, scores and lengths",
        "spread",
        pass_figures=pass_figures,
        score_figures=score_figures,
        drift=distributions.drift(spreads),
    )


def dropped(run: Folder) -> Section:
    """What was dropped between sampling and training."""
    stages = stages_of(run)
    rank = stages.get("rank", {})
    return _section(
        "What was dropped, and why",
        "dropped",
        rank=rank,
        problems=stages.get("problems", {}).get("train"),
        sampled=words.sampled(stages),
        drops=tallies.drops(run, rank),
    )


def judges(run: Folder) -> Section | None:
    """What the feedback sources report on themselves, and where they disagree."""
    reports = sources.sources(run, list(config_of(run)[0].get("feedback") or {}))
    disagreements = sources.disagreements(stages_of(run).get("rank", {}))
    if not reports and not disagreements:
        return None
    return _section("Who judged", "judges", sources=reports, disagreements=disagreements)


def ranked(run: Folder) -> Section:
    """The first ranked problems, each with its candidates."""
    return _section(
        "Ranked candidates",
        "ranked",
        rank=stages_of(run).get("rank", {}),
        groups=examples.ranked_groups(run),
        shown_first=examples.SHOWN_FIRST,
    )


def heldout(run: Folder) -> Section:
    """Candidates of held-out problems, before and after training."""
    change_counts, changes = held_out.changes(run)
    return _section(
        "Held-out problems, before and after",
        "heldout",
        change_counts=change_counts,
        changes=changes,
        change_kinds=list(held_out.KINDS),
        sampled_name=held_out.several_samples(run),
    )


def how(run: Folder) -> Section:
    """The command, the times and the configuration."""
    notes = run.read_json("run.json") or {}
    # The report stage has not ended yet.
    stages = {name: facts for name, facts in stages_of(run).items() if name != "report"}
    seconds = [facts["seconds"] for facts in stages.values()]
    return _section(
        "How it was run",
        "how",
        stages=stages,
        slowest=max([*seconds, 1e-9]),
        total=sum(seconds),
        command=examples.clip(words.without_secrets(notes.get("command", "")), 8000),
        versions=notes.get("versions", {}),
        config=config_of(run)[1],
    )


def stages_of(run: Folder) -> dict[str, Any]:
    """Return the notes of the run's stages."""
    stages: dict[str, Any] = (run.read_json("run.json") or {}).get("stages", {})
    return stages


def config_of(run: Folder) -> tuple[dict[str, Any], str]:
    """Return the run's configuration, and its text without secrets."""
    path = run / "config.yaml"
    if not path.is_file():
        return {}, ""
    text = path.read_text(encoding="utf-8")
    config: Any = yaml.safe_load(text)
    return config, examples.clip(words.without_secrets(text), 60_000)


@functools.cache
def environment(*folders: Path) -> Environment:
    """Return the Jinja environment of the report's templates, and of those in further folders; it escapes text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    jinja = Environment(loader=FileSystemLoader([*folders, _HERE]), autoescape=True, undefined=StrictUndefined)
    jinja.globals["words"] = words
    return jinja


def markup(text: str) -> Any:
    """Mark trusted text as HTML, which is not escaped."""
    from markupsafe import Markup

    return Markup(text)


def _section(title: str, template: str, **facts: Any) -> Section:
    return Section(title, markup(environment().get_template(f"sections/{template}.jinja").render(facts)))

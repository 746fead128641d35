"""Agreement as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from rrtf_trl.labeling.agreement import Agreement, AnnotatorHabits
from rrtf_trl.statistics.proportion import Share

_FEW_PAIRS = 20  # with fewer a percentage means little


def agreement_tables(found: Agreement) -> Iterator[RenderableType]:
    """Yield an :class:`~rrtf_trl.labeling.agreement.Agreement` as lines and tables."""
    yield f"{found.labels} labels on {found.items} items, {found.shared} of them by two people or more"
    if not found.shared:
        yield "Agreement is not defined: no item was labelled by two people (see --per-item)."
    else:
        ranks, pairs = _alpha_text(found.alpha_ranks), _alpha_text(found.alpha_pairs)
        yield f"Krippendorff's alpha: {ranks} ordinal, on ranks; {pairs} nominal, on pairs  (1 perfect, 0 chance)"
    if found.between:
        table = _table("", "agree on pairs", "pairs", "items")
        for two in found.between:
            table.add_row(f"{two.one} and {two.other}", f"{two.agreement:.0%}", str(two.pairs), str(two.items))
        yield table
    if found.people:
        table = _table("", "labels", "skipped", "median time", "ties", "saw tests")
        for person in found.people:
            table.add_row(
                person.name,
                str(person.labels),
                str(person.skipped),
                "" if person.seconds is None else f"{person.seconds:.0f} s",
                f"{person.ties:.0%}",
                f"{person.looked_at_tests:.0%}",
            )
        yield table
        yield from _biases(found.people)


def _biases(people: list[AnnotatorHabits]) -> Iterator[RenderableType]:
    table = _table("", "prefers", "how often", "95% interval", "pairs", "others")
    for person in people:
        shares: dict[str, Share | None] = {"the one shown earlier": person.earlier, "the longer": person.longer}
        for what, share in [*shares.items(), *person.sources.items()]:
            if share is not None:
                others = "" if share.expected is None else f"{share.expected:.0%}"
                few = "" if share.n >= _FEW_PAIRS else "  few"
                interval = f"{share.low:.0%} to {share.high:.0%}"
                table.add_row(person.name, what, f"{share.share:.0%}", interval, f"{share.n}{few}", others)
    if table.row_count:
        yield table
        yield "Of the pairs that are no ties. Without bias the candidate shown earlier wins half of them, and the"
        yield "longer one, or one source over another, as often as with the other people on the same pairs."


def _alpha_text(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"


def _table(first: str, *columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table

"""The results of an evaluation as tables, on the terminal and in Markdown."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from rich import box
from rich.table import Table

from .results_table import figure_label, interval

Rows = list[list[str]]


def figure_rows(figures: dict[str, dict[str, Any]]) -> tuple[list[str], Rows]:
    """Return the head and the rows of a table of figures, each with its decoding settings."""
    with_base = any("base" in row for row in figures.values())
    with_leaks = any("without_leaks" in row for row in figures.values())
    head = ["", "solved, percent"] + ["base tests alone"] * with_base + ["without leaked problems"] * with_leaks
    rows = []
    for name, row in figures.items():
        cells = [figure_label(name, row), interval(row)]
        if with_base:
            cells.append(interval(row["base"]) if "base" in row else "")
        if with_leaks:
            cells.append(interval(row["without_leaks"]) if row.get("without_leaks") else "none left")
        rows.append(cells)
    return head, rows


def failure_rows(failures: dict[str, list[dict[str, Any]]], limit: int = 12) -> tuple[list[str], Rows]:
    """Return the head and the rows of a table of failures, the most frequent first; it omits the tests' indices."""
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, rows in failures.items():
        for row in rows:
            counts[row["state"], row["exception"]][name] += row["count"]
    ordered = sorted(counts.items(), key=lambda item: -sum(item[1].values()))
    table = [[state, exception, *(str(found[name]) for name in failures)] for (state, exception), found in ordered]
    if len(table) > limit:
        rest = ordered[limit - 1 :]
        table[limit - 1 :] = [["others", "", *(str(sum(found[name] for _, found in rest)) for name in failures)]]
    return ["state", "exception", *failures], table


def terminal_table(title: str, head: list[str], rows: Rows, left: int = 1) -> Table:
    """Return a table for a console; the first ``left`` columns are aligned to the left, the others to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    for index, column in enumerate(head):
        table.add_column(column, justify="left" if index < left else "right", no_wrap=index >= left, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def markdown_table(head: list[str], rows: Rows) -> str:
    """Return a table in Markdown."""
    lines = [[name.replace("\n", " ") for name in head], ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)

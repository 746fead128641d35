"""`rrtf sweep-report`: a sweep's folder in, one page and two tables out."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from rrtf_trl.report.evaluation_tables import terminal_table
from rrtf_trl.report.sweep_page import write_sweep_report
from rrtf_trl.report.table import interval
from rrtf_trl.run_folder import RunFolder

from .effects import show
from .table import read_sweep

_SHOWN = 20


def sweep_report(path: str) -> int:
    """Write the report of a sweep beside its jobs; return the exit status.

    Args:
        path: The sweep's folder.

    Raises:
        UserError: If it is none.
    """
    table = read_sweep(Path(path))
    folder = RunFolder(path)
    table.write(folder)
    page = write_sweep_report(table, folder)
    console = Console(soft_wrap=True, highlight=False)
    shown = [
        [
            *(show(row.settings[name]) if name in row.settings else "" for name in table.settings),
            *(interval(row.figures[name]) if name in row.figures else "" for name in table.figures),
            row.state,
        ]
        for row in table.rows[:_SHOWN]
    ]
    title = f"{len(table.rows)} jobs: percent solved, with 95% intervals"
    console.print(
        terminal_table(title, [*table.settings, *table.figures, ""], shown, left=len(table.settings)), markup=False
    )
    console.print(f"report: {page}; also runs.csv, runs.parquet")
    return 0

"""`rrtf sweep-report`: write one page and two tables on the runs of a sweep."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rrtf_trl.monitoring.evaluation_tables import terminal_table
from rrtf_trl.monitoring.results_table import interval
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.sweeps.effects import show
from rrtf_trl.sweeps.page import write_sweep_report
from rrtf_trl.sweeps.table import read_sweep

_SHOWN, _FIGURES = 20, 2  # rows and figures shown in the terminal; the page has all


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="rrtf sweep-report", description="Write one page on the runs of a sweep.")
    parser.add_argument("folder", metavar="FOLDER", help="the sweep's folder, runs/sweeps/NAME")
    options = parser.parse_args(arguments)
    return sweep_report(options.folder)


def sweep_report(path: str) -> int:
    """Write the report of a sweep into its folder; return the exit status.

    Args:
        path: The sweep's folder.

    Raises:
        UserError: If it is not a sweep's folder.
    """
    table = read_sweep(Path(path))
    folder = RunFolder(path)
    table.write(folder)
    page = write_sweep_report(table, folder)
    console = Console(soft_wrap=True, highlight=False)
    figures = table.figures[:_FIGURES]
    shown = [
        [
            *(show(row.settings[name]) if name in row.settings else "" for name in table.settings),
            *(interval(row.figures[name]) if name in row.figures else "" for name in figures),
            row.state,
        ]
        for row in table.rows[:_SHOWN]
    ]
    title = f"{len(table.rows)} jobs{f', the first {_SHOWN}' * (len(table.rows) > _SHOWN)}: percent solved"
    settings = [name.rpartition(".")[2] for name in table.settings]
    console.print(terminal_table(title, [*settings, *figures, ""], shown, left=len(settings)), markup=False)
    console.print(f"report: {page}; also runs.csv, runs.parquet")
    return 0

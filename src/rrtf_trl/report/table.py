"""The results of a run as a table on the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def results_table(results: dict[str, Any]) -> Table:
    """Return a table of each figure before and after with its 95% interval, and the paired gain.

    Args:
        results: What ``results.json`` of a run holds.
    """
    table = Table(title="held-out problems, before and after (percent, 95% intervals)")
    for column in ("figure", "n", "T", "problems", "before", "after", "gain"):
        table.add_column(column, justify="left" if column == "figure" else "right", no_wrap=True)
    for name, row in results.items():
        temperature = ", ".join(f"{value:g}" for value in row["decoding"].get("temperatures", []))
        gain = row["gain"]
        clear = gain["low"] > 0 or gain["high"] < 0
        table.add_row(
            name,
            str(row["n"]),
            temperature,
            str(row["problems"]),
            interval(row["base"]),
            interval(row["trained"]),
            f"[bold]{interval(gain, sign=True)}[/]" if clear else interval(gain, sign=True),
        )
    return table


def interval(estimate: dict[str, float], sign: bool = False) -> str:
    """Return an estimate in percent with its interval, for instance ``62.5 (57.8 to 67.1)``."""
    plus = "+" if sign else ""
    return f"{100 * estimate['value']:{plus}.1f} ({100 * estimate['low']:{plus}.1f} to {100 * estimate['high']:{plus}.1f})"

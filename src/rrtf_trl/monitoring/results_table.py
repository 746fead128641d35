"""The results of a run as a table on the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table


def results_table(results: dict[str, Any]) -> Table:
    """Return a table of each figure before and after training, and the paired gain, with 95% intervals.

    Args:
        results: The content of a run's ``results.json``.
    """
    problems = next(iter(results.values()))["problems"]
    title = f"{problems} held-out problems: percent solved, with 95% intervals"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("before", "after", "gain"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in results.items():
        gain = row["gain"]
        gain_text = interval(gain, sign=True)
        significant = gain["low"] > 0 or gain["high"] < 0
        label = figure_label(name, row)
        table.add_row(
            label,
            interval(row["base"]),
            interval(row["trained"]),
            f"[bold]{gain_text}[/]" if significant else gain_text,
        )
    return table


def figure_label(name: str, row: dict[str, Any]) -> str:
    """Return a figure's name with its decoding settings, for instance ``pass@1, n=8, T=0.8``.

    The sampler is named if it is another one than ``transformers``.
    """
    decoding, figure = name.split(" ", 1)
    settings = row["decoding"]
    by = "" if settings.get("sampler", "transformers") == "transformers" else f", {settings['sampler']}"
    if decoding == "greedy" or settings.get("temperatures") == [0.0]:
        return f"{figure}, greedy{by}"
    temperatures = ",".join(f"{value:g}" for value in settings.get("temperatures", []))
    nucleus = "".join(f", top_p={value:g}" for value in settings.get("top_ps", []) if value != 1)
    return f"{figure}, n={row['n']}, T={temperatures}{nucleus}{by}"


def interval(estimate: dict[str, float], sign: bool = False) -> str:
    """Return an estimate in percent with its interval, for instance ``62.5 (57.8-67.1)``."""
    plus = "+" if sign else ""
    value, low, high = (100 * estimate[name] for name in ("value", "low", "high"))
    bounds = f"{low:{plus}.1f} to {high:{plus}.1f}" if sign else f"{low:.1f}-{high:.1f}"
    return f"{value:{plus}.1f} ({bounds})"

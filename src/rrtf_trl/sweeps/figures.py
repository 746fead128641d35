"""The figures of a sweep's report: parallel coordinates, and the effect of each setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rrtf_trl.report.figures import _AFTER, _BEFORE, _GRID, _INK, _MUTED, _svg

from .effects import Level, show
from .table import SweepTable, Value

MOST_AXES = 8
_MOST_LINES = 300
_MOST_NAMES = 8


def parallel_coordinates(table: SweepTable) -> str:
    """Return parallel coordinates as inline SVG: an axis for each setting, the figure's last, and a line for each run.

    The best run's line is highlighted. The axis of a positive number is logarithmic if its values span a factor of 20.

    Args:
        table: A sweep with at least one measured run and one setting.
    """
    rows = table.measured[:_MOST_LINES]
    names = table.settings[:MOST_AXES]
    width, height = 860, 340
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0.09, 0.05, 0.84, 0.78))
    axes.set(xlim=(0, len(names)), ylim=(-0.03, 1.03), xticks=[], yticks=[])
    columns = [[row.settings.get(name) for row in rows] for name in names]
    lines = [_axis(axes, index, name, column) for index, (name, column) in enumerate(zip(names, columns, strict=True))]
    percents: list[Value | None] = [100 * row.figures[table.figures[0]]["value"] for row in rows]
    lines.append(_axis(axes, len(names), table.figures[0], percents, unit="%"))
    for number in reversed(range(len(rows))):  # the best one last, above the others
        ys = [heights[number] for heights in lines]
        best = number == 0
        colour, alpha = (_AFTER, 1.0) if best else (_BEFORE, max(0.15, 0.75 - 0.004 * len(rows)))
        axes.plot(range(len(ys)), ys, color=colour, alpha=alpha, linewidth=2.6 if best else 1.1, zorder=3 + best)
    return _svg(figure, axes, label=f"{len(rows)} runs by {', '.join(names)} and {table.figures[0]}")


def _axis(axes: Axes, x: int, name: str, column: Sequence[Value | None], unit: str = "") -> list[float]:
    """Draw an axis; return each value's height on it, from 0 to 1, and NaN for a missing value."""
    axes.plot([x, x], [0, 1], color=_MUTED if unit else _GRID, linewidth=1.2, zorder=1)
    axes.text(x, 1.09 if x % 2 else 1.16, _short(name), color=_INK, ha="center", weight="bold")
    numbers = [value for value in column if isinstance(value, float | int)]
    if len(numbers) < sum(value is not None for value in column):
        names = sorted({str(value) for value in column if value is not None})
        places = {value: (index + 0.5) / len(names) for index, value in enumerate(names)}
        ticks = list(places.items()) if len(names) <= _MOST_NAMES else []
        heights = [float("nan") if value is None else places[str(value)] for value in column]
    else:
        low, high = min(numbers), max(numbers)
        scale = np.log10 if low > 0 and high / low >= 20 else np.asarray
        start, span = float(scale(low)), float(scale(high) - scale(low)) or 1.0
        heights = [float("nan") if v is None else (float(scale(v)) - start) / span for v in column]
        distinct = sorted(set(numbers))
        shown = distinct if len(distinct) <= 5 else [low, high]
        ticks = [(f"{value:.1f}%" if unit else show(value), (float(scale(value)) - start) / span) for value in shown]
    for text, y in ticks:
        axes.text(x - 0.025, y, _short(text), color=_MUTED, ha="right", va="center")
    return heights


def effect_figure(name: str, levels: Sequence[Level], low: float, high: float) -> str:
    """Return the mean figure at each value of a setting with its 95% interval, drawn as inline SVG.

    Args:
        name: The setting.
        levels: Its values.
        low: Start of the scale, in [0, 1]; the same for all settings, so that effects can be compared.
        high: End of the scale.
    """
    row, foot, width, left = 26, 40, 330, 110
    height = row * len(levels) + foot
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((left / width, foot / height, (width - left - 46) / width, 1 - foot / height))
    margin = max(0.05 * (high - low), 0.005)
    axes.set(xlim=(100 * (low - margin), 100 * (high + margin)), ylim=(len(levels), 0), yticks=[])
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    best = max(level.mean.value for level in levels)
    for index, level in enumerate(levels):
        value, start, end = (100 * part for part in (level.mean.value, level.mean.low, level.mean.high))
        colour = _AFTER if level.mean.value == best else _BEFORE
        y = index + 0.5
        axes.plot([start, end], [y, y], color=colour, linewidth=2.2, solid_capstyle="round", clip_on=False)
        axes.plot([value], [y], "o", color=colour, markersize=7, clip_on=False)
        outside = axes.get_yaxis_transform()
        axes.text(-0.06, y, _short(level.label), transform=outside, color=_INK, ha="right", va="center")
        axes.text(1.06, y, f"{value:.1f}", transform=outside, color=colour, va="center", weight="bold")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("percent", color=_MUTED, labelpad=1)
    values = "; ".join(f"{level.label}: {100 * level.mean.value:.1f}%" for level in levels)
    return _svg(figure, axes, label=f"{name}: {values}")


def _short(text: str, longest: int = 22) -> str:
    return text if len(text) <= longest else "…" + text[1 - longest :]

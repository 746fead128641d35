"""The figures of a report, drawn by matplotlib as SVG that follows the reader's light or dark setting.

Neither pyplot nor a display is used. Text stays text, and colours are the variables of ``palette.css``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .words import interval, points

# matplotlib draws in these; `_svg` replaces each with the CSS variable of that name.
_COLOURS = {"ink": "#0a0a01", "muted": "#0a0a02", "grid": "#0a0a03", "before": "#0a0a04", "after": "#0a0a05"}
_INK, _MUTED, _GRID, _BEFORE, _AFTER = _COLOURS.values()
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

# Sizes of the result figure in points.
_WIDTH, _LEFT, _RIGHT, _ROW, _FOOT = 480, 52, 40, 66, 46


def result_figure(results: dict[str, Any]) -> str:
    """Return the estimates before and after training with their 95% intervals, as the text of an SVG file.

    Args:
        results: The content of a run's ``results.json``.
    """
    height = _ROW * len(results) + _FOOT
    figure = Figure(figsize=(_WIDTH / 72, height / 72))
    axes = figure.add_axes((_LEFT / _WIDTH, _FOOT / height, 1 - (_LEFT + _RIGHT) / _WIDTH, 1 - _FOOT / height))
    axes.set(xlim=(0, 100), ylim=(_ROW * len(results), 0), yticks=[])
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    for index, (name, row) in enumerate(results.items()):
        top = index * _ROW
        outside = axes.get_yaxis_transform()
        axes.text(-_LEFT / (_WIDTH - _LEFT - _RIGHT), top + 16, name, transform=outside, color=_INK, weight="bold")
        gain = f"{points(row['gain']['value'])} points ({interval(row['gain'], sign=True)})"
        axes.text(1 + _RIGHT / (_WIDTH - _LEFT - _RIGHT), top + 16, gain, transform=outside, color=_INK, ha="right")
        _estimate(axes, top + 33, "before", row["base"], _BEFORE)
        _estimate(axes, top + 50, "after", row["trained"], _AFTER)
    problems = next(iter(results.values()))["problems"]
    axes.set_xlabel(f"percent of {problems} held-out problems, with 95% intervals", color=_MUTED)
    label = "; ".join(
        f"{name}: {100 * row['base']['value']:.1f}% before, {100 * row['trained']['value']:.1f}% after"
        for name, row in results.items()
    )
    style = (Path(__file__).parent / "palette.css").read_text(encoding="utf-8")
    return _svg(figure, axes, label=label, style=style)


def curve_figure(name: str, steps: Sequence[float], values: Sequence[float]) -> str:
    """Return a small plot of a logged value over the steps of training, as inline SVG.

    Args:
        name: The value's name.
        steps: The steps.
        values: A finite value for each step.
    """
    figure = Figure(figsize=(250 / 72, 130 / 72))
    axes = figure.add_axes((44 / 250, 34 / 130, 196 / 250, 88 / 130))
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.plot(steps, values, color=_AFTER, linewidth=1.8, solid_joinstyle="round")
    axes.plot(steps[-1:], values[-1:], "o", color=_AFTER, markersize=5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axes.set_xlabel("step", color=_MUTED, labelpad=1)
    return _svg(figure, axes, label=f"{name}: from {values[0]:.3g} to {values[-1]:.3g} in {steps[-1]:g} steps")


def pass_figure(ks: Sequence[int], estimates: Mapping[str, list[dict[str, float]]], label: str) -> str:
    """Return a plot of pass@k over k before and after, each with its 95% band, as inline SVG.

    Args:
        ks: The k of each estimate.
        estimates: ``before`` and ``after``: an estimate for each k.
        label: A description for readers who cannot see it.
    """
    figure = Figure(figsize=(360 / 72, 200 / 72))
    axes = figure.add_axes((44 / 360, 38 / 200, 260 / 360, 152 / 200))
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    for curve, colour in zip(estimates.values(), (_BEFORE, _AFTER), strict=True):
        value, low, high = ([100 * estimate[part] for estimate in curve] for part in ("value", "low", "high"))
        axes.fill_between(ks, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(ks, value, color=colour, linewidth=1.8, marker="o", markersize=3.5)
    ends = [100 * curve[-1]["value"] for curve in estimates.values()]
    apart = max(0.0, 11 - abs(ends[1] - ends[0])) / 2 * (1 if ends[1] >= ends[0] else -1)  # without overlap
    for name, end, colour in zip(estimates, (ends[0] - apart, ends[1] + apart), (_BEFORE, _AFTER), strict=True):
        axes.text(1.03, end, name, transform=axes.get_yaxis_transform(), color=colour, va="center")
    if ks[-1] > 16:
        axes.set_xscale("log")
        axes.set_xticks([k for k in (1, 10, 100, 1000) if k <= ks[-1]])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(ylim=(0, 100), yticks=[0, 25, 50, 75, 100])
    axes.set_xlabel("k candidates", color=_MUTED, labelpad=1)
    return _svg(figure, axes, label=label)


def scores_figure(names: Sequence[str], fractions: Mapping[str, Sequence[float]], label: str) -> str:
    """Return fractions of candidates in bins of their score as bars, before beside after, as inline SVG.

    Args:
        names: The bins.
        fractions: ``before`` and ``after``: a fraction for each bin.
        label: A description for readers who cannot see it.
    """
    figure = Figure(figsize=(360 / 72, 200 / 72))
    axes = figure.add_axes((44 / 360, 38 / 200, 306 / 360, 136 / 200))
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    for side, (which, values) in enumerate(fractions.items()):
        left = [place + 0.4 * side - 0.2 for place in range(len(names))]
        colour = (_BEFORE, _AFTER)[side]
        axes.bar(left, [100 * value for value in values], width=0.36, color=colour)
        axes.text(0.16 * side, 1.05, which, transform=axes.transAxes, color=colour, weight="bold")
    axes.set_xticks(range(len(names)), names)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("fraction of the problem's tests that a candidate passes", color=_MUTED, labelpad=2)
    return _svg(figure, axes, label=label)


def rounds_figure(summary: dict[str, Any]) -> str:
    """Return a plot of every estimate over the rounds, with its 95% interval, as the text of an SVG file.

    Args:
        summary: The content of ``rounds.json``, see :mod:`rrtf_trl.pipeline.rounds`.
    """
    rounds = summary["rounds"]
    figure = Figure(figsize=(_WIDTH / 72, 260 / 72))
    axes = figure.add_axes((44 / _WIDTH, 40 / 260, (_WIDTH - 150) / _WIDTH, 206 / 260))
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    numbers = range(len(rounds) + 1)
    texts = []
    for name in rounds[0]["after"]:
        curve = [rounds[0]["before"][name], *(row["after"][name] for row in rounds)]
        value, low, high = ([100 * estimate[part] for estimate in curve] for part in ("value", "low", "high"))
        colour = _AFTER if name == summary["figure"] else _BEFORE
        axes.fill_between(numbers, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(numbers, value, "o-", color=colour, linewidth=2, markersize=6)
        texts.append((value[-1], name, colour))
    axes.set(xlim=(-0.15, len(rounds) + 0.15), ylim=(0, 102))
    lowest = 0.0
    for value, name, colour in sorted(texts):  # names beside the ends of their curves, without overlap
        lowest = max(value, lowest)
        axes.text(len(rounds) + 0.25, lowest, name, color=colour, va="center")
        lowest += 7
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("round (0 is the initial policy)", color=_MUTED)
    values = ", ".join(f"{100 * row['after'][summary['figure']]['value']:.1f}%" for row in rounds)
    style = (Path(__file__).parent / "palette.css").read_text(encoding="utf-8")
    return _svg(figure, axes, label=f"{summary['figure']} after each round: {values}", style=style)


def _estimate(axes: Axes, y: float, label: str, estimate: dict[str, float], colour: str) -> None:
    value, low, high = (100 * estimate[part] for part in ("value", "low", "high"))
    axes.text(-2, y, label, color=colour, ha="right", va="center")
    axes.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round", clip_on=False)
    axes.plot([value], [y], "o", color=colour, markersize=8, clip_on=False)
    axes.text(max(high, value + 1) + 1.5, y, f"{value:.1f}", color=colour, va="center", weight="bold")


def _svg(figure: Figure, axes: Axes, label: str, style: str = "") -> str:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=_MUTED, labelsize=11)
    for text in [*axes.texts, axes.xaxis.label]:
        text.set_fontsize(12)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    axes.set_axisbelow(True)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    referred = set(re.findall(r"#([\w-]+)[\")]", svg))
    # A page has several figures: of matplotlib's ids, keep those that are referred to, which the salt makes unique.
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in referred else "", svg)
    svg = re.sub(r"(font: (?:bold |\d+ )?[\d.]+px )[^;\"]*", lambda match: match[1] + _FONT, svg)
    for variable, drawn in _COLOURS.items():
        svg = svg.replace(drawn, f"var(--{variable})")
    view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert view is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-label="{escape(label)}" {view[0]} width="{view[1]}" height="{view[2]}">'
    )
    if style:
        head += f"\n<style>{style}</style>"
    return head + svg[svg.index(">") + 1 :].replace("\n\n", "\n")

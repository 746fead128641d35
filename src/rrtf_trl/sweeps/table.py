"""A sweep's jobs as a table of their settings and results."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rrtf_trl.config.grammar import override_key
from rrtf_trl.errors import UserError
from rrtf_trl.evaluation import paired_gain
from rrtf_trl.evaluation.measurement import pass_at_ks
from rrtf_trl.storage.run_folder import RunFolder

from .folder import JobFolder, State, sweep_jobs

Value = float | str


@dataclass(frozen=True)
class Row:
    """A job.

    Args:
        job: Its name.
        state: Its outcome.
        error: Why it failed, or ``None``.
        command: The command that runs it alone.
        run: Its run's folder, or ``None``.
        settings: Its values of the settings that differ between jobs.
        figures: Its figures, each with ``value``, ``low`` and ``high`` in [0, 1].
        solved: For each figure the estimate of each problem, in [0, 1], by ``task_id``.
        seconds: The duration of all stages together.
    """

    job: str
    state: State
    error: str | None
    command: str
    run: Path | None
    settings: dict[str, Value]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    solved: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class SweepTable:
    """A sweep's jobs: the best figure first, those without a figure last.

    Args:
        name: The sweep's name.
        settings: The settings that differ between jobs, in the order of the command line.
        figures: Names of the figures; jobs are compared by the first.
        rows: The jobs.
    """

    name: str
    settings: list[str]
    figures: list[str]
    rows: list[Row]

    @property
    def measured(self) -> list[Row]:
        """The jobs with the figure by which they are compared, the best first."""
        return [row for row in self.rows if self.figures and self.figures[0] in row.figures]

    @cached_property
    def as_good(self) -> int:
        """Number of other jobs not worse than the best on the same problems, by the paired gain's 95% interval."""
        best, *others = (row.solved.get(self.figures[0], {}) for row in self.measured)
        count = 0
        for other in others:
            common = sorted(best.keys() & other.keys())
            if common:
                gain = paired_gain([other[task] for task in common], [best[task] for task in common])
                count += gain.low <= 0
        return count

    def flat(self) -> list[dict[str, Any]]:
        """Return the rows as dicts with the same columns."""
        return [
            {
                "job": row.job,
                "state": row.state,
                **{name: row.settings.get(name) for name in self.settings},
                **{
                    f"{name}{'' if part == 'value' else ' ' + part}": row.figures.get(name, {}).get(part)
                    for name in self.figures
                    for part in ("value", "low", "high")
                },
                "seconds": row.seconds,
                "error": row.error,
                "command": row.command,
                "run": str(row.run) if row.run else None,
            }
            for row in self.rows
        ]

    def write(self, folder: RunFolder) -> None:
        """Write ``runs.csv`` and ``runs.parquet``."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = self.flat()
        with folder.writing("runs.csv") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        for name in self.settings:  # a Parquet column has one type
            if len({type(row[name]) for row in rows} - {type(None)}) > 1:
                for row in rows:
                    row[name] = None if row[name] is None else str(row[name])
        pq.write_table(pa.Table.from_pylist(rows), folder / "runs.parquet")


def read_sweep(path: Path) -> SweepTable:
    """Read a sweep's folder.

    Raises:
        UserError: If it is not one.
    """
    jobs = sweep_jobs(path)
    if not jobs:
        raise UserError(f"{path} has no jobs of a sweep: name a folder of `rrtf run --multirun`, as runs/sweeps/NAME")
    varied = [{override_key(text): text.partition("=")[2] for text in job.read().varied} for job in jobs]
    names = list(dict.fromkeys(itertools.chain.from_iterable(varied)))
    columns = {name: _numbers([settings.get(name) for settings in varied]) for name in names}
    if len(jobs) > 1:
        columns = {name: values for name, values in columns.items() if len({*values}) > 1}
    rows = [
        _row(job, {name: value for name, values in columns.items() if (value := values[index]) is not None})
        for index, job in enumerate(jobs)
    ]
    figures = list(dict.fromkeys(itertools.chain.from_iterable(row.figures for row in rows)))
    figures.sort(key=lambda name: (not name.endswith("pass@1"), not name.startswith("greedy")))
    if figures:
        rows.sort(key=lambda row: -row.figures.get(figures[0], {"value": -1.0})["value"])
    return SweepTable(path.resolve().name, list(columns), figures, rows)


def _row(job: JobFolder, settings: dict[str, Value]) -> Row:
    state, error = job.outcome()
    note, run = job.read(), job.run()
    facts: dict[str, Any] = {"settings": settings, "run": run.path if run else None}
    if run is not None and state == "done":
        results: dict[str, Any] = run.read_json("results.json") or {}
        measured = {
            name: row["trained"] for name, row in results.items() if isinstance(row, dict) and "trained" in row
        }
        measured = measured or results.get("figures", {})  # of `rrtf evaluate`
        facts["figures"] = {
            name: {part: float(row[part]) for part in ("value", "low", "high")} for name, row in measured.items()
        }
        facts["solved"] = _solved(run, list(measured))
    if run is not None:
        stages = (run.read_json("run.json") or {}).get("stages", {})
        facts["seconds"] = sum(stage["seconds"] for stage in stages.values()) or None
    return Row(job.path.name, state, error, note.command, **facts)


def _solved(run: RunFolder, figures: Sequence[str]) -> dict[str, dict[str, float]]:
    measured = run.read_json("evaluation/trained.json") or {}
    solved = {}
    for figure in figures:
        measurement, _, k = figure.partition(" pass@")
        counts = measured.get(measurement, {}).get("counts", {})
        if counts and k.isdigit():
            solved[figure] = dict(zip(counts, pass_at_ks(counts, int(k)), strict=True))
    return solved


def _numbers(values: Sequence[str | None]) -> list[Value | None]:
    """Return the values as numbers if all of them are numbers, else unchanged."""
    try:
        return [None if value is None else float(value) for value in values]
    except ValueError:
        return list(values)

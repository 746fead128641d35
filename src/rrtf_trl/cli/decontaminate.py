"""`rrtf decontaminate`: remove the problems of a file that are in a benchmark, with the reasons."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rrtf_trl.errors import UserError
from rrtf_trl.files.atomic import write_whole
from rrtf_trl.files.folder import json_line
from rrtf_trl.monitoring.progress import meter
from rrtf_trl.problems.decontamination.finder import KINDS, Decontaminator
from rrtf_trl.problems.files import ProblemFile
from rrtf_trl.records import to_json


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="rrtf decontaminate", description="Remove problems that are in a benchmark.")
    parser.add_argument("--problems", required=True, metavar="P.jsonl", help="ours, HumanEval's or MBPP's file")
    parser.add_argument(
        "--against",
        required=True,
        metavar="humaneval,mbpp,FILE",
        help="benchmarks by name (in RRTF_DATA_DIR), or files",
    )
    parser.add_argument("--out", required=True, metavar="CLEAN.jsonl", help="the problems that are in none of them")
    parser.add_argument("--report", metavar="R.jsonl", help="the matches and their reasons; by default beside --out")
    parser.add_argument("--kinds", metavar="ngram,signature,ast,tests", help="kinds of matches; by default all")
    options = parser.parse_args(arguments)
    return decontaminate_file(
        problems=options.problems,
        against=options.against.split(","),
        out=options.out,
        report=options.report,
        kinds=options.kinds.split(",") if options.kinds else None,
    )


def decontaminate_file(
    *, problems: str, against: list[str], out: str, report: str | None = None, kinds: list[str] | None = None
) -> int:
    """Write the problems that are in no benchmark to ``out``, and the matches of the others to ``report``.

    Args:
        problems: File of problems: ours, HumanEval's or MBPP's.
        against: Benchmarks by name, or files.
        out: File for the problems, in our format; written whole or not at all.
        report: File for the matches, one on each line; by default ``out`` with ``.contaminated`` in its name.
        kinds: Kinds of matches; by default all.

    Returns:
        The exit status, 0.

    Raises:
        InputError: If a file cannot be read.
        UserError: If a benchmark has no file.
    """
    console = Console(stderr=True, soft_wrap=True)
    target = Path(out)
    matches_file = (
        Path(report) if report else target.with_name(f"{target.name.removesuffix('.jsonl')}.contaminated.jsonl")
    )
    index = Decontaminator(against=against, kinds=kinds).index()
    if index.missing:
        raise UserError(f"{index.what_is_missing()}, or name the file")
    sizes = ", ".join(f"{name} ({count} problems)" for name, count in index.names.items())
    console.print(f"against {sizes}", highlight=False)
    total = sum(1 for _ in ProblemFile(problems))
    found: Counter[str] = Counter()
    removed = 0
    with (
        write_whole(target) as kept,
        write_whole(matches_file) as reported,
        meter(console, "decontaminate", total, "problems") as progress,
    ):
        for problem in ProblemFile(problems):
            matches = index.matches(problem)
            reported.writelines(json_line(match.to_json()) for match in matches)
            found.update({match.kind for match in matches})
            removed += bool(matches)
            if not matches:
                kept.write(json_line(to_json(problem)))
            progress.advance()
    kinds_found = ", ".join(f"{found[kind]} by {kind}" for kind in KINDS if found[kind])
    print(f"{removed} of {total} problems removed{f' ({kinds_found})' if removed else ''}, {total - removed} kept")
    print(f"kept: {target}\nwhy: {matches_file}")
    return 0

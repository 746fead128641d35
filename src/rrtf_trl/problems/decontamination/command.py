"""`rrtf decontaminate`: leave out the problems of a file that are in a benchmark, and tell which and why."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from rich.console import Console

from rrtf_trl.errors import UserError
from rrtf_trl.progress import meter
from rrtf_trl.records import to_json

from ..files import ProblemFile
from .finder import KINDS, Decontaminator


def decontaminate_file(
    *, problems: str, against: list[str], out: str, report: str | None = None, kinds: list[str] | None = None
) -> int:
    """Write the problems that are in no benchmark to ``out``, and the matches of the others to ``report``.

    Args:
        problems: File of problems: ours, HumanEval's or MBPP's.
        against: Benchmarks by name, or files.
        out: File of problems to write, in our format; it appears when all is done.
        report: File of matches to write, one a line; by default ``out`` with ``.contaminated`` in its name.
        kinds: What counts as a match; by default everything.

    Returns:
        The exit status, 0.

    Raises:
        InputError: If a file cannot be read.
        UserError: If a benchmark has no file here.
    """
    console = Console(stderr=True, soft_wrap=True)
    target = Path(out)
    told = Path(report) if report else target.with_name(f"{target.name.removesuffix('.jsonl')}.contaminated.jsonl")
    index = Decontaminator(against=against, kinds=kinds).index()
    if index.missing:
        raise UserError(f"{index.what_is_missing()}, or name the file")
    sizes = ", ".join(f"{name} ({count} problems)" for name, count in index.names.items())
    console.print(f"against {sizes}", highlight=False)
    total = sum(1 for _ in ProblemFile(problems))
    found: Counter[str] = Counter()
    removed = 0
    parts = [path.with_name(path.name + ".part") for path in (target, told)]
    with (
        parts[0].open("w", encoding="utf-8") as kept,
        parts[1].open("w", encoding="utf-8") as reported,
        meter(console, "decontaminate", total, "problems") as progress,
    ):
        for problem in ProblemFile(problems):
            matches = index.matches(problem)
            for match in matches:
                reported.write(json.dumps(match.to_json(), ensure_ascii=False) + "\n")
            found.update({match.kind for match in matches})
            removed += bool(matches)
            if not matches:
                kept.write(json.dumps(to_json(problem), ensure_ascii=False) + "\n")
            progress.advance()
    for part, path in zip(parts, (target, told), strict=True):
        part.replace(path)
    kinds_found = ", ".join(f"{found[kind]} by {kind}" for kind in KINDS if found[kind])
    print(f"{removed} of {total} problems removed{f' ({kinds_found})' if removed else ''}, {total - removed} kept")
    print(f"kept: {target}\nwhy: {told}")
    return 0

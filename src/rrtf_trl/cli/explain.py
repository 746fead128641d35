"""`rrtf explain`: show why a candidate is ranked where it is, and how training used it.

Everything is read from a run's folder, see :mod:`rrtf_trl.storage.run_folder`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rrtf_trl.errors import UserError
from rrtf_trl.report.provenance import (
    ProblemFacts,
    best_first,
    conflicts,
    feedback_sources,
    place,
    provenance,
    read_facts,
    short_judgement,
    training,
    why_dropped,
)
from rrtf_trl.storage.run_folder import RunFolder

_SHORTEST = 6  # characters of an abbreviated id


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="rrtf explain", description="Show why a candidate is ranked where it is.")
    parser.add_argument(
        "what", metavar="CANDIDATE|TASK", help="a candidate's id, or its start; or a problem's task_id"
    )
    parser.add_argument("--run", metavar="FOLDER", help="the run; by default the newest that has it")
    parser.add_argument("--runs-dir", default="runs", metavar="FOLDER", help="where runs are (runs)")
    options = parser.parse_args(arguments)
    return explain(options.what, options.run, options.runs_dir)


def explain(what: str, run: str | None, runs_dir: str) -> int:
    """Print why a candidate is ranked where it is, or all candidates of a problem; return the exit status.

    Args:
        what: A candidate's id or its first characters, or a problem's ``task_id``.
        run: The run's folder; by default the newest in ``runs_dir`` that has it.
        runs_dir: The folder of the runs.

    Raises:
        UserError: If no run has it, or several candidates have these first characters.
    """
    folder, task_id, candidate_id = _find(what, run, runs_dir)
    facts = read_facts(folder, {task_id})[task_id]
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{escape(task_id)}[/] in {escape(str(folder.path))}")
    if candidate_id is None:
        _print_problem(facts, console)
    else:
        _print_candidate(facts, candidate_id, console)
    return 0


# -- Finding ---------------------------------------------------------------------------------------------------


def _find(what: str, run: str | None, runs_dir: str) -> tuple[RunFolder, str, str | None]:
    folders = [Path(run)] if run else _newest_first(Path(runs_dir))
    for path in folders:
        if run and not (path / "candidates.jsonl").is_file():
            raise UserError(f"{path} is not a run with candidates: it has no candidates.jsonl")
        folder = RunFolder(path)
        found: set[tuple[str, str | None]] = set()
        for row in folder.read_jsonl("candidates.jsonl"):
            if row["task_id"] == what:
                return folder, what, None
            if len(what) >= _SHORTEST and row["candidate_id"].startswith(what):
                found.add((row["task_id"], row["candidate_id"]))
        if len(found) > 1:
            raise UserError(f"{what} is the start of {len(found)} candidates' ids in {path}: give more of the id")
        if found:
            [(task_id, candidate_id)] = found
            return folder, task_id, candidate_id
    where = str(run) if run else f"any run in {runs_dir}"
    raise UserError(
        f"{what!r} is not a candidate or a problem of {where}. Ids are in candidates.jsonl; `--run FOLDER` names a "
        f"run, and the first {_SHORTEST} characters of a candidate's id are enough."
    )


def _newest_first(runs_dir: Path) -> list[Path]:
    files = sorted(runs_dir.rglob("candidates.jsonl"), key=lambda file: -file.stat().st_mtime)
    return [file.parent for file in files]


# -- Printing --------------------------------------------------------------------------------------------------


def _print_problem(facts: ProblemFacts, console: Console) -> None:
    prompt = facts.problem.get("prompt", "")
    text = prompt if isinstance(prompt, str) else "\n".join(f"[{m['role']}] {m['content']}" for m in prompt)
    console.print(f"\n{text.rstrip()}\n", markup=False)
    judges = feedback_sources(facts)
    table = Table(box=None, pad_edge=False)
    for name in ("place", "score", "id", "by", *judges, "in training"):
        table.add_column(name, justify="right" if name in ("place", "score") else "left")
    for candidate_id in best_first(facts):
        standing = facts.standings.get(candidate_id)
        table.add_row(
            place(facts, candidate_id),
            f"{standing['score']:g}" if standing else "",
            candidate_id[:8],
            facts.candidates[candidate_id]["source"],
            *(escape(short_judgement(facts, candidate_id, source)) for source in judges),
            training(facts, candidate_id),
        )
    console.print(table)
    for line in filter(None, [why_dropped(facts), *conflicts(facts, None)]):
        console.print(line, markup=False)


def _print_candidate(facts: ProblemFacts, candidate_id: str, console: Console) -> None:
    candidate = facts.candidates[candidate_id]
    sampling = ", ".join(f"{key} {value}" for key, value in candidate["sampling"].items())
    by = f"candidate {candidate_id}, by the {candidate['source']}, {candidate['model']}"
    code = candidate["code"].rstrip()
    for line in (by + (f" ({sampling})" if sampling else ""), f"\n{code}\n", *provenance(facts, candidate_id)):
        console.print(line, markup=False)  # a model's name or a teacher's text may look like markup

"""The rank stage of a run: judged candidates in, the trainer's rows out, with how they came about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from rrtf_trl.errors import NothingToTrainOn
from rrtf_trl.files.folder import json_line
from rrtf_trl.ranking import Conflict, Ranked, Ranking
from rrtf_trl.ranking.trainable import JudgedByAll
from rrtf_trl.records import CANDIDATE_REASONS, PROBLEM_REASONS, Candidate, Judgement, Problem, to_json
from rrtf_trl.storage.run_folder import RunFolder


def rank_stage(
    folder: RunFolder, ranking: Ranking, problems: Iterable[tuple[Problem, list[JudgedByAll]]], console: Console
) -> dict[str, Any]:
    """Rank the candidates of each problem anew, which is cheap; return the facts for the run's notes.

    Args:
        folder: Gets ``ranked.jsonl``, ``dropped.jsonl``, ``standings.jsonl`` and ``conflicts.jsonl``.
        ranking: The rule.
        problems: Each training problem with its judged candidates.
        console: Where the counts go.

    Raises:
        NothingToTrainOn: If no problem is left.
    """
    counts: Counter[str] = Counter()
    conflicts: dict[str, Counter[str]] = {}
    with (
        folder.writing("ranked.jsonl") as ranked_file,
        folder.writing("dropped.jsonl") as dropped_file,
        folder.writing("standings.jsonl") as standings_file,
        folder.writing("conflicts.jsonl") as conflicts_file,
    ):
        for problem, judged in problems:
            ranked = ranking.rank(problem, judged)
            _count(counts, ranked)
            dropped_file.writelines(json_line(to_json(item)) for item in ranked.dropped)
            standings_file.write(
                json_line({"task_id": problem.task_id, "standings": [asdict(item) for item in ranked.standings]})
            )
            for conflict in ranked.conflicts:
                _count_conflict(conflicts, conflict)
                if conflict.opposed:
                    conflicts_file.write(json_line(asdict(conflict)))
            if ranked.group is not None:
                ranked_file.write(json_line(to_json(ranked.group)))
    _print_counts(console, counts, conflicts)
    if not counts["groups"]:
        raise NothingToTrainOn(
            f"ranking left no problem to train on: {_reasons(counts, PROBLEM_REASONS)}. "
            "If all candidates fail, sample more of them, add sampler=[transformers,reference], or choose a score "
            "map that ranks failures (ranking=rltf). If all pass, the problems are too easy for this policy."
        )
    names = ["groups", "responses", *PROBLEM_REASONS, *CANDIDATE_REASONS]
    opposed = {"conflicts": {name: dict(found) for name, found in conflicts.items()}} if conflicts else {}
    return {**{name: counts[name] for name in names}, **opposed, "key": folder.digest("ranked.jsonl")}


def candidates_in(folder: RunFolder) -> Iterator[tuple[Problem, list[Candidate]]]:
    """Yield each problem of ``problems.jsonl`` with its candidates of ``candidates.jsonl``, both in one order."""
    rows = map(Candidate.from_json, folder.read_jsonl("candidates.jsonl"))
    ahead = next(rows, None)
    for problem in folder.problems("problems.jsonl"):
        candidates: list[Candidate] = []
        while ahead is not None and ahead.task_id == problem.task_id:
            candidates.append(ahead)
            ahead = next(rows, None)
        yield problem, candidates
    assert ahead is None, f"candidates.jsonl continues after the last problem, with a candidate for {ahead.task_id}"


def judged_in(folder: RunFolder, sources: Sequence[str]) -> Iterator[tuple[Problem, list[JudgedByAll]]]:
    """Yield each problem with its candidates and their judgements by all sources, reading each file once.

    Args:
        folder: Has ``problems.jsonl``, ``candidates.jsonl`` and ``judgements.jsonl``, all in the same order.
        sources: The names of the sources, in the order of ``judgements.jsonl``.
    """
    rows = (Judgement(**row) for row in folder.read_jsonl("judgements.jsonl"))
    for problem, candidates in candidates_in(folder):
        judged: list[JudgedByAll] = []
        for candidate in candidates:
            judgements = {name: next(rows) for name in sources}
            of_others = [row.candidate_id for row in judgements.values() if row.candidate_id != candidate.candidate_id]
            assert not of_others, f"judgements.jsonl: {of_others[0]} is in place of {candidate.candidate_id}"
            judged.append((candidate, judgements))
        yield problem, judged
    surplus = next(rows, None)
    assert surplus is None, "judgements.jsonl continues after the last candidate"


def _count(counts: Counter[str], ranked: Ranked) -> None:
    if ranked.group is not None:
        counts["groups"] += 1
        counts["responses"] += len(ranked.group.responses)
    for item in ranked.dropped:
        counts[item.reason] += len(item.candidate_ids) if item.reason in CANDIDATE_REASONS else 1


def _count_conflict(conflicts: dict[str, Counter[str]], conflict: Conflict) -> None:
    found = conflicts.setdefault(" against ".join(conflict.sources), Counter())
    found["pairs"] += conflict.pairs
    found["opposed"] += len(conflict.opposed)


def _print_counts(console: Console, counts: Counter[str], conflicts: dict[str, Counter[str]]) -> None:
    console.print(
        f"rank: {counts['groups']} problems with {counts['responses']} candidates in order; dropped problems: "
        f"{_reasons(counts, PROBLEM_REASONS)}; dropped candidates: {_reasons(counts, CANDIDATE_REASONS)}",
        highlight=False,
    )
    for sources, found in conflicts.items():
        console.print(
            f"rank: {sources}: {found['opposed']} of {found['pairs']} pairs of candidates in opposite orders",
            highlight=False,
        )


def _reasons(counts: Counter[str], reasons: dict[str, str]) -> str:
    return ", ".join(f"{counts[name]} because {text}" for name, text in reasons.items() if counts[name]) or "none"

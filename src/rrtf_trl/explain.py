"""`rrtf explain`: why an answer stands where it does, and what training made of it.

Everything told here is read from a run's folder, see :mod:`rrtf_trl.run_folder`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rrtf_trl.errors import UserError
from rrtf_trl.run_folder import RunFolder

_REASONS = {
    "no_order": "all answers score the same",
    "too_few": "fewer than two different whole answers are left",
    "teacher_below": "the teacher's best answer is below the student's",
    "truncated": "it was cut off, or is empty",
    "repeated": "it is the same as another answer",
}
_SHORTEST = 6  # characters of an id that may stand for all of it


@dataclass
class ProblemFacts:
    """What a run's folder says of one problem.

    Args:
        problem: Its row of ``problems.jsonl``.
        candidates: Its candidates, by id, in their order.
        judgements: Of each candidate, by its id.
        standings: Of each candidate that was ranked, by its id.
        row: Its number in ``ranked.jsonl``, or ``None``.
        ranked: That row's candidate ids, in its order.
        trained: Its row of ``pairs.jsonl``, or ``None``.
        dropped: Its rows of ``dropped.jsonl``.
        conflicts: Its rows of ``conflicts.jsonl``.
    """

    problem: dict[str, Any]
    candidates: dict[str, dict[str, Any]] = field(default_factory=dict)
    judgements: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    standings: dict[str, dict[str, Any]] = field(default_factory=dict)
    row: int | None = None
    ranked: list[str] = field(default_factory=list)
    trained: dict[str, Any] | None = None
    dropped: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)


def explain(what: str, run: str | None, runs_dir: str) -> int:
    """Print why a candidate stands where it does, or all candidates of a problem; return the exit status.

    Args:
        what: A candidate's id or its first characters, or a problem's ``task_id``.
        run: The run's folder; by default the newest of ``runs_dir`` that knows it.
        runs_dir: Where runs are.

    Raises:
        UserError: If no run knows it, or the characters stand for several candidates.
    """
    folder, task_id, candidate_id = _find(what, run, runs_dir)
    facts = read_facts(folder, task_id)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{escape(task_id)}[/] in {escape(str(folder.path))}")
    if candidate_id is None:
        _tell_problem(facts, console)
    else:
        _tell_candidate(facts, candidate_id, console)
    return 0


# -- Finding ---------------------------------------------------------------------------------------------------


def _find(what: str, run: str | None, runs_dir: str) -> tuple[RunFolder, str, str | None]:
    folders = [Path(run)] if run else _newest_first(Path(runs_dir))
    for path in folders:
        if run and not (path / "candidates.jsonl").is_file():
            raise UserError(f"{path} is no run that has sampled: there is no candidates.jsonl")
        folder = RunFolder(path)
        found: set[tuple[str, str | None]] = set()
        for row in folder.read_jsonl("candidates.jsonl"):
            if row["task_id"] == what:
                return folder, what, None
            if len(what) >= _SHORTEST and row["candidate_id"].startswith(what):
                found.add((row["task_id"], row["candidate_id"]))
        if len(found) > 1:
            raise UserError(f"{what} stands for {len(found)} candidates of {path}: give more of the id")
        if found:
            [(task_id, candidate_id)] = found
            return folder, task_id, candidate_id
    where = str(run) if run else f"any run in {runs_dir}"
    raise UserError(
        f"{what!r} is no candidate and no problem of {where}. Ids are in candidates.jsonl; `--run FOLDER` names a "
        f"run, and of a candidate's id the first {_SHORTEST} characters will do."
    )


def _newest_first(runs_dir: Path) -> list[Path]:
    files = sorted(runs_dir.rglob("candidates.jsonl"), key=lambda file: -file.stat().st_mtime)
    return [file.parent for file in files]


def read_facts(folder: RunFolder, task_id: str) -> ProblemFacts:
    """Return what a run's folder says of one problem; a stage that was not run says nothing."""
    facts = ProblemFacts(next((row for row in _rows(folder, "problems.jsonl") if row["task_id"] == task_id), {}))
    for row in _rows(folder, "candidates.jsonl"):
        if row["task_id"] == task_id:
            facts.candidates[row["candidate_id"]] = row
    for row in _rows(folder, "judgements.jsonl"):
        if row["candidate_id"] in facts.candidates:
            facts.judgements.setdefault(row["candidate_id"], []).append(row)
    for row in _rows(folder, "standings.jsonl"):
        if row["task_id"] == task_id:
            facts.standings = {standing["candidate_id"]: standing for standing in row["standings"]}
    for number, row in enumerate(_rows(folder, "ranked.jsonl")):
        if row["task_id"] == task_id:
            facts.row, facts.ranked = number, row["candidate_ids"]
    facts.trained = next((row for row in _rows(folder, "pairs.jsonl") if row["row"] == facts.row), None)
    facts.dropped = [row for row in _rows(folder, "dropped.jsonl") if row["task_id"] == task_id]
    facts.conflicts = [row for row in _rows(folder, "conflicts.jsonl") if row["task_id"] == task_id]
    return facts


def _rows(folder: RunFolder, name: str) -> Iterator[dict[str, Any]]:
    return folder.read_jsonl(name) if (folder / name).is_file() else iter(())


# -- Telling ---------------------------------------------------------------------------------------------------


def _tell_problem(facts: ProblemFacts, console: Console) -> None:
    prompt = facts.problem.get("prompt", "")
    text = prompt if isinstance(prompt, str) else "\n".join(f"[{m['role']}] {m['content']}" for m in prompt)
    console.print(f"\n{text.rstrip()}\n", markup=False)
    sources = _sources(facts)
    table = Table(box=None, pad_edge=False)
    for name in ("place", "score", "answer", "by", *sources, "in training"):
        table.add_column(name, justify="right" if name in ("place", "score") else "left")
    for candidate_id in _in_order(facts):
        standing = facts.standings.get(candidate_id)
        table.add_row(
            _place(facts, candidate_id),
            f"{standing['score']:g}" if standing else "",
            candidate_id[:8],
            facts.candidates[candidate_id]["source"],
            *(_short(facts, candidate_id, source) for source in sources),
            _training(facts, candidate_id),
        )
    console.print(table)
    for row in facts.dropped:
        if row["reason"] not in ("truncated", "repeated"):
            console.print(f"The problem was dropped: {_REASONS.get(row['reason'], row['reason'])}.")
    for line in _conflicts(facts, None):
        console.print(line)


def _tell_candidate(facts: ProblemFacts, candidate_id: str, console: Console) -> None:
    candidate = facts.candidates[candidate_id]
    sampling = ", ".join(f"{key} {value}" for key, value in candidate["sampling"].items())
    console.print(
        f"candidate {candidate_id}, by the {candidate['source']}, {candidate['model']}"
        + (f" ({sampling})" if sampling else "")
    )
    console.print(f"\n{candidate['code'].rstrip()}\n", markup=False)
    for judgement in facts.judgements.get(candidate_id, []):
        console.print(f"{judgement['feedback']}: {escape(_in_full(judgement))}")
    if not facts.judgements.get(candidate_id):
        console.print("It was not judged yet.")
    console.print(_where_it_stands(facts, candidate_id))
    for line in [*_neighbours(facts, candidate_id), *_pairs(facts, candidate_id), *_conflicts(facts, candidate_id)]:
        console.print(line)


def _sources(facts: ProblemFacts) -> list[str]:
    return list(dict.fromkeys(row["feedback"] for rows in facts.judgements.values() for row in rows))


def _in_order(facts: ProblemFacts) -> list[str]:
    """Return all candidates, the ranked ones first and best first."""
    return sorted(
        facts.candidates, key=lambda key: -facts.standings[key]["score"] if key in facts.standings else float("inf")
    )


def _place(facts: ProblemFacts, candidate_id: str) -> str:
    if candidate_id not in facts.standings:
        return "-"
    scores = [standing["score"] for standing in facts.standings.values()]
    own = facts.standings[candidate_id]["score"]
    return f"{1 + sum(score > own for score in scores)}" + ("=" if scores.count(own) > 1 else "")


def _short(facts: ProblemFacts, candidate_id: str, source: str) -> str:
    row = next((row for row in facts.judgements.get(candidate_id, []) if row["feedback"] == source), None)
    if row is None:
        return ""
    if row["state"] is not None:
        passed, total = row["detail"].get("passed"), row["detail"].get("total")
        return f"{row['state']} {passed}/{total}" if total else str(row["state"])
    return "abstained" if row["score"] is None else f"{row['score']:.2f}"


def _in_full(judgement: dict[str, Any]) -> str:
    detail = dict(judgement["detail"])
    if judgement["state"] is not None:
        text = f"{judgement['state']}, {detail.get('passed')} of {detail.get('total')} tests"
        return text + (f"; {detail['message']}" if detail.get("message") else "")
    if judgement["score"] is None:
        return f"abstained: {detail.get('abstained', 'no reason given')}"
    told = [f"{name} {value}" for name, value in detail.items() if value not in (None, "", [], {})]
    return f"{judgement['score']:.3g}" + (f"; {'; '.join(told)}" if told else "")


def _where_it_stands(facts: ProblemFacts, candidate_id: str) -> str:
    for row in facts.dropped:
        if candidate_id in row["candidate_ids"] and row["reason"] in ("truncated", "repeated"):
            return f"It is in no order: {_REASONS[row['reason']]}."
    if candidate_id not in facts.standings:
        return "The answers to this problem were not ranked."
    place = _place(facts, candidate_id)
    shared = ", shared with others" if place.endswith("=") else ""
    told = f"It stands in place {place.rstrip('=')} of {len(facts.standings)}{shared}, with the score "
    told += f"{facts.standings[candidate_id]['score']:g}."
    for row in facts.dropped:
        if row["reason"] not in ("truncated", "repeated"):
            told += f" But the problem was dropped: {_REASONS.get(row['reason'], row['reason'])}."
    return told


def _neighbours(facts: ProblemFacts, candidate_id: str) -> Iterator[str]:
    """Say who is next above and below, and by whose word."""
    if candidate_id not in facts.standings:
        return
    own = facts.standings[candidate_id]
    others = [standing for key, standing in facts.standings.items() if key != candidate_id]
    above = min((s for s in others if s["score"] > own["score"]), key=lambda s: s["score"], default=None)
    below = max((s for s in others if s["score"] < own["score"]), key=lambda s: s["score"], default=None)
    for word, other in (("Below", above), ("Above", below)):
        if other is not None:
            yield f"{word} {other['candidate_id'][:8]} ({other['score']:g}), which {_difference(other, own)}."


def _difference(other: dict[str, Any], own: dict[str, Any]) -> str:
    """Say which sources put the other one higher or lower."""
    told = []
    for source, opinion in other["opinions"].items():
        name = "the rule about teachers' samples" if source == "sample" else source
        ours = own["opinions"].get(source)
        if (opinion is None) != (ours is None):
            told.append(f"{name} said nothing of" if opinion is None else f"{name} judged, but not this one")
        elif opinion is not None and opinion != ours:
            told.append(f"{name} puts {'higher' if opinion > ours else 'lower'} ({opinion:.3g} to {ours:.3g})")
    return ", ".join(told) or "no source tells from this one"


def _training(facts: ProblemFacts, candidate_id: str) -> str:
    if candidate_id not in facts.ranked:
        dropped = [row["reason"] for row in facts.dropped if candidate_id in row["candidate_ids"]]
        return f"no, {dropped[0].replace('_', ' ')}" if dropped else "no"
    if facts.trained is None:
        return "not yet"
    place = facts.ranked.index(candidate_id)
    better = sum(pair[0] == place for pair in facts.trained["pairs"])
    worse = sum(pair[1] == place for pair in facts.trained["pairs"])
    told = ["imitated"] if facts.trained["imitated"] == place else []
    told += [f"better in {better}"] if better else []
    told += [f"worse in {worse}"] if worse else []
    return ", ".join(told) or "in no pair"


def _pairs(facts: ProblemFacts, candidate_id: str) -> Iterator[str]:
    """Say which pairs it went into, with their weights."""
    if candidate_id not in facts.ranked:
        return
    if facts.trained is None:
        yield "It has not been trained on yet."
        return
    place = facts.ranked.index(candidate_id)
    if facts.trained["imitated"] == place:
        yield "It was imitated, as the best answer of its problem."
    for word, own, other in (("better than", 0, 1), ("worse than", 1, 0)):
        met = [(facts.ranked[pair[other]][:8], pair[2]) for pair in facts.trained["pairs"] if pair[own] == place]
        if met:
            told = ", ".join(key if weight is None else f"{key} (weight {weight:g})" for key, weight in met)
            yield f"It was trained on as {word} {told}."
    if not any(place in pair[:2] for pair in facts.trained["pairs"]):
        yield "It went into no pair: it was too long, or no other answer had another score."


def _conflicts(facts: ProblemFacts, candidate_id: str | None) -> Iterator[str]:
    for row in facts.conflicts:
        first, second = row["sources"]
        for better, worse in row["opposed"]:
            if candidate_id in (None, better, worse):
                yield f"Conflict: {first} puts {better[:8]} above {worse[:8]}, {second} the other way round."

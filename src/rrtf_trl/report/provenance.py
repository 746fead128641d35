"""Provenance of a candidate: its judgements, what led to its place, and how training used it.

Everything is read from a run's folder, see :mod:`rrtf_trl.storage.run_folder`. `rrtf explain` and the report
show it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from rrtf_trl.files.folder import Folder
from rrtf_trl.records import CANDIDATE_REASONS, PROBLEM_REASONS

from .tallies import rows


@dataclass
class ProblemFacts:
    """What a run's folder holds on one problem.

    Args:
        problem: Its row of ``problems.jsonl``.
        candidates: Its candidates by id, in their order.
        judgements: Judgements by candidate id.
        standings: Standings by candidate id, of the candidates that were ranked.
        ranked: The candidate ids of its row of ``ranked.jsonl``, in that order.
        trained: Its row of ``pairs.jsonl``, one without pairs where training left it out, or ``None`` before training.
        dropped: Its rows of ``dropped.jsonl``.
        conflicts: Its rows of ``conflicts.jsonl``.
    """

    problem: dict[str, Any]
    candidates: dict[str, dict[str, Any]] = field(default_factory=dict)
    judgements: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    standings: dict[str, dict[str, Any]] = field(default_factory=dict)
    ranked: list[str] = field(default_factory=list)
    trained: dict[str, Any] | None = None
    dropped: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)


def read_facts(folder: Folder, tasks: Collection[str]) -> dict[str, ProblemFacts]:
    """Return by ``task_id`` what a run's folder holds on some problems; files of later stages may be missing."""
    facts = {row["task_id"]: ProblemFacts(row) for row in rows(folder, "problems.jsonl") if row["task_id"] in tasks}
    by_candidate: dict[str, ProblemFacts] = {}
    by_row: dict[int, ProblemFacts] = {}
    for row in rows(folder, "candidates.jsonl"):
        if row["task_id"] in tasks:
            of_problem = facts.setdefault(row["task_id"], ProblemFacts({}))
            of_problem.candidates[row["candidate_id"]] = row
            by_candidate[row["candidate_id"]] = of_problem
    for row in rows(folder, "judgements.jsonl"):
        if row["candidate_id"] in by_candidate:
            by_candidate[row["candidate_id"]].judgements.setdefault(row["candidate_id"], []).append(row)
    for row in rows(folder, "standings.jsonl"):
        if row["task_id"] in facts:
            facts[row["task_id"]].standings = {standing["candidate_id"]: standing for standing in row["standings"]}
    for number, row in enumerate(rows(folder, "ranked.jsonl")):
        if row.get("task_id") in facts:
            by_row[number] = facts[row["task_id"]]
            by_row[number].ranked = row.get("candidate_ids") or []
    if (folder / "pairs.jsonl").is_file():  # training has begun: a problem without a line was left out
        for of_problem in by_row.values():
            of_problem.trained = {"imitated": [], "pairs": []}
    for row in rows(folder, "pairs.jsonl"):
        if row["row"] in by_row:
            by_row[row["row"]].trained = row
    for name in ("dropped", "conflicts"):
        for row in rows(folder, f"{name}.jsonl"):
            if row["task_id"] in facts:
                getattr(facts[row["task_id"]], name).append(row)
    return facts


def feedback_sources(facts: ProblemFacts) -> list[str]:
    """Return the names of the feedback sources that judged the candidates."""
    return list(dict.fromkeys(row["feedback"] for judged in facts.judgements.values() for row in judged))


def best_first(facts: ProblemFacts) -> list[str]:
    """Return the ids of all candidates, the ranked ones first and best first."""
    return sorted(
        facts.candidates, key=lambda key: -facts.standings[key]["score"] if key in facts.standings else float("inf")
    )


def place(facts: ProblemFacts, candidate_id: str) -> str:
    """Return a candidate's place in its group, with ``=`` where it is shared; ``-`` where it was not ranked."""
    if candidate_id not in facts.standings:
        return "-"
    scores = [standing["score"] for standing in facts.standings.values()]
    own = facts.standings[candidate_id]["score"]
    return f"{1 + sum(score > own for score in scores)}" + ("=" if scores.count(own) > 1 else "")


def short_judgement(facts: ProblemFacts, candidate_id: str, source: str) -> str:
    """Return a feedback source's judgement of a candidate in a word or two."""
    row = next((row for row in facts.judgements.get(candidate_id, []) if row["feedback"] == source), None)
    if row is None:
        return ""
    if row["state"] is not None:
        passed, total = row["detail"].get("passed"), row["detail"].get("total")
        return f"{row['state']} {passed}/{total}" if total else str(row["state"])
    return "abstained" if row["score"] is None else f"{row['score']:.2f}"


def provenance(facts: ProblemFacts, candidate_id: str) -> Iterator[str]:
    """Yield, line by line, a candidate's judgements, what led to its place, and its pairs."""
    judgements = facts.judgements.get(candidate_id, [])
    for judgement in judgements:
        yield f"{judgement['feedback']}: {_full_judgement(judgement)}"
    if not judgements:
        yield "It was not judged yet."
    yield _describe_place(facts, candidate_id)
    yield from _next_candidates(facts, candidate_id)
    yield from _pairs(facts, candidate_id)
    yield from conflicts(facts, candidate_id)


def why_dropped(facts: ProblemFacts) -> str:
    """Return why the whole problem was dropped, as a sentence; empty where it was not."""
    reasons = [row["reason"] for row in facts.dropped if row["reason"] not in CANDIDATE_REASONS]
    return f"The problem was dropped: {PROBLEM_REASONS.get(reasons[0], reasons[0])}." if reasons else ""


def _full_judgement(judgement: dict[str, Any]) -> str:
    detail = judgement["detail"]
    if judgement["state"] is not None:
        text = f"{judgement['state']}, {detail.get('passed')} of {detail.get('total')} tests"
        return text + (f"; {detail['message']}" if detail.get("message") else "")
    if judgement["score"] is None:
        return f"abstained: {detail.get('abstained', 'no reason given')}"
    parts = [f"{name} {value}" for name, value in detail.items() if value not in (None, "", [], {})]
    return "; ".join([f"{judgement['score']:.3g}", *parts])


def _describe_place(facts: ProblemFacts, candidate_id: str) -> str:
    for row in facts.dropped:
        if candidate_id in row["candidate_ids"] and row["reason"] in CANDIDATE_REASONS:
            return f"It was not ranked: {CANDIDATE_REASONS[row['reason']]}."
    if candidate_id not in facts.standings:
        return "The candidates of this problem were not ranked."
    own = place(facts, candidate_id)
    shared = ", shared with others" if own.endswith("=") else ""
    score = facts.standings[candidate_id]["score"]
    text = f"It has place {own.rstrip('=')} of {len(facts.standings)}{shared}, with the score {score:g}."
    return f"{text} {why_dropped(facts)}".rstrip()


def _next_candidates(facts: ProblemFacts, candidate_id: str) -> Iterator[str]:
    """Describe the candidates next above and below, and which sources put them there."""
    if candidate_id not in facts.standings:
        return
    own = facts.standings[candidate_id]
    others = facts.standings.values()
    above = min((s for s in others if s["score"] > own["score"]), key=lambda s: s["score"], default=None)
    below = max((s for s in others if s["score"] < own["score"]), key=lambda s: s["score"], default=None)
    for word, other in (("Below", above), ("Above", below)):
        if other is not None:
            yield f"{word} {other['candidate_id'][:8]} ({other['score']:g}): {_difference(other, own)}."


def _difference(other: dict[str, Any], own: dict[str, Any]) -> str:
    """Return which sources put the other candidate higher or lower than this one."""
    parts = []
    for source, others_score in other["opinions"].items():
        name = "the teacher rule" if source == "sample" else source
        score = own["opinions"].get(source)
        if (others_score is None) != (score is None):
            parts.append(f"{name} judged only {'this one' if others_score is None else 'the other'}")
        elif others_score is not None and others_score != score:
            direction = "higher" if others_score > score else "lower"
            parts.append(f"{name} puts it {direction} ({others_score:.3g} to {score:.3g})")
    return ", ".join(parts) or "no source distinguishes the two"


def training(facts: ProblemFacts, candidate_id: str) -> str:
    """Return how training used a candidate, in a few words."""
    if candidate_id not in facts.ranked:
        dropped = [row["reason"] for row in facts.dropped if candidate_id in row["candidate_ids"]]
        return f"no, {dropped[0].replace('_', ' ')}" if dropped else "no"
    if facts.trained is None:
        return "not yet"
    return training_use(facts.trained, facts.ranked.index(candidate_id), unit="") or "in no pair"


def training_use(trained: dict[str, Any], number: int, unit: str = " pairs") -> str:
    """Return how training used a response, for instance ``imitated, better in 2 pairs``; empty where it did not.

    Args:
        trained: A row of ``pairs.jsonl``.
        number: The number of the response in its row of ``ranked.jsonl``.
        unit: What follows a count of pairs.
    """
    parts = ["imitated"] if number in trained["imitated"] else []
    for side, word in enumerate(("better", "worse")):
        if count := sum(pair[side] == number for pair in trained["pairs"]):
            parts.append(f"{word} in {count}{unit if count > 1 else unit.removesuffix('s')}")
    return ", ".join(parts)


def _pairs(facts: ProblemFacts, candidate_id: str) -> Iterator[str]:
    """Yield whether a candidate was imitated, and the pairs it is in, with their weights."""
    if candidate_id not in facts.ranked:
        return
    if facts.trained is None:
        yield "It has not been trained on yet."
        return
    own_number, imitated = facts.ranked.index(candidate_id), facts.trained["imitated"]
    if own_number in imitated:
        which = "the best candidate" if len(imitated) == 1 else f"one of {len(imitated)} good candidates"
        yield f"It was imitated, as {which} of its problem."
    pairs = facts.trained["pairs"]
    for word, own, other in (("better than", 0, 1), ("worse than", 1, 0)):
        others = [(facts.ranked[pair[other]][:8], pair[2]) for pair in pairs if pair[own] == own_number]
        if others:
            text = ", ".join(key if weight is None else f"{key} (weight {weight:g})" for key, weight in others)
            yield f"It was trained on as {word} {text}."
    if not any(own_number in pair[:2] for pair in pairs):
        yield (
            "It is in no pair: it was too long, or no other candidate had another score, or no better one was good "
            "enough for trainer.rank_min_score, or trainer.rank_weight is 0."
        )


def conflicts(facts: ProblemFacts, candidate_id: str | None) -> Iterator[str]:
    """Yield the conflicts between sources that a candidate is in, or all of the problem's for ``None``."""
    for row in facts.conflicts:
        first, second = row["sources"]
        for better, worse in row["opposed"]:
            if candidate_id in (None, better, worse):
                yield f"Conflict: {first} puts {better[:8]} above {worse[:8]}, {second} below it."

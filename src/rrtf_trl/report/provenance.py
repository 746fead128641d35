"""An account of an answer: what each source said of it, why it stands where it does, what training made of it.

Everything is read from a run's folder, see :mod:`rrtf_trl.storage.run_folder`. `rrtf explain` and the report
both show it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from rrtf_trl.files.folder import Folder
from rrtf_trl.records import ANSWER_REASONS, PROBLEM_REASONS


@dataclass
class ProblemFacts:
    """What a run's folder says of one problem.

    Args:
        problem: Its row of ``problems.jsonl``.
        candidates: Its candidates, by id, in their order.
        judgements: Of each candidate, by its id.
        standings: Of each candidate that was ranked, by its id.
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
    """Return what a run's folder says of some problems, by ``task_id``; a stage that was not run says nothing."""
    facts = {row["task_id"]: ProblemFacts(row) for row in _rows(folder, "problems.jsonl") if row["task_id"] in tasks}
    of_candidate: dict[str, ProblemFacts] = {}
    of_row: dict[int, ProblemFacts] = {}
    for row in _rows(folder, "candidates.jsonl"):
        if row["task_id"] in tasks:
            found = facts.setdefault(row["task_id"], ProblemFacts({}))
            found.candidates[row["candidate_id"]] = row
            of_candidate[row["candidate_id"]] = found
    for row in _rows(folder, "judgements.jsonl"):
        if row["candidate_id"] in of_candidate:
            of_candidate[row["candidate_id"]].judgements.setdefault(row["candidate_id"], []).append(row)
    for row in _rows(folder, "standings.jsonl"):
        if row["task_id"] in facts:
            facts[row["task_id"]].standings = {standing["candidate_id"]: standing for standing in row["standings"]}
    for number, row in enumerate(_rows(folder, "ranked.jsonl")):
        if row.get("task_id") in facts:
            of_row[number] = facts[row["task_id"]]
            of_row[number].ranked = row.get("candidate_ids") or []
    if (folder / "pairs.jsonl").is_file():  # training has begun: a problem without a line was left out
        for found in of_row.values():
            found.trained = {"imitated": [], "pairs": []}
    for row in _rows(folder, "pairs.jsonl"):
        if row["row"] in of_row:
            of_row[row["row"]].trained = row
    for name in ("dropped", "conflicts"):
        for row in _rows(folder, f"{name}.jsonl"):
            if row["task_id"] in facts:
                getattr(facts[row["task_id"]], name).append(row)
    return facts


def _rows(folder: Folder, name: str) -> Iterator[dict[str, Any]]:
    return folder.read_jsonl(name) if (folder / name).is_file() else iter(())


def sources(facts: ProblemFacts) -> list[str]:
    """Return who judged the answers."""
    return list(dict.fromkeys(row["feedback"] for rows in facts.judgements.values() for row in rows))


def in_order(facts: ProblemFacts) -> list[str]:
    """Return the ids of all candidates, the ranked ones first and best first."""
    return sorted(
        facts.candidates, key=lambda key: -facts.standings[key]["score"] if key in facts.standings else float("inf")
    )


def place(facts: ProblemFacts, candidate_id: str) -> str:
    """Return an answer's place in the order, with ``=`` where others share it; ``-`` outside of the order."""
    if candidate_id not in facts.standings:
        return "-"
    scores = [standing["score"] for standing in facts.standings.values()]
    own = facts.standings[candidate_id]["score"]
    return f"{1 + sum(score > own for score in scores)}" + ("=" if scores.count(own) > 1 else "")


def short(facts: ProblemFacts, candidate_id: str, source: str) -> str:
    """Return a source's verdict on an answer in a word or two."""
    row = next((row for row in facts.judgements.get(candidate_id, []) if row["feedback"] == source), None)
    if row is None:
        return ""
    if row["state"] is not None:
        passed, total = row["detail"].get("passed"), row["detail"].get("total")
        return f"{row['state']} {passed}/{total}" if total else str(row["state"])
    return "abstained" if row["score"] is None else f"{row['score']:.2f}"


def account(facts: ProblemFacts, candidate_id: str) -> Iterator[str]:
    """Yield, line by line, each verdict, reply and label on an answer, why it stands where it does, and its pairs."""
    for judgement in facts.judgements.get(candidate_id, []):
        yield f"{judgement['feedback']}: {_in_full(judgement)}"
    if not facts.judgements.get(candidate_id):
        yield "It was not judged yet."
    yield _where_it_stands(facts, candidate_id)
    yield from _neighbours(facts, candidate_id)
    yield from _pairs(facts, candidate_id)
    yield from conflicts(facts, candidate_id)


def why_dropped(facts: ProblemFacts) -> str:
    """Return why the whole problem was dropped, as a sentence; nothing where it was not."""
    reasons = [row["reason"] for row in facts.dropped if row["reason"] not in ANSWER_REASONS]
    return f"The problem was dropped: {PROBLEM_REASONS.get(reasons[0], reasons[0])}." if reasons else ""


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
        if candidate_id in row["candidate_ids"] and row["reason"] in ANSWER_REASONS:
            return f"It is in no order: {ANSWER_REASONS[row['reason']]}."
    if candidate_id not in facts.standings:
        return "The answers to this problem were not ranked."
    own = place(facts, candidate_id)
    shared = ", shared with others" if own.endswith("=") else ""
    told = f"It stands in place {own.rstrip('=')} of {len(facts.standings)}{shared}, with the score "
    told += f"{facts.standings[candidate_id]['score']:g}."
    return f"{told} {why_dropped(facts)}".rstrip()


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


def training(facts: ProblemFacts, candidate_id: str) -> str:
    """Return what training made of an answer in a word or two."""
    if candidate_id not in facts.ranked:
        dropped = [row["reason"] for row in facts.dropped if candidate_id in row["candidate_ids"]]
        return f"no, {dropped[0].replace('_', ' ')}" if dropped else "no"
    if facts.trained is None:
        return "not yet"
    place = facts.ranked.index(candidate_id)
    better = sum(pair[0] == place for pair in facts.trained["pairs"])
    worse = sum(pair[1] == place for pair in facts.trained["pairs"])
    told = ["imitated"] if place in facts.trained["imitated"] else []
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
    if place in facts.trained["imitated"]:
        count = len(facts.trained["imitated"])
        which = "the best answer" if count == 1 else f"one of {count} good answers"
        yield f"It was imitated, as {which} of its problem."
    for word, own, other in (("better than", 0, 1), ("worse than", 1, 0)):
        met = [(facts.ranked[pair[other]][:8], pair[2]) for pair in facts.trained["pairs"] if pair[own] == place]
        if met:
            told = ", ".join(key if weight is None else f"{key} (weight {weight:g})" for key, weight in met)
            yield f"It was trained on as {word} {told}."
    if not any(place in pair[:2] for pair in facts.trained["pairs"]):
        yield (
            "It went into no pair: it was too long, or no other answer had another score, or no better one was good "
            "enough for trainer.rank_min_score, or trainer.rank_weight is 0."
        )


def conflicts(facts: ProblemFacts, candidate_id: str | None) -> Iterator[str]:
    """Yield the conflicts between sources that an answer is in, or all of the problem's."""
    for row in facts.conflicts:
        first, second = row["sources"]
        for better, worse in row["opposed"]:
            if candidate_id in (None, better, worse):
                yield f"Conflict: {first} puts {better[:8]} above {worse[:8]}, {second} the other way round."

"""The ranked groups that a report shows in full, with everything that the run's files hold on their candidates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from itertools import islice, takewhile
from typing import Any

from rrtf_trl.files.folder import Folder
from rrtf_trl.records import code_after_prompt, prompt_text

from .differences import marked
from .provenance import ProblemFacts, provenance, read_facts, training_use
from .tallies import rows

GROUPS = 20
"""How many ranked groups a report shows."""

SHOWN_FIRST, SHOWN_LAST = 8, 4
"""How many candidates of a larger group a report shows from its top and from its end."""

_UNRANKED = 3  # candidates of one group that were cut off or empty
_UNSEEN = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {
    code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


@dataclass
class ShownCandidate:
    """A candidate as a report shows it.

    Args:
        text: The response, clipped.
        state: The state that its tests led to, or ``None`` where that is not known.
        message: Of the test that failed.
        place: Its place in the group from 1; equal scores share a place. ``None`` if it was not ranked.
        score: Its score.
        source: Who wrote it.
        drawn: How many times the same text was drawn.
        training: How training used it.
        provenance: What `rrtf explain` prints: its judgements, its place, its pairs.
        marked: ``text`` as HTML, with what another candidate does not have marked.
    """

    text: str
    state: str | None = None
    message: str = ""
    place: int | None = None
    score: float | None = None
    source: str = ""
    drawn: int = 1
    training: str = ""
    provenance: list[str] = field(default_factory=list)
    marked: Any = ""


@dataclass
class Group:
    """A problem with its candidates, the ranked ones first and in order.

    Args:
        task_id: The problem.
        prompt: Its prompt as text.
        candidates: Those that are shown.
        left_out: How many ranked candidates are not shown, after the first ``SHOWN_FIRST``.
        states: Counts of all candidates, repeats too, by state.
    """

    task_id: str
    prompt: str
    candidates: list[ShownCandidate]
    left_out: int = 0
    states: Counter[str] = field(default_factory=Counter)


def clip(text: Any, limit: int) -> str:
    """Return text that takes at most about ``limit`` bytes in the page, with invisible characters made visible."""
    # JSON can hold lone surrogates, UTF-8 cannot.
    shown = str(text).encode("utf-8", "replace").decode().translate(_UNSEEN)
    if 6 * len(shown) <= limit:  # no character takes more
        return shown
    size = 0
    for position, character in enumerate(shown):
        size += len(escape(character).encode())
        if size > limit:
            return f"{shown[:position]}\n… {len(shown) - position:,} more characters"
    return shown


def ranked_groups(folder: Folder) -> list[Group]:
    """Return the first groups of ``ranked.jsonl`` with what the run's other files hold on their candidates."""
    ranked = list(islice(rows(folder, "ranked.jsonl"), GROUPS))
    facts = read_facts(folder, {row["task_id"] for row in ranked if row.get("task_id")})
    is_trained = (folder / "pairs.jsonl").is_file()
    trained = {row["row"]: row for row in takewhile(lambda r: r["row"] < len(ranked), rows(folder, "pairs.jsonl"))}
    groups = []
    for number, row in enumerate(ranked):
        of_problem = facts.get(row.get("task_id") or "", ProblemFacts({}))
        pairs = trained.get(number, {"imitated": [], "pairs": []}) if is_trained else None
        groups.append(_group(row, of_problem, pairs))
    return groups


def _group(row: dict[str, Any], facts: ProblemFacts, trained: dict[str, Any] | None) -> Group:
    responses, scores = row["responses"], row["scores"]
    ids = row.get("candidate_ids") or [None] * len(responses)
    sources = row.get("sources") or [""] * len(responses)
    tested = {
        key: judgement
        for key in facts.candidates
        for judgement in facts.judgements.get(key, [])
        if judgement["state"] is not None
    }
    texts = {key: _texts(row["prompt"], facts.candidates[key]) for key in tested}
    drawn = Counter(text for of_candidate in texts.values() for text in of_candidate)
    order = sorted(range(len(responses)), key=lambda i: -scores[i])
    shown = order if len(order) <= SHOWN_FIRST + SHOWN_LAST else order[:SHOWN_FIRST] + order[-SHOWN_LAST:]
    candidates = []
    for i in shown:
        candidate = _shown(prompt_text(responses[i]), tested.get(ids[i]))
        candidate.place = 1 + sum(score > scores[i] for score in scores)
        candidate.score, candidate.source, candidate.drawn = scores[i], clip(sources[i], 40), drawn[responses[i]] or 1
        if ids[i] in facts.candidates:
            candidate.provenance = [clip(line, 600) for line in provenance(facts, ids[i])]
        if trained is not None:
            use = training_use(trained, i)
            candidate.training = f"trained on: {use}" if use else "not trained on: too long, or in no pair"
        candidates.append(candidate)
    unranked = [
        key
        for key in tested
        if texts[key].isdisjoint(map(prompt_text, responses)) or facts.candidates[key]["finish_reason"] == "length"
    ]
    for key in unranked[:_UNRANKED]:
        record = facts.candidates[key]
        candidate = _shown(record["response"], tested[key])
        candidate.source = record["source"]
        candidate.training = f"not trained on: {'cut off at max_new_tokens' if _is_cut_off(record) else 'empty'}"
        candidates.append(candidate)
    for candidate in candidates:
        candidate.marked = marked(candidate.text, candidates[0].text)
    return Group(
        task_id=clip(row.get("task_id") or "", 120),
        prompt=clip(prompt_text(row["prompt"]), 2400),
        candidates=candidates,
        left_out=len(order) - len(shown),
        states=Counter(clip(judgement["state"], 40) for judgement in tested.values()),
    )


def _shown(text: str, judgement: dict[str, Any] | None) -> ShownCandidate:
    if judgement is None:
        return ShownCandidate(clip(text, 1400))
    message = judgement.get("detail", {}).get("message", "")
    return ShownCandidate(clip(text, 1400), clip(judgement["state"], 40), clip(message, 400))


def _texts(prompt: Any, candidate: dict[str, Any]) -> set[str]:
    """Return the texts as which a candidate may be trained on."""
    return {code_after_prompt(prompt, candidate["code"]), candidate["response"]}


def _is_cut_off(candidate: dict[str, Any]) -> bool:
    return bool(candidate["finish_reason"] == "length" or candidate["sampling"].get("cut_off"))

"""The ranked groups that a report shows whole, with all that the run knows of their answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from itertools import groupby, islice
from typing import Any

from rrtf_trl.files.folder import Folder

from .differences import marked
from .provenance import ProblemFacts, account, read_facts
from .tallies import judged, rows

GROUPS = 20
"""How many ranked groups a report shows."""

SHOWN_FIRST, SHOWN_LAST = 8, 4
"""How many ranked answers of one group a report shows from its top and from its end, where it has more."""

_UNRANKED = 3  # answers of one group that were cut off or empty
_Judged = tuple[dict[str, Any], dict[str, Any]]
_UNSEEN = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {
    code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


@dataclass
class Answer:
    """One answer, as it is shown.

    Args:
        text: What was answered.
        state: What happened when it met the tests, or ``None`` where that is not known.
        message: Of the test that failed.
        rank: Its place in the group, 1 is best; equal scores share a place. ``None`` outside of a ranking.
        score: Its score.
        source: Who wrote it.
        drawn: How many times this same text was drawn.
        training: What training made of it, in words.
        account: What `rrtf explain` tells of it: each verdict, reply and label, its place, its pairs.
        marked: ``text`` as HTML, with what another answer does not have marked.
    """

    text: str
    state: str | None = None
    message: str = ""
    rank: int | None = None
    score: float | None = None
    source: str = ""
    drawn: int = 1
    training: str = ""
    account: list[str] = field(default_factory=list)
    marked: Any = ""


@dataclass
class Group:
    """One problem with its answers, the ranked ones first and in order.

    Args:
        task_id: The problem.
        prompt: Its prompt as text.
        answers: Those that are shown.
        left_out: How many ranked answers are not shown; they stand after the first ``SHOWN_FIRST``.
        states: How many answers, repeats too, came to each state.
    """

    task_id: str
    prompt: str
    answers: list[Answer]
    left_out: int = 0
    states: Counter[str] = field(default_factory=Counter)


def clip(text: Any, limit: int) -> str:
    """Return text that takes at most about ``limit`` bytes in the page, with unseen characters made visible."""
    # Lone surrogates can stand in JSON, but not in a file of UTF-8.
    shown = str(text).encode("utf-8", "replace").decode().translate(_UNSEEN)
    if 6 * len(shown) <= limit:  # no character takes more
        return shown
    size = 0
    for position, character in enumerate(shown):
        size += len(escape(character).encode())
        if size > limit:
            return f"{shown[:position]}\n… {len(shown) - position:,} more characters"
    return shown


def prompt_text(prompt: Any) -> str:
    """Return a prompt as text; chat messages each under their role."""
    if isinstance(prompt, list):
        return "\n\n".join(f"[{message.get('role')}]\n{message.get('content')}" for message in prompt)
    return str(prompt)


def ranked_groups(folder: Folder) -> list[Group]:
    """Return the first groups of ``ranked.jsonl`` with all that the run's other files say of their answers."""
    ranked = list(islice(rows(folder, "ranked.jsonl"), GROUPS))
    tasks = [row.get("task_id") or "" for row in ranked]
    verdicts = _verdicts(folder, set(tasks))
    trained = _trained(folder, len(ranked))
    facts = read_facts(folder, set(tasks))
    return [
        _group(row, verdicts.get(tasks[i], []), trained.get(i), facts.get(tasks[i])) for i, row in enumerate(ranked)
    ]


def _verdicts(folder: Folder, tasks: set[str]) -> dict[str, list[_Judged]]:
    """Return the judged candidates of some problems; reads no further than the last of them."""
    found: dict[str, list[_Judged]] = {}
    for task_id, group in groupby(judged(folder), key=lambda pair: pair[0]["task_id"]):
        if task_id in tasks:
            found[task_id] = list(group)
            if len(found) == len(tasks):
                break
    return found


def _trained(folder: Folder, count: int) -> dict[int, dict[int, str]]:
    """Return what training made of the first ranked rows: by row and answer, in words; empty before training."""
    if not (folder / "pairs.jsonl").is_file():
        return {}
    found: dict[int, dict[int, str]] = {row: {} for row in range(count)}
    for line in rows(folder, "pairs.jsonl"):
        if line["row"] >= count:
            break
        better, worse = (Counter(pair[side] for pair in line["pairs"]) for side in (0, 1))
        for answer in {*better, *worse, *line["imitated"]}:
            told = ["imitated"] if answer in line["imitated"] else []
            told += [f"better in {_pairs(better[answer])}"] if better[answer] else []
            told += [f"worse in {_pairs(worse[answer])}"] if worse[answer] else []
            found[line["row"]][answer] = f"trained on: {', '.join(told)}"
    return found


def _pairs(count: int) -> str:
    return f"{count} pair{'s' if count > 1 else ''}"


def _group(
    row: dict[str, Any], verdicts: list[_Judged], trained: dict[int, str] | None, facts: ProblemFacts | None
) -> Group:
    responses, scores = row["responses"], row["scores"]
    ids = row.get("candidate_ids") or [None] * len(responses)
    sources = row.get("sources") or [""] * len(responses)
    by_id = {candidate["candidate_id"]: judgement for candidate, judgement in verdicts}
    drawn = Counter(_as_trained(row["prompt"], candidate) for candidate, _ in verdicts)
    order = sorted(range(len(responses)), key=lambda i: -scores[i])
    shown = order if len(order) <= SHOWN_FIRST + SHOWN_LAST else order[:SHOWN_FIRST] + order[-SHOWN_LAST:]
    answers = []
    for i in shown:
        answer = _answer(prompt_text(responses[i]), by_id.get(ids[i]))
        answer.rank = 1 + sum(score > scores[i] for score in scores)
        answer.score, answer.source, answer.drawn = scores[i], clip(sources[i], 40), drawn[responses[i]] or 1
        if facts is not None and ids[i] in facts.candidates:
            answer.account = [clip(line, 600) for line in account(facts, ids[i])]
        if trained is not None:
            answer.training = trained.get(i, "not trained on: too long, or in no pair")
        answers.append(answer)
    texts = set(responses)
    unranked = [pair for pair in verdicts if _as_trained(row["prompt"], pair[0]) not in texts or _cut_off(pair[0])]
    for candidate, judgement in unranked[:_UNRANKED]:
        answer = _answer(candidate["response"], judgement)
        answer.source = candidate["source"]
        answer.training = f"not trained on: {'cut off at max_new_tokens' if _cut_off(candidate) else 'empty'}"
        answers.append(answer)
    for answer in answers:
        answer.marked = marked(answer.text, answers[0].text)
    return Group(
        task_id=clip(row.get("task_id") or "", 120),
        prompt=clip(prompt_text(row["prompt"]), 2400),
        answers=answers,
        left_out=len(order) - len(shown),
        states=Counter(clip(judgement["state"], 40) for _, judgement in verdicts),
    )


def _answer(text: str, judgement: dict[str, Any] | None) -> Answer:
    if judgement is None:
        return Answer(clip(text, 1400))
    message = judgement.get("detail", {}).get("message", "")
    return Answer(clip(text, 1400), clip(judgement["state"], 40), clip(message, 400))


def _as_trained(prompt: Any, candidate: dict[str, Any]) -> str:
    code: str = candidate["code"]
    return code.removeprefix(prompt) if isinstance(prompt, str) else code


def _cut_off(candidate: dict[str, Any]) -> bool:
    return bool(candidate["finish_reason"] == "length")

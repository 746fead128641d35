"""Where items come from: a run's folder, or a file of prompts with responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from rrtf_trl.errors import InputError, UserError
from rrtf_trl.files.folder import Folder
from rrtf_trl.files.rows import read_jsonl
from rrtf_trl.forms import Open, check
from rrtf_trl.records import STATES, Problem, Prompt, RecordError, code_after_prompt, content_hash

from .items import MAX_CANDIDATES, Item, ItemCandidate
from .label_file import is_labels_file, read_labels


def default_labels(source: Path) -> Path:
    """Return where the labels of a source go: into a run's folder, beside any other file."""
    if source.is_dir():
        return source / "labels.jsonl"
    if is_labels_file(source):
        return source
    return source.with_name(f"{source.name.removesuffix('.gz').removesuffix('.jsonl')}.labels.jsonl")


def read_items(source: Path, *, answers: int = 4, state: str | None = None, seed: int = 0) -> list[Item]:
    """Return the items of a source, in its order.

    Args:
        source: A run's folder, a labels file, or JSONL in one of the forms of :func:`read_responses`.
        answers: The most candidates of an item, from 2 to 9. Where there are more, they are chosen as evenly from
            every source as possible.
        state: Only candidates that tests found in this state; needs a run's folder.
        seed: Decides which candidates are chosen.

    Raises:
        UserError: If an argument does not go with this source, or it has no item.
        InputError: If the source cannot be read; the message names file, line and field.
    """
    if not 2 <= answers <= MAX_CANDIDATES:
        raise UserError(f"--answers must be from 2 to {MAX_CANDIDATES}, got {answers}")
    if state is not None and state not in STATES:
        raise UserError(f"--state must be one of {', '.join(STATES)}, got {state!r}")
    if is_labels_file(source):
        return list(read_labels(source).items.values())
    if state is not None and not source.is_dir():
        raise UserError("--state needs a run's folder: a file of responses has no test results")
    groups = _of_run(source, state) if source.is_dir() else read_responses(source)
    items = []
    for prompt, task_id, candidates in groups:
        chosen = _choose(candidates, answers, seed)
        if len(chosen) >= 2:
            items.append(Item.create(prompt, chosen, task_id))
    if not items:
        raise UserError(f"{source}: no problem has two different candidates" + (f" that are {state}" if state else ""))
    return items


_Group = tuple[Prompt, str | None, list[ItemCandidate]]
"""A prompt, its ``task_id``, and its candidates."""


def _of_run(folder: Path, state: str | None) -> Iterator[_Group]:
    """Yield each problem with its candidates that are whole and not empty, with their test results."""
    run = Folder(folder)
    for name in ("problems.jsonl", "candidates.jsonl"):
        if not (run / name).is_file():
            raise UserError(f"{run / name}: no such file; is {folder} a run's folder? `rrtf sample` writes it")
    outcomes = {}
    if (run / "judgements.jsonl").is_file():
        for row in run.read_jsonl("judgements.jsonl"):
            if row["state"] is not None:
                outcomes[row["candidate_id"]] = {"state": row["state"], **row["detail"]}
    elif state is not None:
        raise UserError(f"{run / 'judgements.jsonl'}: no such file, which --state needs; `rrtf feedback` writes it")
    by_task: dict[str, list[dict[str, Any]]] = {}
    for row in run.read_jsonl("candidates.jsonl"):
        tests = outcomes.get(row["candidate_id"])
        if row["finish_reason"] == "stop" and (state is None or (tests or {}).get("state") == state):
            by_task.setdefault(row["task_id"], []).append({**row, "tests": tests})
    for problem in map(Problem.from_json, run.read_jsonl("problems.jsonl")):
        candidates = []
        for row in by_task.get(problem.task_id, []):
            text = code_after_prompt(problem.prompt, row["code"])
            more = row["response"] if row["response"].strip() not in (text.strip(), row["code"].strip()) else None
            if text.strip():
                fields = {"source": row["source"], "model": row["model"], "response": more, "tests": row["tests"]}
                candidates.append(ItemCandidate.create(problem.prompt, text, **fields))
        yield problem.prompt, problem.task_id, candidates


def read_responses(path: Path) -> Iterator[_Group]:
    """Yield each prompt of a JSONL file with its candidates.

    A row is one of

    - ``prompt`` and ``responses``, a list of texts; ``sources``, ``models`` and ``task_id`` are optional (a row of
      ``ranked.jsonl`` is one);
    - ``prompt``, ``chosen`` and ``rejected``, TRL's preference row, to be labelled anew without the old choice;
    - ``prompt`` and ``completion``: one response a row, those to the same prompt belong together; ``model`` and
      ``task_id`` are optional.

    ``prompt`` is text or chat messages, and so is a response.

    Raises:
        InputError: If a row is none of these; the message names file, line and field.
    """
    by_prompt: dict[str, _Group] = {}
    for number, row in read_jsonl(path):
        try:
            prompt, task_id, candidates = _of_row(row)
        except RecordError as error:
            raise InputError(f"{path}:{number}: {error}") from None
        if "completion" in row:
            by_prompt.setdefault(content_hash(prompt), (prompt, task_id, []))[2].extend(candidates)
        else:
            yield prompt, task_id, candidates
    yield from by_prompt.values()


@dataclass(frozen=True, kw_only=True)
class PromptRow(Open):
    """What rows of a prompt with responses have in common."""

    prompt: Prompt
    task_id: str | None = None
    sources: list[str | None] | None = None
    models: list[str | None] | None = None


@dataclass(frozen=True, kw_only=True)
class _Row(PromptRow):
    model: str | None = None


def _of_row(row: dict[str, Any]) -> _Group:
    check(_Row, row, utf8=False)
    prompt = row["prompt"]
    sources: list[str | None] = [None, None]
    models: list[str | None] = [None, None]
    if "responses" in row:
        responses = row["responses"]
        if not isinstance(responses, list) or not responses:
            raise RecordError("field responses: expected a list that is not empty")
        sources, models = origins_of(row, len(responses))
    elif "chosen" in row and "rejected" in row:
        responses = [row["chosen"], row["rejected"]]
    elif "completion" in row:
        responses, sources, models = [row["completion"]], [None], [row.get("model")]
    else:
        raise RecordError("field responses: missing (or `chosen` and `rejected`, or one `completion` a row)")
    candidates = [
        ItemCandidate.create(prompt, response_text(response), source=source, model=model)
        for response, source, model in zip(responses, sources, models, strict=True)
    ]
    return prompt, row.get("task_id"), [candidate for candidate in candidates if candidate.text.strip()]


def origins_of(row: dict[str, Any], count: int) -> tuple[list[str | None], list[str | None]]:
    """Return the ``sources`` and the ``models`` of a row, with ``None`` for each response where it has none.

    Raises:
        RecordError: If there are not ``count`` of them.
    """
    columns = []
    for name in ("sources", "models"):
        values = [None] * count if row.get(name) is None else row[name]
        if len(values) != count:
            raise RecordError(f"field {name}: expected a string for each of the {count} responses")
        columns.append(values)
    return columns[0], columns[1]


def response_text(value: Any) -> str:
    """Return a response's text: a string as it is, or the content of the one assistant message.

    Raises:
        RecordError: If it is neither.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        content = value[0].get("content")
        if value[0].get("role") == "assistant" and isinstance(content, str):
            return content
    shown = json.dumps(value, default=repr)[:80]
    raise RecordError(f"a response is neither text nor one assistant message: {shown}")


def _choose(candidates: list[ItemCandidate], count: int, seed: int) -> list[ItemCandidate]:
    """Choose ``count`` different candidates, from each source in turn; which ones depends on ``seed`` alone."""
    different: dict[str, ItemCandidate] = {}
    for candidate in candidates:
        kept = different.setdefault(candidate.answer_id, candidate)
        if kept.source == "student" and candidate.source != "student":  # the copy that ranking keeps too
            different[candidate.answer_id] = candidate
    by_source: dict[str, list[ItemCandidate]] = {}
    for candidate in sorted(different.values(), key=lambda candidate: content_hash(seed, candidate.answer_id)):
        by_source.setdefault(candidate.source or "", []).append(candidate)
    rounds = zip_longest(*(by_source[source] for source in sorted(by_source)))
    return [candidate for candidate in chain.from_iterable(rounds) if candidate is not None][:count]

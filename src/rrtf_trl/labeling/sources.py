"""Where items come from: a run's folder, or a file of prompts with responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrtf_trl.errors import InputError, UserError
from rrtf_trl.files.folder import Folder
from rrtf_trl.files.rows import read_jsonl
from rrtf_trl.forms import Open, check
from rrtf_trl.records import STATES, Problem, Prompt, RecordError, content_hash

from .items import MAX_ANSWERS, Answer, Item
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
        answers: How many answers an item has at most, from 2 to 9. Where there are more, every source is
            represented as evenly as can be; which of its answers are taken is decided by ``seed``.
        state: Take only answers that tests found in this state; needs a run's folder.
        seed: Decides which answers are taken.

    Raises:
        UserError: If an argument makes no sense for this source, or it has no item.
        InputError: If the source cannot be read; the message names file, line and field.
    """
    if not 2 <= answers <= MAX_ANSWERS:
        raise UserError(f"--answers must be from 2 to {MAX_ANSWERS}, got {answers}")
    if state is not None and state not in STATES:
        raise UserError(f"--state must be one of {', '.join(STATES)}, got {state!r}")
    if is_labels_file(source):
        return list(read_labels(source).items.values())
    if state is not None and not source.is_dir():
        raise UserError("--state needs a run's folder: a file of responses says nothing about tests")
    groups = _of_run(source, state) if source.is_dir() else read_responses(source)
    items = []
    for prompt, task_id, found in groups:
        chosen = _choose(found, answers, seed)
        if len({answer.answer_id for answer in chosen}) >= 2:
            items.append(Item.create(prompt, chosen, task_id))
    if not items:
        raise UserError(f"{source}: no problem has two different answers" + (f" that are {state}" if state else ""))
    return items


_Group = tuple[Prompt, str | None, list[Answer]]


def _of_run(folder: Path, state: str | None) -> Iterator[_Group]:
    """Yield each problem with its different, whole answers, and what unit tests said of them."""
    run = Folder(folder)
    for name, stage in (("problems.jsonl", "sample"), ("candidates.jsonl", "sample")):
        if not (run / name).is_file():
            raise UserError(f"{run / name}: no such file; is {folder} a run's folder? `rrtf {stage}` writes it")
    verdicts = {}
    if (run / "judgements.jsonl").is_file():
        for row in run.read_jsonl("judgements.jsonl"):
            if row["state"] is not None:
                verdicts[row["candidate_id"]] = {"state": row["state"], **row["detail"]}
    elif state is not None:
        raise UserError(f"{run / 'judgements.jsonl'}: no such file, which --state needs; `rrtf feedback` writes it")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in run.read_jsonl("candidates.jsonl"):
        tests = verdicts.get(row["candidate_id"])
        if row["finish_reason"] == "stop" and (state is None or (tests or {}).get("state") == state):
            found.setdefault(row["task_id"], []).append({**row, "tests": tests})
    for problem in map(Problem.from_json, run.read_jsonl("problems.jsonl")):
        head = problem.prompt if isinstance(problem.prompt, str) else ""
        answers = []
        for row in found.get(problem.task_id, []):
            text = row["code"].removeprefix(head)
            more = row["response"] if row["response"].strip() not in (text.strip(), row["code"].strip()) else None
            if text.strip():
                made = {"source": row["source"], "model": row["model"], "response": more, "tests": row["tests"]}
                answers.append(Answer.create(problem.prompt, text, **made))
        yield problem.prompt, problem.task_id, answers


def read_responses(path: Path) -> Iterator[_Group]:
    """Yield each prompt of a JSONL file with its answers.

    A row is one of

    - ``prompt`` and ``responses``, a list of texts; ``sources``, ``models`` and ``task_id`` are optional (a row of
      ``ranked.jsonl`` is one);
    - ``prompt``, ``chosen`` and ``rejected``, TRL's preference row, to be labelled anew without the old choice;
    - ``prompt`` and ``completion``: one answer a row, those to the same prompt belong together; ``model`` and
      ``task_id`` are optional.

    ``prompt`` is text or chat messages, and so is an answer.

    Raises:
        InputError: If a row is none of these; the message names file, line and field.
    """
    together: dict[str, _Group] = {}
    for number, row in read_jsonl(path):
        try:
            prompt, task_id, answers = _row(row)
        except RecordError as error:
            raise InputError(f"{path}:{number}: {error}") from None
        if "completion" in row:
            together.setdefault(content_hash(prompt), (prompt, task_id, []))[2].extend(answers)
        else:
            yield prompt, task_id, answers
    yield from together.values()


@dataclass(frozen=True)
class _Row(Open):
    prompt: Prompt
    task_id: str | None = None
    sources: list[str | None] | None = None
    models: list[str | None] | None = None
    model: str | None = None


def _row(row: dict[str, Any]) -> _Group:
    check(_Row, row, utf8=False)
    prompt = row["prompt"]
    if "responses" in row:
        texts, count = row["responses"], 0
        if not isinstance(texts, list) or not texts:
            raise RecordError("field responses: expected a list that is not empty")
        count = len(texts)
        columns = {}
        for name in ("sources", "models"):
            columns[name] = row.get(name) or [None] * count
            if len(columns[name]) != count:
                raise RecordError(f"field {name}: expected a string for each of the {count} responses")
        made = zip(texts, columns["sources"], columns["models"], strict=True)
    elif "chosen" in row and "rejected" in row:
        made = zip([row["chosen"], row["rejected"]], [None] * 2, [None] * 2, strict=True)
    elif "completion" in row:
        made = zip([row["completion"]], [None], [row.get("model")], strict=True)
    else:
        raise RecordError("field responses: missing (or `chosen` and `rejected`, or one `completion` a row)")
    answers = [Answer.create(prompt, answer_text(text), source=source, model=model) for text, source, model in made]
    return prompt, row.get("task_id"), [answer for answer in answers if answer.text.strip()]


def answer_text(value: Any) -> str:
    """Return an answer's text: a string as it is, or what the one assistant message says.

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


def _choose(answers: list[Answer], count: int, seed: int) -> list[Answer]:
    """Take ``count`` different answers, from each source in turn; which ones depends on ``seed`` alone."""
    different: dict[str, Answer] = {}
    for answer in answers:
        kept = different.setdefault(answer.answer_id, answer)
        if kept.source == "student" and answer.source != "student":  # as in ranking, the copy that is kept
            different[answer.answer_id] = answer
    by_source: dict[str, list[Answer]] = {}
    for answer in different.values():
        by_source.setdefault(answer.source or "", []).append(answer)
    queues = [
        sorted(by_source[source], key=lambda answer: content_hash(seed, answer.answer_id))
        for source in sorted(by_source)
    ]
    chosen: list[Answer] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return chosen

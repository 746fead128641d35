"""Our own rows: a label a row, a ranked group a row, and a table of one answer a row.

A *label* row has ``prompt``, ``responses``, ``ranks`` (1 is best, equal ranks tie, null is not ranked),
``annotator``, and, where known, ``positions`` (where on the page each response stood, from 1), ``seconds``,
``time``, ``task_id``, ``sources``, ``models``. A *ranked* row is the trainer's: ``scores`` in place of ranks.
In the table the rows of one label share their ``label`` cell.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from rrtf_trl.forms import Open, check
from rrtf_trl.records import Prompt, RankedGroup, RecordError, check_prompt, to_json

from ..aggregate import Opinion
from ..draft import dense
from ..items import Answer, Item
from ..labels import Label, Ledger, parse_time
from ..sources import answer_text

COLUMNS = (
    *("label", "task_id", "prompt", "messages", "response", "rank", "annotator"),
    *("position", "seconds", "time", "source", "model"),
)
_LABEL_FIELDS = {"prompt", "responses", "ranks", "annotator", "positions", "seconds", "time", "task_id"}
_RANKED_FIELDS = {"prompt", "responses", "scores", "annotator", "task_id", "candidate_ids"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


# -- Rows ------------------------------------------------------------------------------------------------


def label_rows(ledger: Ledger, labels: Iterable[Label]) -> Iterator[dict[str, Any]]:
    """Yield a row a label."""
    for label in labels:
        answers = [ledger.answer(answer.answer_id) for answer in label.item.answers]
        row: dict[str, Any] = {
            "task_id": label.item.task_id,
            "prompt": label.item.prompt,
            "responses": [answer.text for answer in answers],
            "ranks": [label.ranks.get(answer.answer_id) for answer in answers],
            "annotator": label.annotator,
            "positions": [label.shown.index(answer.answer_id) + 1 for answer in answers] if label.shown else None,
            "seconds": label.seconds,
            "time": label.time,
            "sources": [a.source for a in answers] if any(a.source for a in answers) else None,
            "models": [a.model for a in answers] if any(a.model for a in answers) else None,
        }
        yield {name: value for name, value in row.items() if value is not None}


def ranked_rows(ledger: Ledger, groups: Iterable[tuple[Item, list[Opinion]]]) -> Iterator[dict[str, Any]]:
    """Yield a :class:`~rrtf_trl.records.RankedGroup` a prompt, best first; one of which all answers tie is left out.

    Args:
        ledger: Knows the answers.
        groups: An item of each prompt, and what people say of all of that prompt's answers, best first.
    """
    for item, opinions in groups:
        if opinions[0].score == opinions[-1].score:
            continue
        answers = [ledger.answer(opinion.answer_id) for opinion in opinions]
        sources = [answer.source or "" for answer in answers]
        yield to_json(
            RankedGroup(
                prompt=item.prompt,
                responses=[answer.text for answer in answers],
                scores=[opinion.score for opinion in opinions],
                sources=sources if all(sources) else None,
                task_id=item.task_id,
            )
        )


@dataclass(frozen=True)
class _Row(Open):
    prompt: Prompt
    responses: list[Any]
    task_id: str | None = None
    annotator: str | None = None
    seconds: float | None = None
    time: str | None = None


def label_from_row(row: dict[str, Any], annotator: str) -> Label:
    """Return the label of a label row or a ranked row.

    Args:
        row: The row.
        annotator: Whose label it is where the row does not say.

    Raises:
        RecordError: If it is neither; the message names the field.
    """
    ranked = "ranks" not in row
    known = (_RANKED_FIELDS if ranked else _LABEL_FIELDS) | {"sources", "models"}
    unknown = sorted(row.keys() - known)
    if unknown:
        raise RecordError(f"field {unknown[0]}: no such field; known are {', '.join(sorted(known))}")
    check(_Row, row, utf8=False)
    parse_time(row.get("time") or "")
    texts = [answer_text(text) for text in row["responses"]]
    sources, models = (_column(row, name, len(texts), str) or [None] * len(texts) for name in ("sources", "models"))
    values = _column(row, "scores" if ranked else "ranks", len(texts), (int, float) if ranked else int)
    if values is None:
        raise RecordError("field ranks: missing (or `scores`)")
    made = list(zip(texts, sources, models, strict=True))
    return label_of(
        row["prompt"],
        [(text, {"source": source, "model": model}) for text, source, model in made],
        [None if value is None else float(-value if ranked else value) for value in values],
        annotator=row.get("annotator") or annotator,
        positions=_column(row, "positions", len(texts), int),
        seconds=row.get("seconds"),
        time=row.get("time") or "",
        task_id=row.get("task_id"),
    )


def label_of(
    prompt: Prompt,
    responses: list[tuple[str, dict[str, Any]]],
    values: list[float | None],
    *,
    annotator: str,
    positions: list[int] | None = None,
    seconds: float | None = None,
    time: str = "",
    task_id: str | None = None,
) -> Label:
    """Build a label from responses and a number for each.

    Args:
        prompt: The prompt.
        responses: Text and other fields of each answer.
        values: Smaller is better, equal numbers tie, ``None`` is not ranked. All ``None``: the item was skipped.
        annotator: Whose label it is.
        positions: Where each stood on the page, from 1.
        seconds: Attention that it took.
        time: When, as ISO 8601.
        task_id: The problem.

    Raises:
        RecordError: If a response stands twice with different ranks, or a single one is ranked.
    """
    answers = [Answer.create(prompt, text, **fields) for text, fields in responses]
    item = Item.create(prompt, answers, task_id)
    given: dict[str, float] = {}
    for answer, value in zip(answers, values, strict=True):
        if value is not None and given.setdefault(answer.answer_id, value) != value:
            raise RecordError("field responses: the same response stands twice, with different ranks")
    if len(given) == 1:
        raise RecordError("field ranks: only one response is ranked, which says nothing")
    shown: list[str] = []
    if positions is not None and len(item.answers) == len(answers):
        if sorted(positions) != list(range(1, len(answers) + 1)):
            raise RecordError(f"field positions: expected each of 1 to {len(answers)} once, got {positions}")
        shown = [answer.answer_id for _, answer in sorted(zip(positions, answers, strict=True), key=lambda p: p[0])]
    return Label(item, annotator, dense(given), shown, seconds, time)


def _column(row: dict[str, Any], name: str, count: int, kind: Any) -> list[Any] | None:
    values = row.get(name)
    if values is None:
        return None
    fine = isinstance(values, list) and len(values) == count
    if not fine or not all(v is None or (isinstance(v, kind) and not isinstance(v, bool)) for v in values):
        raise RecordError(f"field {name}: expected one value or null for each of the {count} responses")
    return list(values)


# -- Table -----------------------------------------------------------------------------------------------


def write_csv(ledger: Ledger, labels: Iterable[Label], file: TextIO) -> int:
    """Write a row an answer of each label, and return how many labels.

    A cell that a spreadsheet would take for a formula begins with an apostrophe: answers are not to be trusted
    (OWASP, "CSV Injection").
    """
    writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    count = 0
    for row in label_rows(ledger, labels):
        count += 1
        chat = not isinstance(row["prompt"], str)
        shared = {
            "label": count,
            "task_id": row.get("task_id", ""),
            "prompt": "" if chat else row["prompt"],
            "messages": json.dumps(row["prompt"]) if chat else "",
            "annotator": row["annotator"],
            "seconds": row.get("seconds", ""),
            "time": row["time"],
        }
        for index, response in enumerate(row["responses"]):
            columns = (("rank", "ranks"), ("position", "positions"), ("source", "sources"), ("model", "models"))
            own = {name: row[key][index] for name, key in columns if key in row and row[key][index] is not None}
            cells = {**shared, "response": response, **own}
            writer.writerow(
                {name: _guarded(value) if isinstance(value, str) else value for name, value in cells.items()}
            )
    return count


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _plain(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA) else text


def labels_from_csv(
    rows: Iterable[tuple[int, dict[str, str]]], annotator: str, prompt_field: str
) -> Iterator[tuple[int, Label | RecordError]]:
    """Yield each label of a table with its first line, or what is wrong with it.

    Only the columns ``prompt`` (or ``messages``), ``response`` and ``rank`` are needed; rows of one label share
    ``label``, or without that column the prompt and the annotator.
    """
    groups: dict[Any, list[tuple[int, dict[str, str]]]] = {}
    for line, cells in rows:
        row = {name: _plain(value) for name, value in cells.items()}
        prompt = row.get(prompt_field, "") or row.get("messages", "")
        key = row.get("label") or (prompt, row.get("annotator", ""))
        groups.setdefault(key, []).append((line, row))
    for found in groups.values():
        line = found[0][0]
        try:
            yield line, _label_of_cells([row for _, row in found], annotator, prompt_field)
        except RecordError as error:
            yield line, error


def _label_of_cells(rows: list[dict[str, str]], annotator: str, prompt_field: str) -> Label:
    first = rows[0]
    for name in ("response", "rank"):
        if name not in first:
            raise RecordError(f"column {name}: missing; this table has {', '.join(first)}")
    for name in (prompt_field, "messages", "annotator"):
        if any(row.get(name, "") != first.get(name, "") for row in rows):
            raise RecordError(f"column {name}: differs within label {first.get('label')!r}")
    prompt: Any = first.get(prompt_field, "")
    if not prompt and first.get("messages"):
        try:
            prompt = json.loads(first["messages"])
        except ValueError:
            raise RecordError("column messages: not JSON") from None
    if not prompt and prompt_field not in first:
        raise RecordError(f"column {prompt_field}: missing; name the prompt's column with --prompt-field")
    check_prompt(prompt)
    parse_time(first.get("time", ""))
    positions = [_number(row, "position") for row in rows]
    shown = None if None in positions else [int(position) for position in positions if position is not None]
    return label_of(
        prompt,
        [(row["response"], {n: row.get(n) or None for n in ("source", "model")}) for row in rows],
        [_number(row, "rank") for row in rows],
        annotator=first.get("annotator") or annotator,
        positions=shown,
        seconds=_number(first, "seconds"),
        time=first.get("time", ""),
        task_id=first.get("task_id") or None,
    )


def _number(row: dict[str, str], name: str) -> float | None:
    text = row.get(name, "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise RecordError(f"column {name}: expected a number, got {text[:80]!r}") from None

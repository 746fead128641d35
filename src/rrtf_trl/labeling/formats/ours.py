"""Rows of this project: one for each label, one for each ranked group, and a table with a row for each candidate.

A *label* row has ``prompt``, ``responses``, ``ranks`` (1 is best, equal ranks tie, null is not ranked), ``annotator``,
and, where known, ``positions`` (where on the page each response was, from 1), ``seconds``, ``time``, ``task_id``,
``sources``, ``models``. A *ranked* row is the trainer's: ``scores`` in place of ranks. In the table the rows of one
label have the same ``label`` cell.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rrtf_trl.errors import InputError
from rrtf_trl.files.rows import parse_json, read_table
from rrtf_trl.forms import check
from rrtf_trl.records import Prompt, RankedGroup, RecordError, check_prompt, to_json

from ..aggregate import CandidateScore
from ..draft import dense_ranks
from ..items import Item, ItemCandidate
from ..labels import Label, Ledger, parse_time
from ..sources import PromptRow, origins_of, response_text

COLUMNS = (
    *("label", "task_id", "prompt", "messages", "response", "rank", "annotator"),
    *("position", "seconds", "time", "source", "model"),
)
_LABEL_FIELDS = {"prompt", "responses", "ranks", "annotator", "positions", "seconds", "time", "task_id"}
_RANKED_FIELDS = {"prompt", "responses", "scores", "annotator", "task_id", "candidate_ids", "token_ids", "logprobs"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


# -- Rows ------------------------------------------------------------------------------------------------


def label_rows(ledger: Ledger, labels: Iterable[Label]) -> Iterator[dict[str, Any]]:
    """Yield a row for each label."""
    for label in labels:
        candidates = [ledger.candidate(candidate.answer_id) for candidate in label.item.answers]
        row: dict[str, Any] = {
            "task_id": label.item.task_id,
            "prompt": label.item.prompt,
            "responses": [candidate.text for candidate in candidates],
            "ranks": [label.ranks.get(candidate.answer_id) for candidate in candidates],
            "annotator": label.annotator,
            "positions": [label.shown.index(c.answer_id) + 1 for c in candidates] if label.shown else None,
            "seconds": label.seconds,
            "time": label.time,
            "sources": [c.source for c in candidates] if any(c.source for c in candidates) else None,
            "models": [c.model for c in candidates] if any(c.model for c in candidates) else None,
        }
        yield {name: value for name, value in row.items() if value is not None}


def ranked_rows(ledger: Ledger, groups: Iterable[tuple[Item, list[CandidateScore]]]) -> Iterator[dict[str, Any]]:
    """Yield a :class:`~rrtf_trl.records.RankedGroup` for each prompt, best first; none where all candidates tie.

    Args:
        ledger: Has the candidates.
        groups: An item of each prompt, and the scores of all of that prompt's candidates, best first.
    """
    for item, scores in groups:
        if scores[0].score == scores[-1].score:
            continue
        candidates = [ledger.candidate(score.answer_id) for score in scores]
        sources = [candidate.source or "" for candidate in candidates]
        yield to_json(
            RankedGroup(
                prompt=item.prompt,
                responses=[candidate.text for candidate in candidates],
                scores=[score.score for score in scores],
                sources=sources if all(sources) else None,
                task_id=item.task_id,
            )
        )


@dataclass(frozen=True, kw_only=True)
class _Row(PromptRow):
    responses: list[Any]
    annotator: str | None = None
    seconds: float | None = None
    time: str | None = None


def label_from_row(row: dict[str, Any], annotator: str) -> Label:
    """Return the label of a label row or a ranked row.

    Args:
        row: The row.
        annotator: The annotator where the row names none.

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
    texts = [response_text(response) for response in row["responses"]]
    sources, models = origins_of(row, len(texts))
    values = _numbers(row, "scores" if ranked else "ranks", (int, float) if ranked else int)
    if values is None:
        raise RecordError("field ranks: missing (or `scores`)")
    return label_of(
        row["prompt"],
        texts,
        [None if value is None else float(-value if ranked else value) for value in values],
        annotator=row.get("annotator") or annotator,
        origins=[{"source": source, "model": model} for source, model in zip(sources, models, strict=True)],
        positions=_numbers(row, "positions", int),
        seconds=row.get("seconds"),
        time=row.get("time") or "",
        task_id=row.get("task_id"),
    )


def label_of(
    prompt: Prompt,
    responses: list[str],
    values: list[float | None],
    *,
    annotator: str,
    origins: list[dict[str, Any]] | None = None,
    positions: list[int] | None = None,
    seconds: float | None = None,
    time: str = "",
    task_id: Any = None,
) -> Label:
    """Build a label from responses and a number for each.

    Args:
        prompt: The prompt.
        responses: The text of each candidate.
        values: Smaller is better, equal numbers tie, ``None`` is not ranked. All ``None``: the item was skipped.
        annotator: Who ranked them.
        origins: ``source`` and ``model`` of each.
        positions: Where each was on the page, from 1.
        seconds: Attention to the item.
        time: As ISO 8601.
        task_id: The problem; left out where it is no string.

    Raises:
        RecordError: If a response occurs twice with different ranks, or a single one is ranked.
    """
    created = [
        ItemCandidate.create(prompt, text, **origin)
        for text, origin in zip(responses, origins or [{}] * len(responses), strict=True)
    ]
    item = Item.create(prompt, created, task_id if isinstance(task_id, str) else None)
    ranked: dict[str, float] = {}
    for candidate, value in zip(created, values, strict=True):
        if value is not None and ranked.setdefault(candidate.answer_id, value) != value:
            raise RecordError("field responses: the same response occurs twice, with different ranks")
    if len(ranked) == 1:
        raise RecordError("field ranks: only one response is ranked, which is no order")
    shown: list[str] = []
    if positions is not None and len(item.answers) == len(created):
        in_order = range(1, len(created) + 1)
        if set(positions) != set(in_order):
            raise RecordError(f"field positions: expected each of 1 to {len(created)} once, got {positions}")
        shown = [created[positions.index(position)].answer_id for position in in_order]
    return Label(item, annotator, dense_ranks(ranked), shown, seconds, time)


class SingleRatings:
    """Ratings that an export has one row each for: a person's ratings of one prompt make a ranking."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[tuple[Prompt, str, float, str]]] = {}

    def add(self, annotator: str, prompt: Prompt, text: str, value: float, time: str = "") -> None:
        """Add a rating; of ``value`` smaller is better."""
        self._found.setdefault((annotator, str(prompt)), []).append((prompt, text, value, time))

    def labels(self) -> Iterator[Label]:
        """Yield a label for each annotator and prompt with ratings of two different responses or more."""
        for (annotator, _), ratings in self._found.items():
            prompts, texts, values, times = map(list, zip(*ratings, strict=True))
            if len(set(texts)) > 1:
                yield label_of(prompts[0], texts, values, annotator=annotator, time=times[0])


def _numbers(row: dict[str, Any], name: str, kind: Any) -> list[Any] | None:
    values, count = row.get(name), len(row["responses"])
    if values is None:
        return None
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(v is None or (isinstance(v, kind) and not isinstance(v, bool)) for v in values)
    ):
        raise RecordError(f"field {name}: expected one value or null for each of the {count} responses")
    return values


# -- Table -----------------------------------------------------------------------------------------------


def write_csv(ledger: Ledger, labels: Iterable[Label], file: TextIO) -> int:
    """Write a row for each candidate of each label, and return how many labels there are.

    A cell that a spreadsheet would read as a formula gets an apostrophe in front: responses are not to be trusted
    (OWASP, "CSV Injection").
    """
    writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    count = 0
    for count, row in enumerate(label_rows(ledger, labels), start=1):
        chat = not isinstance(row["prompt"], str)
        of_label = {
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
            cells = {**of_label, "response": response, **own}
            writer.writerow(
                {name: _escape(value) if isinstance(value, str) else value for name, value in cells.items()}
            )
    return count


def _escape(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _unescape(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA) else text


def labels_from_csv(path: Path, annotator: str, prompt_field: str) -> Iterator[Label]:
    """Yield each label of a table.

    Only the columns ``prompt`` (or ``messages``), ``response`` and ``rank`` are needed; rows of one label have the
    same ``label``, or without that column the same prompt and annotator.

    Raises:
        InputError: If it cannot be read; the message names the first line of the label, and the column.
    """
    groups: dict[Any, list[tuple[int, dict[str, str]]]] = {}
    for line, cells in read_table(path):
        row = {name: _unescape(value) for name, value in cells.items()}
        prompt = row.get(prompt_field, "") or row.get("messages", "")
        key = row.get("label") or (prompt, row.get("annotator", ""))
        groups.setdefault(key, []).append((line, row))
    for group in groups.values():
        line = group[0][0]
        try:
            yield _label_of_cells([row for _, row in group], annotator, prompt_field)
        except RecordError as error:
            raise InputError(f"{path}:{line}: {error}") from None


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
            prompt = parse_json(first["messages"])
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
        [row["response"] for row in rows],
        [_number(row, "rank") for row in rows],
        annotator=first.get("annotator") or annotator,
        origins=[{name: row.get(name) or None for name in ("source", "model")} for row in rows],
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

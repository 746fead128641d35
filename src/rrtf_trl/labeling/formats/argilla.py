"""Argilla's records, for ranking and rating questions.

A record is what ``dataset.records.to_json`` and ``to_list`` write (Argilla 2, "Importing and exporting datasets and
records", and ``Record.to_dict``): ``id``, ``fields``, ``metadata``, ``suggestions``, ``responses``, ``vectors``,
where ``responses`` has by question a list of ``value`` and ``user_id``. The flat form of ``to_datasets`` and
``to_list(flatten=True)`` (``ranking.responses``, ``ranking.responses.users``, ``ranking.responses.status``) is read
too. A ranking is a list of the fields' names, best first; with ties, which Argilla's client drops, a list of
``{"value": name, "rank": 1}``. A rating is a number, larger is better. Argilla's responses are annotators'.

Fields are ``prompt`` and ``response_1``, ``response_2``, …; the question of a rating ends in the number of its field
(``rating_1``), or the record has one field only.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from rrtf_trl.errors import UserError
from rrtf_trl.files.rows import parse_json
from rrtf_trl.records import RecordError, check_prompt

from ..items import Item
from ..labels import Label, labels_by_item
from .ours import SingleRatings, label_of

Kind = Literal["ranking", "rating"]


# -- Export -------------------------------------------------------------------------------------------------


def records(items: Iterable[Item], labels: Iterable[Label], kind: Kind) -> Iterator[dict[str, Any]]:
    """Yield a record for each item, with its labels as responses.

    Argilla's users are UUIDs: a UUID is made of each name, which is kept in ``metadata.annotators``.

    Raises:
        UserError: If a ranking has a tie, or leaves a candidate out, which Argilla's ranking cannot hold.
    """
    by_item = labels_by_item(labels)
    for item in items:
        found = by_item.get(item.item_id, [])
        fields: dict[str, Any] = {"prompt": item.prompt if isinstance(item.prompt, str) else json.dumps(item.prompt)}
        names = {candidate.answer_id: f"response_{n}" for n, candidate in enumerate(item.answers, start=1)}
        fields |= {names[candidate.answer_id]: candidate.text for candidate in item.answers}
        metadata: dict[str, Any] = {"task_id": item.task_id} if item.task_id is not None else {}
        if not isinstance(item.prompt, str):
            metadata["prompt_format"] = "messages"
        if found:
            metadata["annotators"] = [label.annotator for label in found]
        responses: dict[str, list[dict[str, Any]]] = {}
        for label in found:
            for question, value in _values(label, names, kind):
                response = {"value": value, "user_id": str(user_id(label.annotator))}
                responses.setdefault(question, []).append(response)
        yield {
            "id": item.item_id,
            "fields": fields,
            "metadata": metadata,
            "suggestions": {},
            "responses": responses,
            "vectors": {},
        }


def user_id(name: str) -> uuid.UUID:
    """Return the UUID that stands for an annotator's name."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"rrtf-trl:annotator:{name}")


def _values(label: Label, names: dict[str, str], kind: Kind) -> Iterator[tuple[str, Any]]:
    if kind == "ranking":
        order = sorted(label.ranks, key=lambda key: label.ranks[key])
        if len(set(label.ranks.values())) < len(names):
            raise UserError(
                f"{label.annotator}'s label of item {label.item.item_id} has a tie or leaves a candidate out, which "
                "Argilla's ranking cannot hold: export --to argilla-rating"
            )
        yield "ranking", [names[key] for key in order]
        return
    top = max(label.ranks.values())
    for key, name in names.items():
        if key in label.ranks:
            yield f"rating_{name.removeprefix('response_')}", top + 1 - label.ranks[key]


# -- Import --------------------------------------------------------------------------------------------------


class Importer:
    """Reads records. ``ratings`` are those of records with one field each, which make labels together.

    Args:
        annotator: The annotator where a response names none.
        prompt_field: The prompt's name among the fields.
    """

    def __init__(self, annotator: str, prompt_field: str = "prompt") -> None:
        self.annotator = annotator
        self.prompt_field = prompt_field
        self.ratings = SingleRatings()

    def labels(self, row: dict[str, Any]) -> Iterator[Label]:
        """Yield the labels of a record; a single rating goes to ``ratings``.

        Raises:
            RecordError: If it is no record, or has no ranking or rating.
        """
        fields, metadata, responses = _parts(row)
        prompt: Any = fields.get(self.prompt_field)
        if metadata.get("prompt_format") == "messages" and isinstance(prompt, str):
            try:
                prompt = parse_json(prompt)
            except ValueError:
                raise RecordError(f"field fields.{self.prompt_field}: expected chat messages as JSON") from None
        if prompt is None:
            raise RecordError(
                f"field fields.{self.prompt_field}: missing; name the prompt's field with --prompt-field"
            )
        check_prompt(prompt)
        texts = {name: text for name, text in fields.items() if name != self.prompt_field and isinstance(text, str)}
        known = {str(user_id(name)): name for name in metadata.get("annotators") or []}
        rankings: dict[str, dict[str, float]] = {}  # by person, smaller is better
        for question, found in responses.items():
            for user, value in found:
                name = known.get(user, user) or self.annotator
                rankings.setdefault(name, {}).update(_places(question, value, list(texts)))
        if not rankings and responses:
            raise RecordError("field responses: no submitted ranking or rating")
        for name, places in rankings.items():
            if len(places) == 1:
                ((field, place),) = places.items()
                self.ratings.add(name, prompt, texts[field], place)
                continue
            yield label_of(
                prompt,
                list(texts.values()),
                [places.get(field) for field in texts],
                annotator=name,
                task_id=metadata.get("task_id"),
            )


_Responses = dict[str, list[tuple[str, Any]]]


def _parts(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], _Responses]:
    """Return a nested or flat record's fields, its metadata, and by question each user with their value."""
    responses: _Responses = {}
    if isinstance(row.get("fields"), dict):
        for question, found in (row.get("responses") or {}).items():
            if not isinstance(found, list) or not all(isinstance(response, dict) for response in found):
                raise RecordError(f"field responses.{question}: expected a list of objects with value and user_id")
            responses[question] = [
                (str(response.get("user_id") or ""), response.get("value"))
                for response in found
                if response.get("status") in (None, "submitted")
            ]
        return row["fields"], row.get("metadata") or {}, responses
    for name, values in row.items():
        question = name.removesuffix(".responses")
        if question != name and values is not None:
            users, states = (row.get(f"{name}.{part}") or [None] * len(values) for part in ("users", "status"))
            rows = zip(values, users, states, strict=False)
            responses[question] = [(str(user or ""), v) for v, user, state in rows if state in (None, "submitted")]
    plain = {name: value for name, value in row.items() if "." not in name and name not in ("id", "_server_id")}
    metadata: dict[str, Any] = {
        name: plain.pop(name) for name in ("task_id", "annotators", "prompt_format") if name in plain
    }
    return plain, metadata, responses


def _places(question: str, value: Any, fields: list[str]) -> dict[str, float]:
    """Return a response as a number for each field, smaller is better."""
    if isinstance(value, list):
        places: dict[str, float] = {}
        for index, entry in enumerate(value):
            name, rank = (entry.get("value"), entry.get("rank")) if isinstance(entry, dict) else (entry, None)
            if name not in fields:
                raise RecordError(f"field responses.{question}: {name!r} is none of the fields {', '.join(fields)}")
            places[name] = float(index if rank is None else rank)
        return places
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {_rated_field(question, fields): -float(value)}
    raise RecordError(f"field responses.{question}: expected a ranking or a rating, got {json.dumps(value)[:80]}")


def _rated_field(question: str, fields: list[str]) -> str:
    number = re.search(r"(\d+)$", question)
    if number is not None:
        same = [name for name in fields if re.search(rf"(?<!\d){number[1]}$", name)]
        if len(same) == 1:
            return same[0]
    named = [name for name in fields if question.startswith(name) or question.endswith(name)]
    if len(named) == 1:
        return named[0]
    if len(fields) == 1:
        return fields[0]
    raise RecordError(f"field responses.{question}: its name does not show which of {', '.join(fields)} it rates")

"""Argilla's records, for ranking and rating questions.

A record is what ``dataset.records.to_json`` and ``to_list`` write (Argilla 2, "Importing and exporting datasets and
records", and ``Record.to_dict``): ``id``, ``fields``, ``metadata``, ``suggestions``, ``responses``, ``vectors``,
where ``responses`` has by question a list of ``value`` and ``user_id``. The flat form of ``to_datasets`` and
``to_list(flatten=True)`` (``ranking.responses``, ``ranking.responses.users``, ``ranking.responses.status``) is read
too. A ranking is a list of the fields' names, best first; with ties, which Argilla's client drops, a list of
``{"value": name, "rank": 1}``. A rating is a number, larger is better. Argilla's responses are annotators'.

Argilla 1's ``FeedbackDataset`` has ``responses`` by person: a list of ``user_id``, ``status`` and ``values``, which
has by question a ``value`` (its documentation, "Work with suggestions and responses"). On a hub, and by its
``to_datasets``, each of its questions is a column: a list of ``user_id``, ``value``, ``status``, or a list of each,
where a ranking is one list of ``rank`` and one of ``value``. Both are read.

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
        names = metadata.get("annotators")
        known = {str(user_id(str(name))): str(name) for name in names} if isinstance(names, list) else {}
        rankings: dict[str, dict[str, float]] = {}  # by person, smaller is better
        other: _OtherQuestion | None = None
        for question, found in responses.items():
            for user, value in found:
                name = known.get(user, user) or self.annotator
                try:
                    rankings.setdefault(name, {}).update(_places(question, value, list(texts)))
                except _OtherQuestion as error:  # beside a ranking, as a comment
                    other = other or error
        rankings = {name: places for name, places in rankings.items() if places}
        if not rankings and other is not None:
            raise other  # without any response it is a record that nobody has submitted yet
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


class _OtherQuestion(RecordError):
    """A response to a question of another kind: a text, or labels."""


_Responses = dict[str, list[tuple[str, Any]]]
"""By question, each user with their value."""
_SUBMITTED = (None, "submitted")


def is_record(row: dict[str, Any]) -> bool:
    """Whether a row is a record of Argilla's, nested or flat."""
    if "fields" in row or any(name.endswith(".responses") for name in row):
        return True
    return any(_by_person(value) is not None for value in row.values())


def _parts(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], _Responses]:
    """Return a record's fields, its metadata, and its responses."""
    if "fields" in row:
        fields, metadata = row["fields"], _metadata(row.get("metadata"))
        if not isinstance(fields, dict):
            raise RecordError(f"field fields: expected an object, got {type(fields).__name__}")
        found = row.get("responses") or {}
        if isinstance(found, list):
            return fields, metadata, _of_people(found)
        if not isinstance(found, dict):
            raise RecordError(f"field responses: expected an object or a list, got {type(found).__name__}")
        return fields, metadata, {name: _of_question(name, each) for name, each in found.items()}
    responses: _Responses = {}
    for name, values in row.items():
        question = name.removesuffix(".responses")
        if question != name and values is not None:
            if not isinstance(values, list):
                raise RecordError(f"field {name}: expected a list, got {type(values).__name__}")
            users, states = (row.get(f"{name}.{part}") or [None] * len(values) for part in ("users", "status"))
            if not isinstance(users, list) or not isinstance(states, list):
                raise RecordError(f"fields {name}.users, {name}.status: expected lists")
            rows = zip(values, users, states, strict=False)
            responses[question] = [(str(user or ""), v) for v, user, state in rows if state in _SUBMITTED]
        elif (people := _by_person(values)) is not None:
            responses[name] = _of_question(name, people)
    about = {f"{name}-suggestion" for name in responses} | {"id", "_server_id", "external_id", "metadata"}
    plain = {name: value for name, value in row.items() if "." not in name and name not in {*responses, *about}}
    metadata = _metadata(row.get("metadata")) | {
        name: plain.pop(name) for name in ("task_id", "annotators", "prompt_format") if name in plain
    }
    return plain, metadata, responses


def _metadata(found: Any) -> dict[str, Any]:
    """Return a record's metadata, which Argilla 1's data sets hold as JSON text."""
    if isinstance(found, str):
        try:
            found = parse_json(found)
        except ValueError:
            found = None
    return dict(found) if isinstance(found, dict) else {}


def _by_person(value: Any) -> list[dict[str, Any]] | None:
    """Return a column of people's responses to a question as a list of objects; ``None`` for another column."""
    if isinstance(value, dict) and {"user_id", "value"} <= value.keys():
        parts = {name: value[name] for name in ("user_id", "value", "status") if value.get(name) is not None}
        if not all(isinstance(part, list) for part in parts.values()):
            return None
        return [dict(zip(parts, each, strict=True)) for each in zip(*parts.values(), strict=False)]
    if isinstance(value, list) and value and all(isinstance(each, dict) and "user_id" in each for each in value):
        return value if all("value" in each for each in value) else None
    return None


def _of_question(question: str, found: Any) -> list[tuple[str, Any]]:
    """Return the submitted responses to a question."""
    if not isinstance(found, list) or not all(isinstance(response, dict) for response in found):
        raise RecordError(f"field responses.{question}: expected a list of objects with value and user_id")
    return [
        (str(response.get("user_id") or ""), response.get("value"))
        for response in found
        if response.get("status") in _SUBMITTED
    ]


def _of_people(found: list[Any]) -> _Responses:
    """Return what people submitted, each with values by question."""
    responses: _Responses = {}
    for index, person in enumerate(found):
        values = person.get("values") if isinstance(person, dict) else None
        if not isinstance(values, dict):
            if isinstance(person, dict) and values is None and person.get("status") not in _SUBMITTED:
                continue  # a discarded response may hold none
            raise RecordError(f"field responses[{index}].values: expected an object with the questions' values")
        if person.get("status") not in _SUBMITTED:
            continue
        for question, answer in values.items():
            value = answer.get("value") if isinstance(answer, dict) else answer
            responses.setdefault(question, []).append((str(person.get("user_id") or ""), value))
    return responses


def _places(question: str, value: Any, fields: list[str]) -> dict[str, float]:
    """Return a response as a number for each field, smaller is better."""
    if isinstance(value, dict) and isinstance(value.get("rank"), list) and isinstance(value.get("value"), list):
        value = [{"rank": r, "value": v} for r, v in zip(value["rank"], value["value"], strict=False)]
    if isinstance(value, list) and value:
        places: dict[str, float] = {}
        entries = [
            (entry.get("value"), entry.get("rank")) if isinstance(entry, dict) else (entry, index)
            for index, entry in enumerate(value)
        ]
        for name, rank in entries:
            if not isinstance(name, str) or name not in fields:
                kind = _OtherQuestion if not any(each in fields for each, _ in entries) else RecordError
                raise kind(f"field responses.{question}: {name!r} is none of the fields {', '.join(fields)}")
            if isinstance(rank, int | float):  # null where it was not ranked
                places[name] = float(rank)
            elif rank is not None:
                raise RecordError(f"field responses.{question}: expected numbers as ranks, got {rank!r}")
        return places
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {_rated_field(question, fields): -float(value)}
    raise _OtherQuestion(f"field responses.{question}: expected a ranking or a rating, got {json.dumps(value)[:80]}")


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

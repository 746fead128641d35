"""Label Studio's JSON: tasks with their annotations, for the tags Pairwise, Ranker and Rating.

The task format (``data``, ``annotations`` with ``result``, ``completed_by``, ``lead_time``, ``was_cancelled``) is
that of labelstud.io/guide/task_format and guide/export; the results are those of labelstud.io/tags/pairwise
(``{"selected": "left"}``, nothing where no side is chosen), tags/ranker (a list of ids, best first, or lists of ids by
bucket) and tags/rating (``{"rating": 4}``); names follow its templates "Human Preferences collection for
RLHF" (``prompt``, ``answer1``, ``answer2``) and "LLM Ranker" (``prompt``, ``items`` of ``id``, ``title``,
``body``).

Ties: a Ranker has a bucket for each rank, ratings are equal, and in place of a Pairwise result, which has no middle,
there is a ``choices`` result ``tie``. The JSON export is needed; CSV and JSON-MIN lack fields.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from rrtf_trl.errors import InputError, UserError
from rrtf_trl.forms import Open, check
from rrtf_trl.records import RecordError, check_prompt

from ..items import MAX_CANDIDATES, Item
from ..labels import Label, labels_by_item
from .ours import SingleRatings, label_of

Kind = Literal["pairwise", "ranker", "rating"]
_TIES = {"tie", "tied", "equal", "same", "both"}


@dataclass(frozen=True)
class _Annotation(Open):
    lead_time: float | None = None
    created_at: str | None = None


# -- Export -------------------------------------------------------------------------------------------------


def tasks(items: Iterable[Item], labels: Iterable[Label], kind: Kind) -> Iterator[dict[str, Any]]:
    """Yield a task for each item (for ``pairwise``, for every two of its candidates), with labels as annotations."""
    by_item = labels_by_item(labels)
    for item in items:
        found = by_item.get(item.item_id, [])
        if kind == "pairwise":
            for a, b in combinations(item.answers, 2):
                left, right = a.answer_id, b.answer_id
                ranked = [label for label in found if left in label.ranks and right in label.ranks]
                comparisons = [(label, _pairwise(label, left, right)) for label in ranked]
                yield _task(item, _numbered([a.text, b.text]), comparisons)
        elif kind == "rating":
            texts = [candidate.text for candidate in item.answers]
            yield _task(item, _numbered(texts), [(label, _ratings(label)) for label in found])
        else:
            entries = [
                {"id": candidate.answer_id, "title": f"Answer {number}", "body": candidate.text}
                for number, candidate in enumerate(item.answers, start=1)
            ]
            yield _task(item, {"items": entries}, [(label, _buckets(label)) for label in found])


def labeling_config(kind: Kind, most: int) -> str:
    """Return the labeling interface for such tasks, to be pasted into the project's settings.

    Args:
        kind: The tag.
        most: The most candidates that an item has.
    """
    lines = ['<Text name="prompt" value="$prompt"/>']
    if kind == "ranker":
        lines += ['<List name="answers" value="$items" title="Answers"/>', '<Ranker name="rank" toName="answers">']
        lines += [f'  <Bucket name="{rank}" title="Rank {rank}"/>' for rank in range(1, most + 1)] + ["</Ranker>"]
    else:
        count = 2 if kind == "pairwise" else most
        lines += [f'<Text name="answer{n}" value="$answer{n}"/>' for n in range(1, count + 1)]
    if kind == "pairwise":
        lines += ['<Pairwise name="comparison" toName="answer1,answer2"/>']
        lines += ['<Choices name="tie" toName="answer1" choice="single"><Choice value="tie"/></Choices>']
    elif kind == "rating":
        lines += [
            f'<Rating name="rating{n}" toName="answer{n}" maxRating="{MAX_CANDIDATES}"/>' for n in range(1, most + 1)
        ]
    return "<View>\n" + "".join(f"  {line}\n" for line in lines) + "</View>\n"


def _numbered(texts: list[str]) -> dict[str, str]:
    return {f"answer{number}": text for number, text in enumerate(texts, start=1)}


def _task(item: Item, data: dict[str, Any], annotated: list[tuple[Label, list[dict[str, Any]]]]) -> dict[str, Any]:
    task_id = {} if item.task_id is None else {"task_id": item.task_id}
    if isinstance(item.prompt, str):
        prompt: dict[str, Any] = {"prompt": item.prompt}
    else:
        text = "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in item.prompt)
        prompt = {"prompt": text, "messages": item.prompt}
    annotations = []
    for label, result in annotated:
        annotation: dict[str, Any] = {"result": result, "was_cancelled": False, "created_at": label.time}
        if label.seconds is not None:
            annotation["lead_time"] = label.seconds
        # Label Studio refuses a `completed_by` that is no member's address, and ignores `annotator`.
        if "@" in label.annotator:
            annotation["completed_by"] = {"email": label.annotator}
        else:
            annotation["annotator"] = label.annotator
        annotations.append(annotation)
    return {"data": {**task_id, **prompt, **data}, "annotations": annotations}


def _pairwise(label: Label, left: str, right: str) -> list[dict[str, Any]]:
    difference = label.ranks[right] - label.ranks[left]
    if difference == 0:
        return [{"from_name": "tie", "to_name": "answer1", "type": "choices", "value": {"choices": ["tie"]}}]
    selected = "left" if difference > 0 else "right"
    names = {"from_name": "comparison", "to_name": "answer1,answer2"}
    return [{**names, "type": "pairwise", "value": {"selected": selected}}]


def _ratings(label: Label) -> list[dict[str, Any]]:
    top = max(label.ranks.values(), default=0)
    return [
        {
            "from_name": f"rating{number}",
            "to_name": f"answer{number}",
            "type": "rating",
            "value": {"rating": top + 1 - label.ranks[candidate.answer_id]},
        }
        for number, candidate in enumerate(label.item.answers, start=1)
        if candidate.answer_id in label.ranks
    ]


def _buckets(label: Label) -> list[dict[str, Any]]:
    buckets: dict[str, list[str]] = {}
    for candidate in label.item.answers:
        if candidate.answer_id in label.ranks:
            buckets.setdefault(str(label.ranks[candidate.answer_id]), []).append(candidate.answer_id)
    value = {"ranker": {name: buckets[name] for name in sorted(buckets, key=int)}}
    return [{"from_name": "rank", "to_name": "answers", "type": "ranker", "value": value}]


# -- Import --------------------------------------------------------------------------------------------------


class Importer:
    """Reads tasks. ``ratings`` are those of tasks with one rating each, which make labels together.

    Args:
        annotator: The annotator where an annotation names none.
        prompt_field: The prompt's name in ``data``.
        config: The project's labeling interface as XML, for tags whose name is not the field that they show.
        buckets: A Ranker's buckets, best first, where they are not numbered.

    Raises:
        InputError: If ``config`` is no XML.
    """

    def __init__(
        self,
        annotator: str,
        prompt_field: str = "prompt",
        config: Path | None = None,
        buckets: list[str] | None = None,
    ) -> None:
        self.annotator = annotator
        self.prompt_field = prompt_field
        self.buckets = buckets
        self._shows = {} if config is None else _shown_fields(config)
        self.ratings = SingleRatings()

    def labels(self, row: dict[str, Any]) -> Iterator[Label]:
        """Yield the labels of a task; a single rating goes to ``ratings``.

        Raises:
            RecordError: If it is no task, or has a result of another kind.
        """
        data, annotations = row.get("data"), row.get("annotations", row.get("completions"))  # before version 1
        if not isinstance(data, dict) or not isinstance(annotations, list):
            raise RecordError("fields data, annotations: expected a task as in Label Studio's JSON export")
        for index, annotation in enumerate(annotations):
            if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
                raise RecordError(f"field annotations[{index}].result: expected a list")
            try:
                label = self._label(data, annotation)
            except RecordError as error:
                raise RecordError(f"annotations[{index}]: {error}") from None
            if label is not None:
                yield label

    def _label(self, data: dict[str, Any], annotation: dict[str, Any]) -> Label | None:
        prompt: Any = data.get("messages") or data.get(self.prompt_field)
        if not prompt or not isinstance(prompt, str | list):
            raise RecordError(f"field data.{self.prompt_field}: missing; name the prompt's field with --prompt-field")
        check_prompt(prompt)
        check(_Annotation, annotation, utf8=False)
        facts = {
            "annotator": _annotator(annotation) or self.annotator,
            "task_id": data.get("task_id"),
            "seconds": annotation.get("lead_time"),
            "time": annotation.get("created_at") or "",
        }
        if annotation.get("was_cancelled"):
            return None
        results: dict[str, list[dict[str, Any]]] = {}
        for result in annotation["result"]:
            if isinstance(result, dict) and isinstance(result.get("value"), dict):
                results.setdefault(str(result.get("type")), []).append(result)
        if "ranker" in results:
            return self._ranker(prompt, data, results["ranker"][0], facts)
        if "pairwise" in results or _is_tie(results.get("choices", [])):
            return self._pairwise(prompt, data, results, facts)
        if "rating" in results:
            return self._rating(prompt, data, results["rating"], facts)
        kinds = ", ".join(results) or "nothing"
        raise RecordError(f"field result: expected a result of type pairwise, ranker or rating, got {kinds}")

    def _ranker(self, prompt: Any, data: dict[str, Any], result: dict[str, Any], facts: dict[str, Any]) -> Label:
        lists = [
            v for v in data.values() if isinstance(v, list) and v and all(isinstance(e, dict) and "id" in e for e in v)
        ]
        if len(lists) != 1:
            raise RecordError(f"field data: expected one list of items with an id, got {len(lists)}")
        order = self._groups(result["value"].get("ranker"))
        place = {str(key): float(index) for index, group in enumerate(order) for key in group}
        missing = sorted(place.keys() - {str(entry["id"]) for entry in lists[0]})
        if missing:
            raise RecordError(f"field value.ranker: no item {missing[0]!r} in the task")
        texts = [_entry_text(entry) for entry in lists[0]]
        return label_of(prompt, texts, [place.get(str(entry["id"])) for entry in lists[0]], **facts)

    def _groups(self, ranker: Any) -> list[list[Any]]:
        """Return a Ranker's value as groups of ids, best first."""
        if isinstance(ranker, list):
            return [[key] for key in ranker]
        if not isinstance(ranker, dict) or not all(isinstance(group, list) for group in ranker.values()):
            raise RecordError("field value.ranker: expected a list of ids, or lists of ids by bucket")
        used = {name: group for name, group in ranker.items() if group and name != "_"}  # "_" has the unranked ones
        if self.buckets is not None:
            unknown = sorted(used.keys() - set(self.buckets))
            if unknown:
                raise RecordError(f"field value.ranker: --buckets does not name {unknown[0]!r}")
            return [used[name] for name in self.buckets if name in used]
        numbers = {name: re.fullmatch(r"\D*(\d+)", name) for name in used}
        unnumbered = [name for name, number in numbers.items() if number is None]
        if unnumbered:
            raise RecordError(
                f"field value.ranker: bucket {unnumbered[0]!r} has no number; name the buckets, best first, "
                "with --buckets"
            )
        return [used[name] for name in sorted(used, key=lambda name: int(numbers[name][1]))]  # type: ignore[index]

    def _pairwise(
        self, prompt: Any, data: dict[str, Any], results: dict[str, list[dict[str, Any]]], facts: dict[str, Any]
    ) -> Label:
        found = results.get("pairwise", [])
        if found:
            names = str(found[0].get("to_name", "")).split(",")
            selected = found[0]["value"].get("selected")
            if len(names) != 2 or selected not in ("left", "right"):
                raise RecordError(f"field value.selected: expected left or right of two, got {selected!r} of {names}")
            values: list[float | None] = [1, 2] if selected == "left" else [2, 1]
        else:
            names, values = ["answer1", "answer2"], [1, 1]
        return label_of(prompt, [self._text(data, name) for name in names], values, **facts)

    def _rating(
        self, prompt: Any, data: dict[str, Any], results: list[dict[str, Any]], facts: dict[str, Any]
    ) -> Label | None:
        ratings = {}
        for result in results:
            rating = result["value"].get("rating")
            if not isinstance(rating, int | float) or isinstance(rating, bool):
                raise RecordError(f"field value.rating: expected a number, got {rating!r}")
            ratings[str(result.get("to_name"))] = (self._text(data, str(result.get("to_name"))), float(rating))
        rated = list(ratings.values())
        if len(rated) == 1:
            ((text, rating),) = rated
            self.ratings.add(facts["annotator"], prompt, text, -rating, facts["time"])
            return None
        others = [
            text
            for name, text in data.items()
            if re.fullmatch(r"answer\d+", name) and isinstance(text, str) and name not in ratings
        ]
        return label_of(
            prompt,
            [*(text for text, _ in rated), *others],
            [-rating for _, rating in rated] + [None] * len(others),
            **facts,
        )

    def _text(self, data: dict[str, Any], name: str) -> str:
        field = self._shows.get(name.strip(), name.strip())
        text = data.get(field)
        if not isinstance(text, str):
            raise RecordError(
                f"field to_name: the task's data has no text {field!r}; give the project's labeling interface "
                "with --config"
            )
        return text


def _is_tie(choices: list[dict[str, Any]]) -> bool:
    return any(str(choice).lower() in _TIES for result in choices for choice in result["value"].get("choices", []))


def _entry_text(entry: dict[str, Any]) -> str:
    for name in ("body", "html", "title"):
        if isinstance(entry.get(name), str) and entry[name]:
            return str(entry[name])
    raise RecordError(f"field data: item {entry['id']!r} has no body")


def _annotator(annotation: dict[str, Any]) -> str:
    member = annotation.get("completed_by")
    if isinstance(member, dict):
        member = member.get("email") or member.get("id")
    return str(annotation.get("annotator") or ("" if member is None else member))


def _shown_fields(config: Path) -> dict[str, str]:
    """Return which field of a task each named tag of a labeling interface shows, by the tag's name."""
    try:
        root = ElementTree.fromstring(config.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{config}: no such file") from None
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise InputError(f"{config}: not XML: {error}") from None
    tags = ((tag.get("name"), tag.get("value") or "") for tag in root.iter())
    return {name: value[1:] for name, value in tags if name and value.startswith("$")}

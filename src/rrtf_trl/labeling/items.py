"""What is labelled: a prompt with the candidates that a person puts in order.

Identity is content: a candidate's id is a hash of its prompt and its text, so a label from one run, or an imported
one, holds wherever the same response to the same prompt occurs. The labels file calls an item's candidates ``answers``
and their ids ``answer_id``; fields have these names too.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from rrtf_trl.forms import check
from rrtf_trl.records import Prompt, RecordError, content_hash

MAX_CANDIDATES = 9
"""One for each digit key."""


@dataclass(frozen=True)
class ItemCandidate:
    """One candidate of an item; build with :meth:`create`.

    Args:
        answer_id: Hash of prompt and text.
        text: What is shown, ranked and trained on.
        source: Who it is from; never shown to an annotator.
        model: The model's name; never shown either.
        response: The whole response, where it is more than ``text``; shown on demand.
        tests: What unit tests found: ``state``, ``passed``, ``total``, ``message``; shown on demand.
    """

    answer_id: str
    text: str
    source: str | None = None
    model: str | None = None
    response: str | None = None
    tests: dict[str, Any] | None = None

    @classmethod
    def create(cls, prompt: Prompt, text: str, **fields: Any) -> ItemCandidate:
        """Build a candidate and give it its id."""
        return cls(answer_id(prompt, text), text, **fields)


@dataclass(frozen=True)
class Item:
    """A prompt with candidates; build with :meth:`create`.

    Args:
        item_id: Hash of the prompt and the candidates.
        prompt: The prompt.
        answers: Its candidates, ordered by id.
        task_id: The problem's name, where it has one.
    """

    item_id: str
    prompt: Prompt
    answers: list[ItemCandidate]
    task_id: str | None = None

    @classmethod
    def create(cls, prompt: Prompt, candidates: list[ItemCandidate], task_id: str | None = None) -> Item:
        """Build an item and give it its id; ``candidates`` may be in any order; of equal ones the first counts.

        Raises:
            RecordError: If there are fewer than two different candidates.
        """
        different = {candidate.answer_id: candidate for candidate in reversed(candidates)}
        if len(different) < 2:
            raise RecordError(f"field responses: expected at least two different responses, got {len(different)}")
        ordered = [different[key] for key in sorted(different)]
        return cls(content_hash(prompt_key(prompt), sorted(different)), prompt, ordered, task_id)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Item:
        """Build an item from its JSON form.

        Raises:
            RecordError: If a field is missing or wrong, or the ids do not match the content.
        """
        check(cls, row, utf8=False)
        candidates = [ItemCandidate(**candidate) for candidate in row["answers"]]
        item = cls.create(row["prompt"], candidates, row.get("task_id"))
        if row["item_id"] != item.item_id or any(c.answer_id != answer_id(item.prompt, c.text) for c in candidates):
            raise RecordError("field item_id: the ids do not match this prompt and these candidates")
        return item

    def to_json(self) -> dict[str, Any]:
        """Return the item's JSON form, without fields that are ``None``."""
        candidates = [
            {name: value for name, value in dataclasses.asdict(candidate).items() if value is not None}
            for candidate in self.answers
        ]
        known = {"task_id": self.task_id} if self.task_id is not None else {}
        return {"item_id": self.item_id, **known, "prompt": self.prompt, "answers": candidates}

    def candidate(self, key: str) -> ItemCandidate:
        """Return the candidate with this id."""
        return next(candidate for candidate in self.answers if candidate.answer_id == key)


def prompt_key(prompt: Prompt) -> str:
    """Return the text that identifies a prompt; a single user message is the same as plain text."""
    if isinstance(prompt, str):
        return prompt.strip()
    if len(prompt) == 1 and prompt[0].get("role") == "user":
        return str(prompt[0]["content"]).strip()
    return json.dumps([[message.get("role"), message.get("content")] for message in prompt])


def answer_id(prompt: Prompt, text: str) -> str:
    """Return a candidate's id: a hash of the prompt and the text, without white space at either end."""
    return content_hash("answer", prompt_key(prompt), text.strip())

"""What is labelled: a prompt with the answers that a person puts in order.

Identity is content. An answer is known by its prompt and its text, so that a label made in one run, or
imported from elsewhere, is found again wherever the same answer to the same prompt turns up.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from rrtf_trl.forms import check
from rrtf_trl.records import Prompt, RecordError, content_hash

MAX_ANSWERS = 9
"""One a digit key."""


@dataclass(frozen=True)
class Answer:
    """One answer to the prompt of its item; build with :meth:`create`.

    Args:
        answer_id: Hash of prompt and text.
        text: What is shown, ranked and trained on.
        source: Who wrote it; never shown to who ranks it.
        model: The model's name; never shown either.
        response: The response as it came, where it says more than ``text``; shown on demand.
        tests: What unit tests said: ``state``, ``passed``, ``total``, ``message``; shown on demand.
    """

    answer_id: str
    text: str
    source: str | None = None
    model: str | None = None
    response: str | None = None
    tests: dict[str, Any] | None = None

    @classmethod
    def create(cls, prompt: Prompt, text: str, **fields: Any) -> Answer:
        """Build an answer and give it its id."""
        return cls(answer_id(prompt, text), text, **fields)


@dataclass(frozen=True)
class Item:
    """A prompt with answers; build with :meth:`create`.

    Args:
        item_id: Hash of the prompt and the answers.
        prompt: What was asked.
        answers: What was answered, in a fixed order that means nothing.
        task_id: The problem's name, where it has one.
    """

    item_id: str
    prompt: Prompt
    answers: list[Answer]
    task_id: str | None = None

    @classmethod
    def create(cls, prompt: Prompt, answers: list[Answer], task_id: str | None = None) -> Item:
        """Build an item of different answers and give it its id; the order of ``answers`` does not matter.

        Raises:
            RecordError: If there are fewer than two different answers.
        """
        different = {answer.answer_id: answer for answer in reversed(answers)}
        if len(different) < 2:
            raise RecordError("field responses: expected at least two different answers, got " + str(len(different)))
        ordered = [different[key] for key in sorted(different)]
        return cls(content_hash(prompt_key(prompt), sorted(different)), prompt, ordered, task_id)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Item:
        """Build an item from its JSON form.

        Raises:
            RecordError: If a field is missing or wrong, or the ids are not those of the content.
        """
        check(cls, row, utf8=False)
        answers = [Answer(**answer) for answer in row["answers"]]
        item = cls.create(row["prompt"], answers, row.get("task_id"))
        if row["item_id"] != item.item_id or any(a.answer_id != answer_id(item.prompt, a.text) for a in answers):
            raise RecordError("field item_id: the ids are not those of this prompt and these answers")
        return item

    def to_json(self) -> dict[str, Any]:
        """Return the item's JSON form, without what it does not know."""
        answers = [
            {name: value for name, value in dataclasses.asdict(answer).items() if value is not None}
            for answer in self.answers
        ]
        known = {"task_id": self.task_id} if self.task_id is not None else {}
        return {"item_id": self.item_id, **known, "prompt": self.prompt, "answers": answers}

    def answer(self, key: str) -> Answer:
        """Return the answer with this id."""
        return next(answer for answer in self.answers if answer.answer_id == key)


def prompt_key(prompt: Prompt) -> str:
    """Return what a prompt is known by: its text; a single user message is as good as plain text."""
    if isinstance(prompt, str):
        return prompt.strip()
    if len(prompt) == 1 and prompt[0].get("role") == "user":
        return str(prompt[0]["content"]).strip()
    return json.dumps([[message.get("role"), message.get("content")] for message in prompt])


def answer_id(prompt: Prompt, text: str) -> str:
    """Return the id of an answer: a hash of the prompt and the text, white space at either end aside."""
    return content_hash("answer", prompt_key(prompt), text.strip())

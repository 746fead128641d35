"""TRL's preference rows: ``prompt``, ``chosen``, ``rejected``.

The forms are those of TRL's documentation, "Dataset formats and types": *standard*, where all three are text,
and *conversational*, where they are lists of messages. A row holds one pair and says nothing of ties or of
who chose, so a file of them keeps the order that people agreed on and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rrtf_trl.records import Prompt, RecordError, check_prompt

from ..aggregate import Opinion
from ..items import Item
from ..labels import Label, Ledger
from ..sources import answer_text
from .ours import label_of


def preference_rows(
    ledger: Ledger, groups: Iterable[tuple[Item, list[Opinion]]], *, conversational: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield a row for every two answers of a prompt of which one scores higher; a tie makes none.

    Args:
        ledger: Knows the answers.
        groups: An item of each prompt, and what people say of its answers, best first.
        conversational: Make one user message of a prompt that is text; by default the prompt keeps its form, and
            chat messages make a conversational row either way.
    """
    for item, opinions in groups:
        prompt: Prompt = item.prompt
        if conversational and isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        for index, better in enumerate(opinions):
            for worse in opinions[index + 1 :]:
                if better.score > worse.score:
                    chosen, rejected = (ledger.answer(opinion.answer_id).text for opinion in (better, worse))
                    yield {"prompt": prompt, "chosen": _as(prompt, chosen), "rejected": _as(prompt, rejected)}


def _as(prompt: Prompt, text: str) -> str | list[dict[str, str]]:
    return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]


def label_from_preference(row: dict[str, Any], annotator: str) -> Label:
    """Return the label of a preference row; other columns are left aside, as TRL does.

    The prompt may be implicit: it is then what ``chosen`` and ``rejected`` begin with alike, found as by TRL's
    ``extract_prompt``.

    Raises:
        RecordError: If a field is neither text nor messages, or an answer is more than one message.
    """
    chosen, rejected = row["chosen"], row["rejected"]
    if "prompt" in row:
        prompt = row["prompt"]
    else:
        prompt, chosen, rejected = _implicit(chosen, rejected)
    check_prompt(prompt)
    if isinstance(prompt, str) != isinstance(chosen, str) or type(chosen) is not type(rejected):
        raise RecordError("fields prompt, chosen, rejected: expected all text, or all chat messages")
    task_id = row.get("task_id")
    return label_of(
        prompt,
        [(answer_text(chosen), {}), (answer_text(rejected), {})],
        [1, 2],
        annotator=annotator,
        task_id=task_id if isinstance(task_id, str) else None,
    )


def _implicit(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    if type(chosen) is not type(rejected) or not isinstance(chosen, str | list):
        raise RecordError("fields chosen, rejected: expected both text, or both chat messages")
    same = 0
    while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
        same += 1
    if same and isinstance(chosen, str) and chosen[same - 1] == " ":  # the space goes with the answer
        same -= 1
    if not same:
        raise RecordError("field prompt: missing, and chosen and rejected begin differently")
    return chosen[:same], chosen[same:], rejected[same:]

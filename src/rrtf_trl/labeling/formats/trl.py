"""TRL's preference rows: ``prompt``, ``chosen``, ``rejected``.

The forms are those of TRL's documentation, "Dataset formats and types": *standard*, where all three are text, and
*conversational*, where they are lists of messages. A row holds one pair, without ties or annotators, so a file of them
keeps only the order that people agreed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, takewhile
from typing import Any

from rrtf_trl.records import Prompt, RecordError, check_prompt

from ..aggregate import CandidateScore
from ..items import Item
from ..labels import Label, Ledger
from ..sources import response_text
from .ours import label_of


def preference_rows(
    ledger: Ledger, groups: Iterable[tuple[Item, list[CandidateScore]]], *, conversational: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield a row for every two candidates of a prompt of which one scores higher.

    Args:
        ledger: Has the candidates.
        groups: An item of each prompt, and the scores of its candidates, best first.
        conversational: Make one user message of a prompt that is text. A prompt of chat messages makes a
            conversational row in any case.
    """
    for item, scores in groups:
        prompt: Prompt = item.prompt
        if conversational and isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        for better, worse in combinations(scores, 2):
            if better.score > worse.score:
                chosen, rejected = (ledger.candidate(score.answer_id).text for score in (better, worse))
                yield {"prompt": prompt, "chosen": _like(prompt, chosen), "rejected": _like(prompt, rejected)}


def _like(prompt: Prompt, text: str) -> str | list[dict[str, str]]:
    """Return a response in the form of its prompt."""
    return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]


def label_from_preference(row: dict[str, Any], annotator: str) -> Label:
    """Return the label of a preference row; other columns are ignored, as by TRL.

    The prompt may be implicit: it is then the common beginning of ``chosen`` and ``rejected``, found as by TRL's
    ``extract_prompt``.

    Raises:
        RecordError: If a field is neither text nor messages, or a response is more than one message.
    """
    chosen, rejected = row["chosen"], row["rejected"]
    if "prompt" in row:
        prompt = row["prompt"]
    else:
        prompt, chosen, rejected = _implicit(chosen, rejected)
    check_prompt(prompt)
    if isinstance(prompt, str) != isinstance(chosen, str) or type(chosen) is not type(rejected):
        raise RecordError("fields prompt, chosen, rejected: expected all text, or all chat messages")
    responses = [response_text(chosen), response_text(rejected)]
    return label_of(prompt, responses, [1, 2], annotator=annotator, task_id=row.get("task_id"))


def _implicit(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    if type(chosen) is not type(rejected) or not isinstance(chosen, str | list):
        raise RecordError("fields chosen, rejected: expected both text, or both chat messages")
    same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))))
    if same and isinstance(chosen, str) and chosen[same - 1] == " ":  # the space belongs to the response
        same -= 1
    if not same:
        raise RecordError("field prompt: missing, and chosen and rejected begin differently")
    return chosen[:same], chosen[same:], rejected[same:]

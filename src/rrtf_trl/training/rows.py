"""The rows that are trained on: every accepted form becomes a prompt, responses and scores.

Where the prompt ends and a response begins is decided by content, never by the type of a column: a conversation that
repeats its prompt loses it, and a row in which anybody's turn but the assistant's would be trained on is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from trl.data_utils import extract_prompt

READ_COLUMNS = (
    "prompt",
    "responses",
    "scores",
    "sources",
    "chosen",
    "rejected",
    "tools",
    "chat_template_kwargs",
    "image",
    "images",
    "token_ids",
    "logprobs",
    "passing_score",
)
"""The columns that training reads of rows that are not tokenized yet."""

_RANKED = ("prompt", "responses", "scores")
_PREFERENCE = ("chosen", "rejected")
_LARGEST_SCORE = torch.finfo(torch.float32).max / 2
_SYSTEM = ("system", "system_prompt", "system_message", "history")
_TASK = re.compile(
    r"(?:^|_)(?:prompts?|system|history|questions?|instructions?|inputs?|query|context|problem|task|messages?|"
    r"conversations?|dialog(?:ue)?|user|human|text)(?:_|$)(?!.*id$)",
    re.IGNORECASE,
)
"""Names under which public data sets have the task, or a part of it, in place of ``prompt``."""
_OTHERS_TURNS = ("user", "system", "developer", "human")


def ranked_row(
    row: dict[str, Any],
    index: int,
    require_sources: bool = False,
    with_images: bool = False,
    *,
    min_responses: int = 2,
) -> dict[str, Any]:
    """Return an accepted row as ``prompt``, ``responses``, ``scores`` and ``from_teacher``.

    Accepted are ranked rows (``prompt``, ``responses``, ``scores`` and optionally ``sources``) and TRL's
    preference rows (``chosen``, ``rejected``, with an explicit or implicit ``prompt``), both as plain text or
    as chat messages. A preference row becomes two responses with the scores 1 and 0. Responses that are whole
    conversations lose the prompt that they repeat; a text prompt that they begin with becomes their messages.

    Args:
        row: The row.
        index: Its number, for errors.
        require_sources: Whether it must have ``sources``.
        with_images: Whether it may have images.
        min_responses: How many responses it must have: a pair, or one where nothing is ranked.

    Raises:
        ValueError: If the row cannot be trained on; the message names the row and what is wrong with it.
    """
    # In a data set of mixed forms, a row has null in the columns of the other form.
    row = {name: value for name, value in row.items() if value is not None}
    if not with_images and ("image" in row or row.get("images")):
        raise ValueError(
            f"Row {index} is vision-related: it has an image. That takes a vision-language model with its processor "
            "(loaded with the model, or `processing_class`), and a data set whose first row has the column too."
        )
    is_preference = "responses" not in row and ("chosen" in row or "rejected" in row)
    missing = [name for name in (_PREFERENCE if is_preference else _RANKED) if name not in row]
    if missing:
        raise ValueError(
            f"Row {index} has no {' and no '.join(map(repr, missing))}. A row is either (prompt, responses, scores) "
            f"or (prompt, chosen, rejected); this one has {', '.join(sorted(row))}."
        )
    _check_other_columns(row, index)
    _check_forms(row, index)
    if is_preference:
        row = _as_ranked(row, index)
    responses, scores, sources = row["responses"], row["scores"], row.get("sources")
    for name in ("responses", "scores"):
        if not isinstance(row[name], list):
            raise ValueError(f"Row {index}: '{name}' is {row[name]!r:.60}, not a list.")
    if not isinstance(row["prompt"], str | list):
        raise ValueError(f"Row {index}: 'prompt' is {row['prompt']!r:.60}, neither text nor chat messages.")
    if len(responses) != len(scores):
        raise ValueError(f"Row {index} has {len(responses)} responses but {len(scores)} scores.")
    if len(responses) < min_responses:
        needed = "ranking needs at least two" if min_responses == 2 else "imitation needs one"
        raise ValueError(f"Row {index} has {len(responses)} response: {needed}. Drop such rows first.")
    _check_scores(scores, index)
    prompt, responses = _one_prompt(row["prompt"], responses, index)
    for position, response in enumerate(responses):
        if _is_empty(response):
            raise ValueError(f"Row {index}: responses[{position}] is empty.")
        _check_turns(response, position, index)
    if sources is not None and len(sources) != len(responses):
        raise ValueError(f"Row {index} has {len(responses)} responses but {len(sources)} sources.")
    if require_sources and sources is None:
        raise ValueError(f'Row {index} has no \'sources\', which pairs="teacher_student" needs. Use pairs="all".')
    return {
        "prompt": prompt,
        "responses": responses,
        "scores": [float(score) for score in scores],
        "from_teacher": [source not in (None, "student") for source in sources or [None] * len(responses)],
    }


def unread_columns(row: dict[str, Any]) -> list[str]:
    """Return the columns of a row that training does not read, less those that a run's own rows have."""
    return sorted(name for name in row if name not in (*READ_COLUMNS, "task_id", "candidate_ids", "row"))


def _check_other_columns(row: dict[str, Any], index: int) -> None:
    """Refuse a row whose task stands in a column that is not read."""
    is_conversation = isinstance(row.get("chosen"), list)  # which holds its own task
    if "prompt" in row or is_conversation:
        unread = [repr(name) for name in _SYSTEM if row.get(name)]
    else:
        others = sorted(name for name in row if name not in READ_COLUMNS and _TASK.search(name))
        unread = [repr(name) for name in others if isinstance(row[name], str | list) and row[name]]
    if unread:
        lacks = "" if "prompt" in row else " has no 'prompt', and"
        raise ValueError(
            f"Row {index}{lacks or ':'} {', '.join(unread)} would not be read. Put all that the model is asked into "
            "'prompt', as text or as chat messages (a system message first), and remove the other columns."
        )


def _check_forms(row: dict[str, Any], index: int) -> None:
    """Refuse a prompt or a response that is neither text nor messages as TRL has them, nor token ids."""
    responses = row.get("responses")
    named = {
        f"responses[{number}]": one for number, one in enumerate(responses if isinstance(responses, list) else ())
    }
    for name, value in {**{key: row.get(key) for key in ("prompt", "chosen", "rejected")}, **named}.items():
        turns = value if isinstance(value, list) else [value] if isinstance(value, dict) and name != "prompt" else []
        wrong = next((turn for turn in turns if not isinstance(turn, int) and not _is_message(turn)), None)
        if wrong is not None or (turns and not isinstance(value, list)):
            raise ValueError(
                f"Row {index}: {name} has {wrong or value!r:.60}, which is no chat message: text, or a list of "
                "messages such as {'role': 'assistant', 'content': '...'}, is needed."
            )


def _is_message(turn: Any) -> bool:
    return isinstance(turn, dict) and isinstance(turn.get("role"), str)


def _as_ranked(row: dict[str, Any], index: int) -> dict[str, Any]:
    """Return a preference row as a ranked one."""
    if "prompt" not in row:
        if not row["chosen"] or not row["rejected"]:
            raise ValueError(f"Row {index}: 'chosen' or 'rejected' is empty.")
        row = {**row, **extract_prompt(row)}
        if not row["prompt"]:
            raise ValueError(
                f"Row {index} has no 'prompt', and its 'chosen' and 'rejected' have no beginning in common that could "
                f"be one. It has {', '.join(sorted(set(row) - {'prompt'}))}: put the task into 'prompt'."
            )
    return {**row, "responses": [row["chosen"], row["rejected"]], "scores": [1.0, 0.0], "sources": None}


def _check_scores(scores: list[Any], index: int) -> None:
    for position, score in enumerate(scores):
        if not isinstance(score, int | float) or not abs(score) <= _LARGEST_SCORE:
            raise ValueError(
                f"Row {index}: scores[{position}] is {score!r:.60}, not a finite number within ±{_LARGEST_SCORE:.1e}: "
                "float32 holds it and its differences with others."
            )
    check_different(scores, [float(score) for score in scores], "float64", index)


def check_different(scores: Sequence[float], read: Sequence[float], dtype: str, row: int) -> None:
    """Raise ValueError if two different scores of a row are the same number as they are read.

    Args:
        scores: As they are in the row.
        read: As they are in the type that the loss reads.
        dtype: Its name.
        row: The number of the row.
    """
    of_value: dict[float, float] = {}
    for score, value in sorted(zip(scores, read, strict=True)):
        if of_value.setdefault(value, score) != score:
            raise ValueError(
                f"Row {row}: the scores {of_value[value]!r} and {score!r} are different, but both are {value!r} in "
                f"{dtype}, which the loss reads, so that the two would not be ranked. Subtract the same from all "
                "scores of the row, or scale all rows' down."
            )


def _one_prompt(prompt: str | list[Any], responses: list[Any], index: int) -> tuple[str | list[Any], list[Any]]:
    """Return the prompt, and the responses without it; messages where any of them is."""
    if isinstance(prompt, list):
        return prompt, [_without(prompt, response) for response in responses]
    conversations = [position for position, response in enumerate(responses) if isinstance(response, list)]
    if not conversations:
        return prompt, responses
    turns = _turns_before_answer(responses) if len(conversations) == len(responses) else []
    if not turns or str(turns[-1].get("content")).strip() != prompt.strip():
        raise ValueError(
            f"Row {index}: the prompt is text, but responses[{conversations[0]}] is a list. Both must be chat "
            "messages, or both text; or all responses are conversations that begin with the prompt."
        )
    return turns, [response[len(turns) :] for response in responses]


def _without(prompt: list[Any], response: Any) -> Any:
    """Return a response that is a conversation without the prompt that it repeats."""
    repeats = isinstance(response, list) and len(response) > len(prompt) and not isinstance(response[0], int)
    if repeats and all(map(_is_same_turn, prompt, response)):
        return response[len(prompt) :]
    return response


def _turns_before_answer(responses: list[list[Any]]) -> list[Any]:
    """Return the messages that all conversations begin with, up to the last one that is not the assistant's."""
    turns = []
    for same in zip(*responses, strict=False):
        if not all(_is_same_turn(same[0], other) for other in same[1:]):
            break
        turns.append(same[0])
    while turns and turns[-1].get("role") == "assistant":
        turns.pop()
    return turns


def _is_same_turn(one: Any, other: Any) -> bool:
    return isinstance(one, dict) and isinstance(other, dict) and _filled(one) == _filled(other)


def _filled(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without the null fields that Arrow adds to make all messages alike."""
    return {name: value for name, value in message.items() if value is not None}


def _check_turns(response: Any, position: int, index: int) -> None:
    """Refuse a response of messages in which a turn is not the assistant's or a tool's."""
    for turn in response if isinstance(response, list) else ():
        role = turn.get("role") if isinstance(turn, dict) else None
        if role in _OTHERS_TURNS:
            raise ValueError(
                f"Row {index}: responses[{position}] has a turn of the {role}, {turn.get('content')!r:.60}: only what "
                "the assistant says is trained on. Put what comes before its answer into 'prompt', the same for all "
                "responses, and end each response with that answer."
            )


def _is_empty(response: str | list[Any] | None) -> bool:
    if isinstance(response, list):
        return not any(isinstance(m, int) or m.get("content") or m.get("tool_calls") for m in response)
    return not response

"""The token ids of a row: those of the prompt as in sampling, and of each response as the policy would draw them."""

from __future__ import annotations

import json
import math
from typing import Any

from transformers import PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length

from rrtf_trl.models.refusals import naming_refusals
from rrtf_trl.models.tokenize import decode_response, encode, encode_rendered, render_chat, turn_end
from rrtf_trl.programs.thoughts import continued, without_thoughts

from .rows import ranked_row

Split = tuple[list[int], list[list[int]]]
"""The token ids of a prompt, and those of each response."""

_OF_IDS = {"prompt_ids": "prompt", "response_ids": "responses", "chosen_ids": "chosen", "rejected_ids": "rejected"}


def tokenize_row(
    row: dict[str, Any],
    index: int,
    tokenizer: PreTrainedTokenizerBase,
    require_sources: bool = False,
    chat_template_kwargs: dict[str, Any] | None = None,
    reasoning: str = "keep",
    **requirements: Any,
) -> dict[str, Any]:
    """Return a row's ``prompt_ids`` (list), ``response_ids`` (list of lists), ``scores``, ``from_teacher``, ``row``.

    The responses' token ids start where generation from the prompt alone would start, and end with the
    end-of-sequence token (plain text) or with the chat template's end of a turn. A response that was sampled keeps the
    ids that were drawn, where the row's ``token_ids`` has them and this tokenizer decodes them to its text;
    ``redrawn`` counts those whose text would have been encoded to other ids. A tokenized row (``prompt_ids`` with
    ``response_ids``, or with ``chosen_ids`` and ``rejected_ids``) keeps its ids. Of a row with ``logprobs``,
    ``sampling_logps`` has for each token of each response the log-probability with which it was drawn; NaN where that
    is not known.

    Args:
        row: The row.
        index: Its number, for errors and for the column ``row``.
        tokenizer: Encodes it.
        require_sources: Whether it must have ``sources``.
        chat_template_kwargs: Variables of the chat template; those in the row's own column come before them.
        reasoning: ``keep`` a response's thoughts, ``drop`` them, or ``mask`` them: they are read and not scored.
            ``unscored`` counts the first tokens of each response that are not.
        requirements: ``min_responses`` of :func:`~rrtf_trl.training.rows.ranked_row`.

    Raises:
        ValueError: If the row cannot be trained on.
    """
    is_tokenized = "prompt_ids" in row
    if is_tokenized:
        row = {**row, **{column: row[ids] for ids, column in _OF_IDS.items() if ids in row}}
        if "from_teacher" in row:
            row["sources"] = ["teacher" if flag else "student" for flag in row["from_teacher"]]
    ranked = ranked_row(row, index, require_sources, **requirements)
    prompt, responses = ranked["prompt"], ranked["responses"]
    redrawn = 0
    unscored = [0] * len(responses)
    drawn = [False] * len(responses)
    if is_tokenized:
        split: Split = prompt, responses
        if reasoning != "keep":
            raise ValueError(f"Row {index} is tokenized: `reasoning={reasoning!r}` needs its text.")
    else:
        if reasoning == "drop":
            responses = list(map(_without_thoughts, responses))
        if isinstance(prompt, list):
            split = _split_chat(prompt, responses, row, tokenizer, chat_template_kwargs or {}, index)
        else:
            split = _split_text(prompt, responses, tokenizer)
        split, redrawn, drawn = _keep_drawn(split, responses, row.get("token_ids"), tokenizer)
        if reasoning == "mask":
            pairs = zip(responses, split[1], strict=True)
            unscored = [_tokens_of_thoughts(response, split[0], ids, tokenizer) for response, ids in pairs]
    if not split[0]:
        raise ValueError(
            f"Row {index}: the prompt has no token, so the first token of a response has no probability. Give a "
            "prompt, or a tokenizer that begins every text with a token."
        )
    return {
        "prompt_ids": split[0],
        "response_ids": split[1],
        "scores": ranked["scores"],
        "from_teacher": ranked["from_teacher"],
        "unscored": unscored,
        "redrawn": redrawn,
        "row": index,
        **_kept_columns(row, split[1], drawn, is_tokenized),
    }


def _kept_columns(
    row: dict[str, Any], response_ids: list[list[int]], drawn: list[bool], is_tokenized: bool
) -> dict[str, Any]:
    """Return the log-probabilities that a row comes with, for each of its tokens."""
    if is_tokenized:
        return {name: row[name] for name in ("reference_logps", "sampling_logps") if name in row}
    if "logprobs" not in row:
        return {}
    recorded = row["logprobs"] or [None] * len(response_ids)
    return {
        "sampling_logps": [
            _of_tokens(logprobs if is_drawn else None, len(ids))
            for logprobs, is_drawn, ids in zip(recorded, drawn, response_ids, strict=True)
        ]
        if row["logprobs"]
        else None
    }


def _of_tokens(logprobs: list[float] | None, count: int) -> list[float]:
    """Return the recorded log-probabilities of a response; that of its end may be missing."""
    found = logprobs if logprobs is not None and len(logprobs) in (count, count - 1) else []
    return [*found, *[math.nan] * (count - len(found))]


def _split_text(prompt: str, responses: list[str], tokenizer: PreTrainedTokenizerBase) -> Split:
    """Split texts; a response that has an end already, as a chat template renders it, gets no second one."""
    default = tokenizer.eos_token_id
    of_turn = turn_end(tokenizer) if tokenizer.chat_template else None
    known = [token for token in (default, of_turn) if token is not None]
    ends = []
    texts = []
    for response in responses:
        shown = response.rstrip()
        end = next((token for token in known if shown.endswith(tokenizer.convert_ids_to_tokens(token))), None)
        texts.append(response if end is None else shown.removesuffix(tokenizer.convert_ids_to_tokens(end)))
        ends.append(default if end is None else end)
    prompt_ids, response_ids = _split(prompt, texts, tokenizer, encode)
    return prompt_ids, [_ended(ids, end) for ids, end in zip(response_ids, ends, strict=True)]


def _split_chat(
    prompt: list[dict[str, Any]],
    responses: list[str | list[dict[str, Any]]],
    row: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    options: dict[str, Any],
    index: int,
) -> Split:
    """Split a chat.

    A response that is text is what the model said after the template's opening of its turn, and so is trained on
    unchanged. One of messages is as the template renders it, as in TRL.
    """
    tools = row.get("tools")
    options = {
        "tools": json.loads(tools) if isinstance(tools, str) else tools,
        **options,
        **(row.get("chat_template_kwargs") or {}),
    }
    with naming_refusals(f"Row {index}"):
        opening = render_chat(prompt, tokenizer, **options)
        texts = {
            number: tokenizer.apply_chat_template(prompt + response, tokenize=False, **options)
            for number, response in enumerate(responses)
            if isinstance(response, list)
        }
    prompt_ids = encode_rendered(opening, tokenizer)
    rendered = {number: encode_rendered(text, tokenizer) for number, text in texts.items()}
    if any(ids[: len(prompt_ids)] != prompt_ids for ids in rendered.values()):
        # The template opens a turn to be answered in another way than one with its answer, as with thoughts.
        single = [_single_text(response) for response in responses]
        if None not in single:
            responses, rendered = [str(text) for text in single], {}
        else:
            prompt_ids = _common_opening(prompt, prompt_ids, list(rendered.values()), tokenizer, index)
    end = turn_end(tokenizer)
    end = tokenizer.eos_token_id if end is None else end
    after = {number: continued(opening, text) for number, text in enumerate(responses) if isinstance(text, str)}
    before, of_texts = _split(opening, list(after.values()), tokenizer, encode_rendered)
    # Either form may have to begin earlier, and then both do.
    length = min(len(before), len(prompt_ids))
    found = {number: _ended(before[length:] + ids, end) for number, ids in zip(after, of_texts, strict=True)}
    found.update({number: ids[length:] for number, ids in rendered.items()})
    return prompt_ids[:length], [found[number] for number in range(len(responses))]


def _single_text(response: str | list[dict[str, Any]]) -> str | None:
    """Return the text of a response; ``None`` if it is more than one text of the assistant."""
    if isinstance(response, str):
        return response
    content = response[0].get("content")
    others = {name for name, value in response[0].items() if value and name not in ("role", "content")}
    return content if len(response) == 1 and isinstance(content, str) and not others else None


def _common_opening(
    prompt: list[dict[str, Any]],
    prompt_ids: list[int],
    rendered: list[list[int]],
    tokenizer: PreTrainedTokenizerBase,
    index: int,
) -> list[int]:
    """Return the prompt's ids up to where a rendered conversation first differs, as in TRL's preference trainers.

    Raises:
        ValueError: If that is within the prompt's own turns, which would then be trained on.
    """
    length = min(common_prefix_length(prompt_ids, ids) for ids in rendered)
    asked = prompt[-1].get("content")
    if not isinstance(asked, str) or asked.strip() not in tokenizer.decode(prompt_ids[:length]):
        raise ValueError(
            f"Row {index}: the chat template renders the prompt in another way when a response follows it, from "
            f"{tokenizer.decode(prompt_ids[length : length + 20])!r} on, so that the user's turn would be trained on. "
            "Give responses that are one message with text, or another template."
        )
    return prompt_ids[:length]


def _split(prompt: str, responses: list[str], tokenizer: PreTrainedTokenizerBase, encode_text: Any) -> Split:
    """Return the ids of a prompt as sampling encodes it, and of each response after it."""
    prompt_ids = encode_text(prompt, tokenizer)
    joint_ids = [encode_text(prompt + response, tokenizer) for response in responses]
    if all(ids[: len(prompt_ids)] == prompt_ids for ids in joint_ids):
        return prompt_ids, [ids[len(prompt_ids) :] for ids in joint_ids]
    # A token spans the end of the prompt. In generation the prompt is tokenized alone, so tokenize the response
    # alone too, if the two decode to the same text.
    alone = [encode_rendered(response, tokenizer) for response in responses]
    texts = [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in joint_ids]
    if [tokenizer.decode(prompt_ids + ids, clean_up_tokenization_spaces=False) for ids in alone] == texts:
        return prompt_ids, alone
    # As in TRL's preference trainers: the responses start where a sequence first differs from the prompt.
    length = min(common_prefix_length(prompt_ids, ids) for ids in joint_ids)
    return prompt_ids[:length], [ids[length:] for ids in joint_ids]


def _without_thoughts(response: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(response, str):
        return without_thoughts(response).lstrip()
    texts = [turn.get("content") for turn in response]
    return [
        {**turn, "content": without_thoughts(text).lstrip()} if isinstance(text, str) else turn
        for turn, text in zip(response, texts, strict=True)
    ]


def _tokens_of_thoughts(
    response: str | list[dict[str, Any]], prompt_ids: list[int], ids: list[int], tokenizer: PreTrainedTokenizerBase
) -> int:
    """Return how many of a response's first tokens are its thoughts."""
    text = _single_text(response)
    if text is None:
        return 0
    answer = without_thoughts(text).lstrip()
    if len(answer) == len(text):
        return 0
    # The least number of tokens after which what is left of the text is no more than the answer.
    whole = decode_response(prompt_ids, ids, tokenizer)
    few, many = 0, len(ids)
    while few < many:
        middle = (few + many) // 2
        if len(whole) - len(decode_response(prompt_ids, ids[:middle], tokenizer)) <= len(answer):
            many = middle
        else:
            few = middle + 1
    return few


def _ended(ids: list[int], end: int | None) -> list[int]:
    return ids if end is None or ids[-1:] == [end] else [*ids, end]


def _keep_drawn(
    split: Split, responses: list[Any], drawn: list[list[int] | None] | None, tokenizer: PreTrainedTokenizerBase
) -> tuple[Split, int, list[bool]]:
    """Return the split with the ids that were drawn in place of those of the text, how many differ, and which were."""
    prompt_ids, response_ids = split
    kept, redrawn, are_drawn = list(response_ids), 0, [False] * len(response_ids)
    for number, ids in enumerate(drawn or ()):
        # Another tokenizer's ids would decode to another text.
        if ids and decode_response(prompt_ids, ids, tokenizer) == responses[number]:
            kept[number] = [*ids, *response_ids[number][-1:]]  # which is the end
            redrawn += kept[number] != response_ids[number]
            are_drawn[number] = True
    return (prompt_ids, kept), redrawn, are_drawn

"""Prompts to tokens, tokens to responses, and the tokens that end a response: the same for sampling and training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from rrtf_trl.errors import UserError
from rrtf_trl.records import Problem


def encode(text: str, tokenizer: Any) -> list[int]:
    """Return the token ids of a text, without the end token that some tokenizers append to every text.

    Args:
        text: A prompt, or a prompt with its response. Where it was rendered with its beginning-of-sequence token, the
            tokenizer's own is not added to it.
        tokenizer: A tokenizer of transformers.
    """
    ids = list(tokenizer(text)["input_ids"])
    appends_end = list(tokenizer("")["input_ids"])[-1:] == [tokenizer.eos_token_id]
    if appends_end and ids[-1:] == [tokenizer.eos_token_id]:
        ids.pop()
    begin = tokenizer.bos_token_id
    return ids[1:] if begin is not None and ids[:2] == [begin, begin] else ids


def render_chat(messages: list[dict[str, Any]], tokenizer: Any, **options: Any) -> str:
    """Return the text of chat messages up to where the assistant's response begins.

    Args:
        messages: The messages.
        tokenizer: A tokenizer of transformers with a chat template.
        options: For the template: ``tools``, and variables of its own such as ``enable_thinking``.
    """
    text: str = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **options)
    return text


def encode_rendered(text: str, tokenizer: Any) -> list[int]:
    """Return the token ids of a text that a chat template rendered, which has its special tokens already.

    Args:
        text: The text.
        tokenizer: A tokenizer of transformers.
    """
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_prompt(
    problem: Problem, tokenizer: Any, model: str, chat_template_kwargs: Mapping[str, Any] | None = None
) -> list[int]:
    """Return the token ids of a problem's prompt; messages go through the chat template.

    Args:
        problem: The problem.
        tokenizer: A tokenizer of transformers.
        model: The model's name, for the error.
        chat_template_kwargs: Variables of the chat template, such as ``enable_thinking``.

    Raises:
        UserError: If the prompt is chat messages and the model has no chat template.
    """
    if isinstance(problem.prompt, str):
        return encode(problem.prompt, tokenizer)
    check_has_template(tokenizer, problem.task_id, model)
    return encode_rendered(render_chat(problem.prompt, tokenizer, **(chat_template_kwargs or {})), tokenizer)


def check_has_template(tokenizer: Any, where: str, model: str) -> None:
    """Raise :class:`UserError` if a model has no chat template for messages; ``where`` says which."""
    if tokenizer.chat_template is None:
        raise UserError(
            f"{where}: the prompt is chat messages, but {model} has no chat template. "
            "Use a chat model, or prompt_form=paper (of problems, or of benchmark) for a base model."
        )


def decode_response(prompt_ids: Sequence[int], ids: Sequence[int], tokenizer: Any) -> str:
    """Return the text of a response, with the marks of its thoughts, which in some tokenizers are special tokens.

    It is decoded after its prompt: tokenizers of the SentencePiece kind (Llama 2, Code Llama, Mistral) drop a space at
    the start of whatever they decode, and a character may be split between prompt and response.

    Args:
        prompt_ids: The prompt's token ids.
        ids: The response's, without the token that ended it.
        tokenizer: A tokenizer of transformers.
    """
    no_text = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}

    def decode(tokens: Iterable[int]) -> str:
        kept = [token for token in tokens if token not in no_text]
        return str(tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    before, whole = decode(prompt_ids), decode([*prompt_ids, *ids])
    # The prompt may end in the middle of a character, which only the response completes.
    return whole[len(before) :] if whole.startswith(before) else decode(ids)


def end_tokens(tokenizer: Any, of_model: int | Iterable[int] | None, chat: bool) -> list[int]:
    """Return the ids of the tokens of which each ends a response, in order.

    They are the tokenizer's end token, those of the model's generation config, and for chat prompts the token with
    which the chat template ends an assistant's turn: it may be another one, as in Qwen's base models.

    Args:
        tokenizer: A tokenizer of transformers.
        of_model: ``eos_token_id`` of the model's generation config.
        chat: Whether the prompts are chat messages.
    """
    found = {tokenizer.eos_token_id, *([of_model] if isinstance(of_model, int) else of_model or ())}
    if chat:
        found.add(turn_end(tokenizer))
    return sorted(found - {None})


def turn_end(tokenizer: Any) -> int | None:
    """Return the special token that follows an assistant's content in the chat template, or ``None``.

    Args:
        tokenizer: A tokenizer of transformers with a chat template.
    """
    content = "zqx"
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": content}]
    try:
        rendered: str = tokenizer.apply_chat_template(turns, tokenize=False)
    except TemplateError:  # it wants other turns than these
        return None
    after = tokenizer(rendered.rpartition(content)[2].lstrip(), add_special_tokens=False)["input_ids"]
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return int(after[0]) if content in rendered and after and after[0] in special else None

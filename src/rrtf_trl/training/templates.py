"""The options ``chat_template_path`` and ``eos_token``: what a chat looks like and which token ends a text."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import is_peft_model
from transformers import AutoTokenizer, PreTrainedTokenizerBase, ProcessorMixin
from trl.chat_template_utils import clone_chat_template

from rrtf_trl.errors import UserError

if TYPE_CHECKING:
    from peft import PeftConfig

logger = logging.getLogger(__name__)


def set_chat_template(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    processing_class: PreTrainedTokenizerBase | ProcessorMixin,
    path: str,
    peft_config: PeftConfig | None,
) -> None:
    """Give a tokenizer or processor the chat template of a file or of another tokenizer, as TRL's SFTTrainer does.

    With a tokenizer's template come its end-of-sequence token and the tokens that the model's tokenizer lacks. The
    model gets an embedding for each of those, which an adapter trains too.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        processing_class: That, or the processor that it is a part of.
        path: A Jinja file that ends in ``.jinja`` or ``.j2``, or the path or hub id of a tokenizer.
        peft_config: The adapter that the model is going to get, changed where tokens are added.

    Raises:
        ValueError: If there is no such file or no template, or tokens are missing that an adapter cannot train.
    """
    if path.endswith((".jinja", ".j2")):
        if not Path(path).is_file():
            raise ValueError(f"`chat_template_path`: there is no file {path}.")
        tokenizer.chat_template = processing_class.chat_template = Path(path).read_text(encoding="utf-8")
        return
    try:
        source = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, UserError) as error:
        raise ValueError(
            f"`chat_template_path` {path!r} is neither a file that ends in .jinja or .j2 nor a tokenizer: {error}"
        ) from error
    if source.chat_template is None:
        raise ValueError(f"`chat_template_path`: the tokenizer of {path} has no chat template.")
    missing = [one.content for one in source.added_tokens_decoder.values() if one.content not in tokenizer.get_vocab()]
    if missing:
        trainable = peft_config is None or hasattr(peft_config, "trainable_token_indices")
        if is_peft_model(model) or not trainable:
            raise ValueError(
                f"`chat_template_path`: the model's tokenizer lacks {', '.join(missing)} of {path}, and this adapter "
                "cannot train new embeddings. Use a template of tokens that the model has, or a new LoRA adapter."
            )
        _, _, added = clone_chat_template(model, tokenizer, path)
        if peft_config is not None:
            _train_tokens(model, peft_config, added)
        logger.warning(
            "%d tokens were added to the tokenizer, for the chat template of %s: their embeddings are new and trained "
            "from random values.",
            len(added),
            path,
        )
    else:
        tokenizer.chat_template = source.get_chat_template()
        set_eos_token(model, tokenizer, source.eos_token)
    processing_class.chat_template = tokenizer.chat_template


def _train_tokens(model: Any, peft_config: Any, tokens: list[int]) -> None:
    """Have an adapter train the embeddings of tokens, and the rows of the LM head for them where it has its own."""
    chosen = peft_config.trainable_token_indices or {}
    if isinstance(chosen, list):
        chosen = {"embed_tokens": chosen}
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [embeddings] if head.weight is embeddings.weight else [embeddings, head]
    for layer in layers:
        name = next(path for path, module in model.named_modules() if module is layer).rpartition(".")[2]
        if name not in (peft_config.modules_to_save or ()):
            chosen[name] = sorted({*chosen.get(name, ()), *tokens})
    peft_config.trainable_token_indices = chosen or None


def set_eos_token(model: Any, tokenizer: PreTrainedTokenizerBase, eos_token: str) -> None:
    """Make a token the one that ends a text, in the tokenizer and the model; generation also ends at the former ones.

    Raises:
        ValueError: If the token is not in the vocabulary.
    """
    if eos_token not in tokenizer.get_vocab():
        raise ValueError(
            f"`eos_token` {eos_token!r} is not in the tokenizer's vocabulary. Name a token that is, or add it first."
        )
    tokenizer.eos_token = eos_token
    number = tokenizer.eos_token_id
    model.config.get_text_config().eos_token_id = number
    if model.generation_config is not None:
        former = model.generation_config.eos_token_id
        ends = [former] if isinstance(former, int) else list(former or ())
        if number not in ends:
            model.generation_config.eos_token_id = [number, *ends]

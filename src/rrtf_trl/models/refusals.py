"""What a model's chat template refuses: a system message (Gemma, Mistral), turns that do not alternate, odd contents.

Templates raise errors of their own and trip over messages that they were not written for. Either is told with the row
and the template's words; :func:`check_prompts` does so before any work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jinja2 import TemplateError

from rrtf_trl.errors import UserError
from rrtf_trl.records import Problem

from .tokenize import check_has_template, render_chat


@contextmanager
def naming_refusals(where: str) -> Iterator[None]:
    """Raise a chat template's refusal as an error of the user.

    Args:
        where: What is refused, as ``problem a/0``; the message begins with it.

    Raises:
        UserError: If the block, which applies a template, fails as templates do.
    """
    try:
        yield
    except UserError:
        raise
    except (TemplateError, TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        words = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise UserError(f"{where}: the model's chat template refuses it: {words}") from error


def check_prompts(
    problems: Iterable[Problem], model: str, chat_template_kwargs: Mapping[str, Any] | None = None
) -> None:
    """Check that a model's chat template takes the prompts that are chat messages.

    Args:
        problems: The problems, in the order of their file.
        model: Folder or hub id. One whose tokenizer cannot be loaded here is not checked: where it is used tells why.
        chat_template_kwargs: Variables of the chat template, as in sampling.

    Raises:
        UserError: If it refuses one, or there is no template.
    """
    tokenizer: Any = None
    for row, problem in enumerate(problems):
        if isinstance(problem.prompt, str):
            continue
        if tokenizer is None:
            from transformers import AutoTokenizer  # heavy; not needed without chat messages

            try:
                tokenizer = AutoTokenizer.from_pretrained(model)
            except Exception:  # as each tokenizer's class raises them
                return
        where = f"problem {problem.task_id} (row {row})"
        check_has_template(tokenizer, where, model)
        with naming_refusals(where):
            render_chat(problem.prompt, tokenizer, **(chat_template_kwargs or {}))

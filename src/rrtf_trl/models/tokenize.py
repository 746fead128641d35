"""The tokens of a problem's prompt."""

from __future__ import annotations

from typing import Any

from rrtf_trl.errors import UserError
from rrtf_trl.records import Problem


def encode_prompt(problem: Problem, tokenizer: Any, model: str) -> list[int]:
    """Return the token ids of a problem's prompt; messages go through the chat template.

    Args:
        problem: The problem.
        tokenizer: A tokenizer of transformers.
        model: The model's name, for the error.

    Raises:
        UserError: If the prompt is chat messages and the model has no chat template.
    """
    if isinstance(problem.prompt, str):
        return list(tokenizer(problem.prompt)["input_ids"])
    if tokenizer.chat_template is None:
        raise UserError(
            f"{problem.task_id}: the prompt is chat messages, but {model} has no chat template. "
            "Use a chat model, or prompt_form=paper (of problems, or of benchmark) for a base model."
        )
    encoded = tokenizer.apply_chat_template(problem.prompt, add_generation_prompt=True, return_dict=True)
    return list(encoded["input_ids"])

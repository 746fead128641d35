"""A request to a server, and its reply."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from rrtf_trl.records import Prompt

from .errors import MalformedReply

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Where servers put thoughts, in a message and in a part of its content."""


@dataclass(frozen=True)
class ChatRequest:
    """One request.

    Args:
        prompt: Chat messages, for ``/chat/completions``; text, for ``/completions``.
        temperature: 0 is greedy decoding.
        top_p: Nucleus sampling.
        max_tokens: The most tokens of a reply.
        seed: For servers that use it; draw number i is sent with ``seed + i``.
        schema: JSON schema that the reply should follow, for servers that can enforce one.
    """

    prompt: Prompt
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None
    schema: dict[str, Any] | None = None

    def content(self) -> dict[str, Any]:
        """Return everything that determines a reply, as plain JSON."""
        return dataclasses.asdict(self)

    def token_bound(self, draws: int) -> tuple[int, int]:
        """Return an upper bound of the prompt and of the completion tokens of ``draws`` replies.

        No token is shorter than a byte, and a chat template adds a few tokens to each message.
        """
        return text_bytes(self.prompt) + 64, self.max_tokens * draws


@dataclass(frozen=True)
class Reply:
    """One reply.

    Args:
        text: The unprocessed text.
        finish_reason: ``stop`` where the model ended by itself, ``length`` where it was cut off, or another
            reason of the server's.
        model: The model that the server reports.
        reasoning: A reasoning model's thoughts, where the server has them apart from the text.
        left_out: What the request asked for and was not sent, because the server does not support it.
    """

    text: str
    finish_reason: str
    model: str
    reasoning: str = ""
    left_out: list[str] = field(default_factory=list)

    @property
    def answer(self) -> str:
        """The text after a reasoning model's thoughts, where the server includes them."""
        return self.text.rsplit("</think>", 1)[-1]


def text_bytes(prompt: Prompt) -> int:
    """Return the length of a prompt in bytes; each message counts 16 more."""
    if isinstance(prompt, str):
        return len(prompt.encode("utf-8", "surrogatepass"))
    return sum(16 + len(str(message["content"]).encode("utf-8", "surrogatepass")) for message in prompt)


def text_and_reasoning(choice: Any) -> tuple[str, str]:
    """Return the text of one of a reply's choices, and thoughts that stand apart from it.

    The content may be a text, or parts of which some are thoughts; an empty one is a text too.

    Raises:
        MalformedReply: If it is no choice.
    """
    message = choice.get("message") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and isinstance(choice.get("text"), str):
        text, reasoning = choice["text"], ""
    elif isinstance(message, dict):
        text, reasoning = _content(message.get("content"))
        reasoning = next((t for name in _THOUGHTS if (t := _content(message.get(name))[0])), reasoning)
        refusal = message.get("refusal")
        text = text or (refusal if isinstance(refusal, str) else "")
    else:
        raise MalformedReply("a reply without a text")
    # JSON may hold a lone surrogate.
    return tuple(part.encode("utf-8", "replace").decode("utf-8") for part in (text, reasoning))  # type: ignore[return-value]


def _content(content: Any) -> tuple[str, str]:
    """Return the text and the thoughts of a message's content."""
    if content is None:
        return "", ""
    if isinstance(content, str):
        return content, ""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise MalformedReply("a reply without a text")
    text, thoughts = "", ""
    for part in content:
        if isinstance(part, str):
            text += part
        elif isinstance(part, dict):
            kind = str(part.get("type", "text"))
            inner = next((part[name] for name in ("text", *_THOUGHTS, "content", "summary") if part.get(name)), None)
            found = "".join(_content(inner))
            if "think" in kind or "reason" in kind:
                thoughts += found
            elif "text" in kind:
                text += found
    return text, thoughts

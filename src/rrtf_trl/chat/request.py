"""A request to a server, and its reply."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from rrtf_trl.records import Prompt


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
    """

    text: str
    finish_reason: str
    model: str

    @property
    def answer(self) -> str:
        """The text after a reasoning model's thoughts, where the server includes them."""
        return self.text.rsplit("</think>", 1)[-1]


def text_bytes(prompt: Prompt) -> int:
    """Return the length of a prompt in bytes; each message counts 16 more."""
    if isinstance(prompt, str):
        return len(prompt.encode("utf-8", "surrogatepass"))
    return sum(16 + len(str(message["content"]).encode("utf-8", "surrogatepass")) for message in prompt)

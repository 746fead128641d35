"""What is asked, and what comes back."""

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
        max_tokens: Most tokens of a reply.
        seed: For servers that heed it; draw number i asks with ``seed + i``.
        schema: JSON schema that the reply should follow, for servers that can enforce one.
    """

    prompt: Prompt
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None
    schema: dict[str, Any] | None = None

    def content(self) -> dict[str, Any]:
        """Return all that decides a reply, as plain JSON."""
        return dataclasses.asdict(self)

    def most_tokens(self, draws: int) -> tuple[int, int]:
        """Return more prompt and completion tokens than ``draws`` replies can take.

        A byte is at least a token's share, and a chat template adds a few tokens to each message.
        """
        return text_bytes(self.prompt) + 64, self.max_tokens * draws


@dataclass(frozen=True)
class Reply:
    """One reply.

    Args:
        text: As it came.
        finish_reason: ``stop`` where the model ended by itself, ``length`` where it was cut off, or another
            word of the server's.
        model: What the server says that it ran.
    """

    text: str
    finish_reason: str
    model: str

    @property
    def answer(self) -> str:
        """The text after a reasoning model's thoughts, where the server leaves them in."""
        return self.text.rsplit("</think>", 1)[-1]


def text_bytes(prompt: Prompt) -> int:
    """Return how long a prompt is, in bytes; each message counts 16 more."""
    if isinstance(prompt, str):
        return len(prompt.encode("utf-8", "surrogatepass"))
    return sum(16 + len(str(message["content"]).encode("utf-8", "surrogatepass")) for message in prompt)

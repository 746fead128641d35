"""The fields of a request, and those that a server turned out not to support, found in the words of its refusals.

Servers refuse a field in as many words as there are servers; what they have in common is that they name it. So an
error that names a field that was sent is taken as its refusal, and the request is sent again without it. The wordings
that this was made for are in ``tests/chat/test_fields.py``.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

from rrtf_trl.records import Message, Prompt

from .request import ChatRequest

logger = logging.getLogger(__name__)

SYSTEM = "system"
OPTIONAL = ("n", "temperature", "top_p", "seed", "response_format", "max_tokens", SYSTEM)
"""What may be left out; ``system`` is the role, whose text then stands in front of the user's turn."""

_CHANGES = {
    "temperature": "the server's own holds",
    "top_p": "the server's own holds",
    "seed": "the same seed gives other replies",
    "response_format": "replies are checked all the same",
    "max_tokens": "the server's own limit holds",
    SYSTEM: "its text is put in front of the user's turn",
}
_QUOTE = r"[\\'\"`]+"
_NAMED = {
    "n": re.compile(
        rf"{_QUOTE}n{_QUOTE}|\bn *(?:[=<>:]|must|is|should|not|param|value|equal)|(?:parameter|argument|field|the) n\b"
        r"|\bchoices?\b|candidate.?count|(?:multiple|several) (?:candidates|completions|generations|responses|outputs)"
        r"|num(?:ber of |_)?(?:return_sequences|completions|choices|generations)",
        re.IGNORECASE,
    ),
    "response_format": re.compile(
        r"response.?(?:format|schema|mime)|json.?(?:schema|object|mode|output)|structured|grammar|guided|\bschema\b"
        r"|\b(?:generate|validate|valid) json",
        re.IGNORECASE,
    ),
    "seed": re.compile(r"\bseed\b", re.IGNORECASE),
    SYSTEM: re.compile(
        r"\broles?\b|(?:system|developer).{0,3}(?:role|message|prompt|instruction)|support\w* .{0,6}system"
        r"|(?:start|begin)s? with .{0,6}user|first message",
        re.IGNORECASE,
    ),
    "top_p": re.compile(r"top[_ -]?p\b|nucleus", re.IGNORECASE),
    "temperature": re.compile(r"temperature", re.IGNORECASE),
}
_MAX_TOKENS = re.compile(r"\bmax_(?:completion_)?tokens\b", re.IGNORECASE)
_UNSUPPORTED = re.compile(
    r"unsupported|not (?:\w+ )?(?:supported|allowed|permitted|recogni[sz]ed|accepted|enabled)"
    r"|does(?:n't| not) (?:\w+ )?(?:support|accept)|unknown|unrecogni[sz]ed|unexpected|deprecated|forbidden"
    r"|cannot find|invalid (?:param|arg|field)",
    re.IGNORECASE,
)
_REFUSES = re.compile(rf"only|must|cannot|invalid|should|{_UNSUPPORTED.pattern}", re.IGNORECASE)
_ABOUT_LENGTH = re.compile(r"context.?(?:length|window|size)|max_model_len|too many tokens|(?:input|prompt) tokens")
_OF_A_REQUEST = (400, 404, 405, 422)
_ECHO = re.compile(r"'input': ?\{.*", re.DOTALL)
"""FastAPI's errors repeat the request."""


class Fields:
    """Builds the fields of requests to a server, without those that it does not support.

    Args:
        leave_out: Fields that are never sent, of :data:`OPTIONAL`.

    Raises:
        ValueError: If there is no such field.
    """

    def __init__(self, leave_out: Iterable[str] = ()) -> None:
        self._never = set(leave_out)
        if unknown := sorted(self._never - set(OPTIONAL)):
            raise ValueError(f"leave_out: no field {unknown[0]!r}; there are {', '.join(OPTIONAL)}")
        self.one_at_a_time = "n" in self._never
        self._refused: set[tuple[str, Any]] = set()  # of a temperature and top_p the value: servers may take another
        self._max_tokens = "max_tokens"

    def options(self, request: ChatRequest, draws: list[int]) -> dict[str, Any]:
        """Return the fields of a request for some draws."""
        left_out = self.left_out(request)
        options: dict[str, Any] = {name: value for name, value in _asked(request) if name not in left_out}
        if "max_tokens" in options:
            options[self._max_tokens] = options.pop("max_tokens")
        if "seed" in options:
            options["seed"] += draws[0]
        if len(draws) > 1 and not self.one_at_a_time:
            options["n"] = len(draws)
        if isinstance(request.prompt, str):
            options["prompt"] = request.prompt
        else:
            options["messages"] = in_users_turn(request.prompt) if SYSTEM in left_out else request.prompt
        return options

    def left_out(self, request: ChatRequest) -> list[str]:
        """Return what a request asks for and is not sent; ``n`` is not among them, since n requests do the same."""
        asked = dict(_asked(request))
        if _has_system(request.prompt):
            asked[SYSTEM] = None
        return [
            name for name, value in asked.items() if name in self._never or self._key(name, value) in self._refused
        ]

    def refuse(self, options: dict[str, Any], status: int, body: Any, message: str, server: str) -> bool:
        """Note a field of ``options`` that an error refuses, and return whether there is one.

        Args:
            options: As they were sent.
            status: Of the error.
            body: Of the error, as JSON.
            message: The error in words.
            server: Its name, for the warning.
        """
        text = " ".join(_texts(body)) if isinstance(body, dict | list) else message
        model = rf"(?<![\w-]){re.escape(str(options.get('model')))}(?![\w-])"
        text = re.sub(model, "", _ECHO.sub("", text))
        if status not in _OF_A_REQUEST and not (status in (500, 501) and _REFUSES.search(text)):
            return False
        if _ABOUT_LENGTH.search(text):
            return False
        name = self._named(options, text)
        if name is None:
            return False
        if name == "n":
            self.one_at_a_time = True
            return True
        if name == "max_tokens" and "max_tokens" in options:
            self._max_tokens = "max_completion_tokens"
            return True
        key = self._key(name, options.get(name))
        if key not in self._refused:
            value = f" {options[name]:g}" if name in ("temperature", "top_p") else ""
            logger.warning("%s does not support %s%s: left out, %s (%s)", server, name, value, _CHANGES[name], message)
        self._refused.add(key)
        return True

    def _named(self, options: dict[str, Any], text: str) -> str | None:
        """Return the field of ``options`` that an error's text names."""
        if _MAX_TOKENS.search(text) and {"max_tokens", "max_completion_tokens"} & options.keys():
            another = "max_tokens" in options and "max_completion_tokens" in text
            if another or _UNSUPPORTED.search(text):
                return "max_tokens"
        for name, pattern in _NAMED.items():
            sent = _has_system(options.get("messages", "")) if name == SYSTEM else name in options
            if sent and pattern.search(text):
                return name
        return None

    @staticmethod
    def _key(name: str, value: Any) -> tuple[str, Any]:
        return name, value if name in ("temperature", "top_p") else None


def in_users_turn(messages: list[Message]) -> list[Message]:
    """Return messages with the text of system messages in front of the next user's, for servers without that role."""
    result: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "system":
            waiting.append(str(message["content"]))
            continue
        if waiting and message["role"] == "user":
            message = copy.copy(message)
            text = "\n\n".join(waiting)
            content = message["content"]
            parts = [{"type": "text", "text": text}, *content] if isinstance(content, list) else f"{text}\n\n{content}"
            message["content"] = parts
            waiting = []
        result.append(message)
    return [*result, {"role": "user", "content": "\n\n".join(waiting)}] if waiting else result


def _asked(request: ChatRequest) -> Iterator[tuple[str, Any]]:
    yield "temperature", request.temperature
    yield "max_tokens", request.max_tokens
    if request.top_p != 1:
        yield "top_p", request.top_p
    if request.seed is not None:
        yield "seed", request.seed
    if request.schema is not None:
        schema = {"name": "answer", "schema": request.schema, "strict": True}
        yield "response_format", {"type": "json_schema", "json_schema": schema}


def _has_system(prompt: Prompt) -> bool:
    return not isinstance(prompt, str) and any(message["role"] == "system" for message in prompt)


def _texts(node: Any) -> Iterator[str]:
    """Yield the texts in an error's body, a single word in quotes as a name; not its code, nor a repeated request."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name not in ("input", "type", "code"):
                yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
    elif isinstance(node, str):
        yield f"'{node}'" if node.isidentifier() else node

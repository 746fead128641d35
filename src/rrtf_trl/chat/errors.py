"""Errors of a server, and what its error replies mean."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any

from rrtf_trl.errors import UserError


class ChatError(UserError):
    """The server cannot be used, or no longer; replies that arrived before are kept."""


class BudgetExhausted(ChatError):
    """The next request could cost more than what is left of the budget."""


class RequestRefused(Exception):
    """The server refuses this one request, for instance for its length; others may succeed."""


class MalformedReply(Exception):
    """The body of a reply with status 200 is not a reply; the request is retried."""


_ABOUT_THIS_REQUEST = re.compile(
    r"context.?length|context.?window|maximum context|max_model_len|too long|too large|too many tokens|exceeds?\b.*"
    r"(?:tokens|context|length)|content.?filter|content.?policy|safety",
    re.IGNORECASE | re.DOTALL,
)


_TOO_MANY_TOKENS = re.compile(
    r"\bmax_(?:completion_|new_|output_)?tokens\b.*(?:large|at most|maximum|less than|exceed|between|range|[<>])",
    re.IGNORECASE | re.DOTALL,
)


def is_about_this_request(status: int, message: str) -> bool:
    """Whether a refusal is due to this request's length or content, rather than to its form or the client."""
    return status == 413 or (status in (400, 422) and _ABOUT_THIS_REQUEST.search(message) is not None)


def is_too_many_tokens(message: str) -> bool:
    """Whether a refusal is due to the most tokens that are asked for, whatever the prompt."""
    return bool(_TOO_MANY_TOKENS.search(message)) and not re.search(r"context|input|prompt", message, re.IGNORECASE)


def is_retryable(status: int, message: str) -> bool:
    """Whether the same request may succeed later. An exhausted quota has the status 429 too, and is not retried."""
    if status == 429:
        return not re.search(r"insufficient_quota|exceeded your current quota", message)
    return status in (408, 409, 425) or status >= 500


def describe_error(body: Any, fallback: str) -> str:
    """Return the message in an error's body, as OpenAI's, FastAPI's, Ollama's or a proxy's servers write it."""
    message = body
    for key in ("error", "message", "detail"):
        if isinstance(message, dict) and message.get(key):
            code = message.get("code") or message.get("type") if key == "message" else None
            message = f"{message[key]} ({code})" if code and isinstance(message[key], str) else message[key]
    text = " ".join(str(message or fallback).split())
    return text if len(text) <= 400 else text[:400] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait (a number or a date), or ``None``."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        moment = email.utils.parsedate_tz(value)
        return None if moment is None else max(email.utils.mktime_tz(moment) - time.time(), 0.0)

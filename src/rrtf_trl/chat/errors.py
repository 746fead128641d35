"""What can go wrong between us and a server, and how it is told."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any

from rrtf_trl.errors import UserError


class ChatError(UserError):
    """The server cannot be used, or not any more; what was answered before is kept."""


class BudgetExhausted(ChatError):
    """The next request could cost more than what is left."""


class Refused(Exception):
    """The server refuses this one request, for instance for its length; others may go through."""


class Malformed(Exception):
    """A reply with status 200 that is none; worth another try."""


_ABOUT_THIS_REQUEST = re.compile(
    r"context.?length|context.?window|maximum context|max_model_len|too long|too large|too many tokens|exceeds?\b.*"
    r"(?:tokens|context|length)|content.?filter|content.?policy|safety",
    re.IGNORECASE | re.DOTALL,
)


def is_about_this_request(status: int, words: str) -> bool:
    """Whether a refusal speaks of one request's length or content, and not of how we ask."""
    return status == 413 or (status in (400, 422) and _ABOUT_THIS_REQUEST.search(words) is not None)


def is_worth_another_try(status: int, words: str) -> bool:
    """Whether the same request may go through later. A quota that is used up is told by 429 too, and may not."""
    if status == 429:
        return not re.search(r"insufficient_quota|exceeded your current quota", words)
    return status in (408, 409, 425) or status >= 500


def server_words(body: Any, fallback: str) -> str:
    """Return what the body of an error says, in the form of any server: OpenAI's, FastAPI's, Ollama's, a proxy's."""
    words = body
    for key in ("error", "message", "detail"):
        if isinstance(words, dict) and words.get(key):
            code = words.get("code") or words.get("type") if key == "message" else None
            words = f"{words[key]} ({code})" if code and isinstance(words[key], str) else words[key]
    text = " ".join(str(words or fallback).split())
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

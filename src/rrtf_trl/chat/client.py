"""A server with OpenAI's API: its options, and what it turned out not to support."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rrtf_trl.errors import UserError

from .budget import Budget, Spending
from .request import ChatRequest

logger = logging.getLogger(__name__)

_FIELD_REFUSED = {
    "response_format": re.compile("response_format|json_schema|structured|grammar", re.IGNORECASE),
    "seed": re.compile(r"\bseed\b", re.IGNORECASE),
}
_N_REFUSED = re.compile(r"""\bn\b *(?:=|>|must|is|should|:|param)|['"`]n['"`]""")

_OPENAI = "https://api.openai.com/v1"


class ChatClient:
    """A server and how to send requests to it, which :func:`.requests.ask_concurrently` does.

    Args:
        model: The model's name there.
        base_url: The server's address, as ``http://localhost:8000/v1``; ``None`` for the environment variable
            ``OPENAI_BASE_URL``, or OpenAI's own.
        api_key_env: The environment variable that holds the key. The key itself is no option: it would appear
            in logs and in the saved configuration. A server on this machine needs none.
        concurrency: Requests at a time.
        timeout: Seconds from sending a request to the last byte of its reply.
        retries: How often a request is retried after a fault; the waits double from half a second to a
            minute, or are those of the server's ``Retry-After``.
        cache: File that keeps replies and spending, see :mod:`.cache`; ``None`` keeps none.
        budget: The most that may be spent.
        extra_body: Further fields of each request, for instance ``{"top_k": 20}`` or vLLM's
            ``chat_template_kwargs``.

    Raises:
        UserError: If the openai client is not installed, or the address or the key's variable cannot be used.
        ValueError: If a number is out of its range.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 16,
        timeout: float = 120.0,
        retries: int = 8,
        cache: str | Path | None = None,
        budget: Budget | None = None,
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        if importlib.util.find_spec("openai") is None:
            raise UserError("the openai client is not installed: pip install 'rrtf-trl[openai]'")
        if concurrency < 1 or retries < 0 or timeout <= 0:
            raise ValueError("concurrency must be at least 1, retries at least 0, and timeout greater than 0")
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", api_key_env):
            # The value is not repeated: it may be a key, and many keys would pass for a name in small letters.
            raise UserError("api_key_env must be the name of an environment variable, in capitals, not the key itself")
        self.model = model
        self.base_url = (base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI).rstrip("/")
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UserError(f"base_url must be as http://localhost:8000/v1, got {self.base_url!r}")
        if address.username or address.password or address.query:
            raise UserError("base_url must hold no user, password or query: keys come from the environment only")
        self.api_key_env = api_key_env
        self.concurrency = concurrency
        self.timeout = timeout
        self.retries = retries
        self.cache = cache
        self.budget = budget or Budget()
        if cache is None and self.budget.is_limited:
            raise UserError("a budget needs a cache, which keeps the spending: set cache, or leave the budget out")
        self.extra_body = dict(extra_body or {})
        self.account = f"{self.base_url} {self.model}"
        self.spent = Spending()  # by this object; the cache has the total of all processes
        self.reused = 0
        self.faults = 0
        # What the server turned out not to support:
        self.one_at_a_time = False
        self._unsupported: set[str] = set()
        self._max_tokens_field = "max_tokens"
        self._other_model: str | None = None

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON, what determines a reply on the server's side."""
        return {"base_url": self.base_url, "model": self.model, "extra_body": self.extra_body}

    def describe_spending(self) -> str:
        """Return as text what this object has spent and re-used; empty if it sent no request."""
        if not self.spent.requests and not self.reused:
            return ""
        parts = [self.budget.describe(self.spent)]
        if self.reused:
            parts.append(f"{self.reused:,} replies re-used")
        if self.faults:
            parts.append(f"{self.faults:,} faults overcome")
        return f"{self.model}: " + ", ".join(parts)

    def describe_exhausted(self, total: Spending) -> str:
        """Return the message for when the budget does not cover the next request."""
        return (
            f"the budget for {self.model} at {self.base_url} does not cover the next request: spent so far "
            f"{self.budget.describe(total)}. All replies are kept: the same command continues with a larger budget."
        )

    # -- For the session -----------------------------------------------------------------------------------

    def options(self, request: ChatRequest, draws: list[int]) -> dict[str, Any]:
        """Return the fields of a request for some draws, without those that the server does not support."""
        options: dict[str, Any] = {"model": self.model, "temperature": request.temperature}
        options["prompt" if isinstance(request.prompt, str) else "messages"] = request.prompt
        options[self._max_tokens_field] = request.max_tokens
        if request.top_p != 1:
            options["top_p"] = request.top_p
        if request.seed is not None:
            options["seed"] = request.seed + draws[0]
        if len(draws) > 1 and not self.one_at_a_time:
            options["n"] = len(draws)
        if request.schema is not None:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": schema}
        for name in self._unsupported:
            options.pop(name, None)
        if self.extra_body:
            options["extra_body"] = self.extra_body
        return options

    def drop_refused_field(self, options: dict[str, Any], status: int, message: str) -> bool:
        """Note an optional field of ``options`` that the server refuses, and return whether there is one.

        Later requests are sent without it.
        """
        if status not in (400, 422, 500, 501):
            return False
        if "max_tokens" in options and "max_completion_tokens" in message:
            self._max_tokens_field = "max_completion_tokens"
            return True
        if "n" in options and _N_REFUSED.search(message):
            self.one_at_a_time = True
            return True
        for name, pattern in _FIELD_REFUSED.items():
            if name in options and pattern.search(message):
                if name not in self._unsupported:
                    logger.warning("%s does not support %s, which is left out: %s", self.base_url, name, message)
                self._unsupported.add(name)
                return True
        return False

    def check_model(self, model: str) -> None:
        """Warn once if another model answers than the requested one."""
        requested = self.model.rsplit("/", 1)[-1].lower()
        if requested not in model.lower() and self._other_model is None:
            self._other_model = model
            logger.warning("%s was asked for the model %s, and answers as %s", self.base_url, self.model, model)

    def key(self) -> str:
        """Return the API key from the environment.

        Raises:
            UserError: If OpenAI's own server is asked without one.
        """
        key = os.environ.get(self.api_key_env, "").strip()
        if not key and self.base_url == _OPENAI:
            raise UserError(f"the environment variable {self.api_key_env} is not set: it should hold the API key")
        return key or "none"

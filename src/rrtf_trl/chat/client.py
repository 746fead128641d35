"""A server with OpenAI's API: its options, and what it turned out not to support."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rrtf_trl.errors import UserError

from .address import OPENAI, refuse_client, server_address
from .budget import Budget, Spending
from .fields import Fields
from .request import ChatRequest

logger = logging.getLogger(__name__)

_PATIENCE = 5.0  # seconds for a list of models
_SHOWN = 10  # of its names


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
        leave_out: Fields that are not sent, of :data:`.fields.OPTIONAL`; those that the server refuses are left out
            without it.

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
        leave_out: Sequence[str] = (),
    ) -> None:
        if importlib.util.find_spec("openai") is None:
            raise UserError("the openai client is not installed: pip install 'rrtf-trl[openai]'")
        if concurrency < 1 or retries < 0 or timeout <= 0:
            raise ValueError("concurrency must be at least 1, retries at least 0, and timeout greater than 0")
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", api_key_env):
            # The value is not repeated: it may be a key, and many keys would pass for a name in small letters.
            raise UserError("api_key_env must be the name of an environment variable, in capitals, not the key itself")
        self.model = model
        self.base_url = server_address(base_url)
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
        self.left_out: set[str] = set()  # of the requests that were answered, from the cache too
        self.fields = Fields(leave_out)
        self._leave_out = sorted(leave_out)
        self._other_model: str | None = None

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON, what determines a reply on the server's side."""
        left_out = {"leave_out": self._leave_out} if self._leave_out else {}
        return {"base_url": self.base_url, "model": self.model, "extra_body": self.extra_body, **left_out}

    def describe_spending(self) -> str:
        """Return as text what this object has spent and re-used; empty if it sent no request."""
        if not self.spent.requests and not self.reused:
            return ""
        parts = [self.budget.describe(self.spent)]
        if self.reused:
            parts.append(f"{self.reused:,} replies re-used")
        if self.faults:
            parts.append(f"{self.faults:,} faults overcome")
        if self.left_out:
            parts.append(f"without {', '.join(sorted(self.left_out))}")
        return f"{self.model}: " + ", ".join(parts)

    def describe_exhausted(self, total: Spending) -> str:
        """Return the message for when the budget does not cover the next request."""
        return (
            f"the budget for {self.model} at {self.base_url} does not cover the next request: spent so far "
            f"{self.budget.describe(total)}. All replies are kept: the same command continues with a larger budget."
        )

    def first_fault(self) -> str | None:
        """Ask the server for its models, and return what would keep it from answering; ``None`` if nothing is found.

        A server may know the model under another name than those that it lists, so this is no more than a warning.
        """
        import openai

        try:
            with openai.OpenAI(api_key=self.key(), base_url=self.base_url, max_retries=0, timeout=_PATIENCE) as server:
                names = [model.id for model in server.models.list()]
        except (openai.APIStatusError, ValueError, TypeError):  # it has no list, or one of another form
            return None
        except openai.APIConnectionError as error:
            return f"{self.base_url} does not answer: {error.__cause__ or error}"
        except UserError as error:
            return str(error)
        except Exception as error:  # the HTTP client reads the environment: proxies, certificates
            return str(refuse_client(error, self.base_url))
        if not names or self.model in names:
            return None
        return f"{self.base_url} has no model {self.model}: it lists {', '.join(sorted(names)[:_SHOWN])}"

    # -- For the session -----------------------------------------------------------------------------------

    def options(self, request: ChatRequest, draws: list[int]) -> dict[str, Any]:
        """Return the arguments of the openai client for some draws of a request."""
        options = {"model": self.model, **self.fields.options(request, draws)}
        return {**options, "extra_body": self.extra_body} if self.extra_body else options

    def drop_refused_field(self, options: dict[str, Any], status: int, body: Any, message: str) -> bool:
        """Note a field of ``options`` that the server refuses, and return whether there is one.

        Later requests are sent without it.
        """
        return self.fields.refuse(options, status, body, message, f"{self.base_url}: {self.model}")

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
        if not key and self.base_url == OPENAI:
            raise UserError(f"the environment variable {self.api_key_env} is not set: it should hold the API key")
        if fault := next((char for char in key if not "!" <= char <= "~"), None):
            # The key itself is not repeated.
            kind = "a space" if fault.isspace() else "a sign that no HTTP header can hold"
            raise UserError(f"the environment variable {self.api_key_env} holds no API key: there is {kind} in it")
        return key or "none"


@runtime_checkable
class AsksServer(Protocol):
    """A sampler or feedback source that asks a server."""

    client: ChatClient

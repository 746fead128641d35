"""Sends requests: concurrency, retries, the budget, and fields that servers do not support.

A session belongs to one event loop; :func:`rrtf_trl.chat.ask_concurrently` makes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from rrtf_trl.records import content_hash

from .address import explain_connection, refuse_client
from .budget import Spending
from .cache import ReplyCache
from .client import ChatClient
from .errors import (
    BudgetExhausted,
    ChatError,
    MalformedReply,
    RequestRefused,
    describe_error,
    is_about_this_request,
    is_retryable,
    is_too_many_tokens,
    retry_after,
)
from .request import ChatRequest, Reply, text_and_reasoning, text_bytes

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""Seconds to wait after a first fault, doubled with each further one up to the second number."""
_LONGEST_RETRY_AFTER = 600.0
"""Seconds; a server that asks for a longer wait is given up."""
_SHORTEST_SECRET = 8
"""Characters; a shorter key, such as EMPTY for a server that checks none, may occur in a reply by chance."""
_ENDED = ("eos", "eos_token", "end_turn", "stop_sequence", "completed")
"""Other servers' words for ``stop``."""
_TRIES_TO_CONNECT = 3
"""Before the first reply, an address that refuses connections is given up after this many tries."""


class ChatSession:
    """Sends requests to a server within one event loop.

    Args:
        client: The server, and how to send requests to it.
        cache: Keeps replies and spending.
        key: The API key.
    """

    def __init__(self, client: ChatClient, cache: ReplyCache, key: str) -> None:
        import openai

        self._openai = openai
        self._client = client
        self._cache = cache
        self._key = key
        # Retries are done here: a 429 delays all requests, and a malformed reply is retried too.
        try:
            self._server = openai.AsyncOpenAI(
                api_key=key, base_url=client.base_url, max_retries=0, timeout=openai.Timeout(client.timeout)
            )
        except Exception as error:  # the HTTP client reads the environment: proxies, certificates
            raise refuse_client(error, client.base_url) from None
        self._slots = asyncio.Semaphore(client.concurrency)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._total = cache.spent(client.account)
        self._reserved = Spending()
        self._released = asyncio.Condition()
        self._not_before = 0.0
        self._answered = 0
        self.stopped: BaseException | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def ask(self, request: ChatRequest, draws: int = 1) -> list[Reply]:
        """Return ``draws`` replies to a request, from the cache where it has them.

        Raises:
            RequestRefused: If the server refuses this request for its length or content.
            BudgetExhausted: If the most that it could cost is more than what is left of the budget.
            ChatError: If the server cannot be used.
        """
        key = content_hash("reply", self._client.identity(), request.content())
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:  # two equal requests at the same time are sent once
            replies = self._cache.replies(key, draws)
            self._answered += len(replies)  # a server that replied before accepts our kind of request
            self._client.reused += len(replies)
            while missing := [draw for draw in range(draws) if draw not in replies]:
                parts = [[draw] for draw in missing] if self._client.fields.one_at_a_time else [missing]
                for part in await gather_all(*(self._fetch(key, request, part) for part in parts)):
                    replies |= part
            result = [replies[draw] for draw in range(draws)]
            self._client.left_out.update(*(reply.left_out for reply in result))
            return result

    # -- One request ---------------------------------------------------------------------------------------

    async def _fetch(self, key: str, request: ChatRequest, draws: list[int]) -> dict[int, Reply]:
        """Request some draws from the server, and keep those that it returns, which may be fewer."""
        async with self._slots, self._reservation(request, len(draws)):
            received, spent = await self._with_retries(request, draws)
            if len(received) < len(draws):
                self._client.fields.one_at_a_time = True
            replies = dict(zip(draws, received, strict=False))
            self._total = self._cache.add(key, replies, self._client.account, spent)
            self._client.spent += spent
            self._answered += 1
        return replies

    @asynccontextmanager
    async def _reservation(self, request: ChatRequest, draws: int) -> AsyncIterator[None]:
        """Reserve the most that a request can cost; wait while requests in flight may still leave enough."""
        prompt, completion = request.token_bound(draws)
        most = Spending(prompt_tokens=prompt, completion_tokens=completion)
        async with self._released:
            while True:
                self._raise_if_stopped()
                self._total = self._cache.spent(self._client.account)  # including other processes
                if self._client.budget.covers(self._total + self._reserved + most):
                    break
                if self._reserved == Spending():
                    raise BudgetExhausted(self._client.describe_exhausted(self._total))
                await self._released.wait()
            self._reserved += most
        try:
            yield
        finally:
            async with self._released:
                self._reserved += Spending(prompt_tokens=-prompt, completion_tokens=-completion)
                self._released.notify_all()

    async def _with_retries(self, request: ChatRequest, draws: list[int]) -> tuple[list[Reply], Spending]:
        tries = 0
        while True:
            options, left_out = self._client.options(request, draws), self._client.fields.left_out(request)
            while (wait := self._not_before - time.monotonic()) > 0:
                await self._sleep(wait + random.uniform(0, 0.1))
            self._raise_if_stopped()
            answered = self._answered
            try:
                async with asyncio.timeout(self._client.timeout):
                    return await self._send(request, options, left_out, len(draws))
            except (TimeoutError, self._openai.APITimeoutError):
                fault, wait_asked = f"no whole reply within {self._client.timeout:g} s", None
            except MalformedReply as error:
                fault, wait_asked = str(error), None
            except self._openai.APIConnectionError as error:
                fault, wait_asked = _describe_connection_error(error), None
                most = min(_TRIES_TO_CONNECT, self._client.retries + 1)
                given_up = _cannot_connect(error) and tries + 1 >= most
                if self._answered == 0 and (given_up or _is_untrusted(error)):
                    raise ChatError(explain_connection(fault, self._client.base_url)) from None
            except self._openai.APIStatusError as error:
                message = self._without_key(describe_error(error.body, error.message))
                if self._client.drop_refused_field(options, error.status_code, error.body, message):
                    continue
                if not is_retryable(error.status_code, message):
                    raise await self._refusal(error.status_code, message) from None
                fault, wait_asked = f"{error.status_code}: {message}", retry_after(error.response.headers)
                is_busy = error.status_code == 429 and self._answered > answered
                if wait_asked or is_busy:
                    self._delay_all(wait_asked or _FIRST_WAIT, message)
                if is_busy:
                    continue  # not a fault: it replied to other requests meanwhile
            self._client.faults += 1
            tries += 1
            if tries > self._client.retries:
                raise ChatError(f"{self._client.base_url}: gave up after {tries} tries: {self._without_key(fault)}")
            if not wait_asked:
                await self._sleep(min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (tries - 1)) * random.uniform(0.75, 1.0))

    async def _send(
        self, request: ChatRequest, options: dict[str, Any], left_out: list[str], draws: int
    ) -> tuple[list[Reply], Spending]:
        """Send a request once; return its replies and what they cost."""
        resource: Any = self._server.completions if isinstance(request.prompt, str) else self._server.chat.completions
        response = await resource.with_raw_response.create(**options)
        try:
            body = json.loads(response.http_response.content)
        except (ValueError, RecursionError) as error:
            raise MalformedReply(f"a reply that is not JSON: {error}") from None
        replies = [self._reply(choice, body, left_out) for choice in _choices(body)][:draws]
        self._client.check_model(replies[0].model)
        return replies, _spending(body.get("usage"), request, replies)

    def _reply(self, choice: Any, body: dict[str, Any], left_out: list[str]) -> Reply:
        text, reasoning = text_and_reasoning(choice)
        reason = choice.get("finish_reason")
        return Reply(
            text=self._without_key(text),
            finish_reason="stop" if reason in _ENDED or not isinstance(reason, str) else reason,
            model=self._without_key(str(body.get("model") or self._client.model)),
            reasoning=self._without_key(reasoning),
            left_out=left_out,
        )

    # -- Faults ----------------------------------------------------------------------------------------------

    def _raise_if_stopped(self) -> None:
        if self.stopped is not None:
            raise asyncio.CancelledError

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not after an error of another request has stopped the session."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._raise_if_stopped()
            await asyncio.sleep(min(left, 0.5))

    def _without_key(self, text: str) -> str:
        """Remove the key from a server's text: some servers repeat it."""
        return text.replace(self._key, "[API key]") if len(self._key) >= _SHORTEST_SECRET else text

    def _delay_all(self, seconds: float, message: str) -> None:
        if seconds > _LONGEST_RETRY_AFTER:
            raise ChatError(f"{self._client.base_url}: asks to wait {seconds:.0f} s: {message}")
        self._not_before = max(self._not_before, time.monotonic() + seconds)

    async def _refusal(self, status: int, message: str) -> Exception:
        where = f"{self._client.base_url}: {status}: {message}"
        if status in (401, 403):
            return ChatError(f"{where}; the key is read from the environment variable {self._client.api_key_env}")
        if status == 404:
            return ChatError(f"{where}; {await self._describe_models()}")
        if is_too_many_tokens(message):
            return ChatError(f"{where}; lower max_new_tokens (of a sampler) or max_tokens (of a judge)")
        if named := [name for name in self._client.extra_body if re.search(rf"\b{re.escape(name)}\b", message)]:
            return ChatError(f"{where}; extra_body sends {', '.join(named)}: leave it out there")
        if is_about_this_request(status, message) or (status in (400, 422) and self._answered):
            return RequestRefused(f"the server refuses it: {message}")
        return ChatError(f"{where} (model {self._client.model!r})")

    async def _describe_models(self) -> str:
        try:
            models = [model.id async for model in self._server.models.list(timeout=10)]
        except (self._openai.OpenAIError, ValueError, TypeError, AttributeError):
            return f"is {self._client.model!r} a model of this server, and does its address end as it should (/v1)?"
        return f"the server has the models {', '.join(models[:10]) or 'none'}"


async def gather_all(*awaitables: Awaitable[T]) -> list[T]:
    """Wait for all to end, so that no reply in flight is lost; return their results, or raise the first error."""
    results: list[T] = []
    for result in await asyncio.gather(*awaitables, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


def _choices(body: Any) -> list[Any]:
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list) or not body["choices"]:
        raise MalformedReply(f"a reply without choices: {describe_error(body, 'empty')}")
    return list(body["choices"])


def _spending(usage: Any, request: ChatRequest, replies: list[Reply]) -> Spending:
    if isinstance(usage, dict):
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(completion, int) and prompt >= 0 and completion >= 0:
            return Spending(1, prompt, completion)
    reply_bytes = sum(len(reply.text.encode()) for reply in replies)
    return Spending(1, -(-text_bytes(request.prompt) // 3), -(-reply_bytes // 3), estimated=1)


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    return chain


def _describe_connection_error(error: BaseException) -> str:
    return next((str(cause) for cause in reversed(_causes(error)) if str(cause)), "no connection")


def _cannot_connect(error: BaseException) -> bool:
    return any(type(cause).__name__ in ("ConnectError", "ProxyError") for cause in _causes(error))


def _is_untrusted(error: BaseException) -> bool:
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))

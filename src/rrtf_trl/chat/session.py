"""Requests on their way: concurrency, retries, the budget, and what servers do not support.

A session is one event loop's worth of requests; :func:`rrtf_trl.chat.ask_concurrently` makes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from rrtf_trl.records import content_hash

from .budget import Spending
from .cache import ReplyCache
from .client import ChatClient
from .errors import (
    BudgetExhausted,
    ChatError,
    Malformed,
    Refused,
    is_about_this_request,
    is_worth_another_try,
    retry_after,
    server_words,
)
from .request import ChatRequest, Reply, text_bytes

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""Seconds of the first wait after a fault, doubled with each further one up to the second figure."""
_LONGEST_RETRY_AFTER = 600.0
"""A server that asks to wait longer than these seconds is given up."""
_SHORTEST_SECRET = 8
"""A shorter key, such as EMPTY for a server that checks none, may stand in an answer by chance."""
_TRIES_TO_CONNECT = 3
"""Before anything was answered, an address where nobody listens is given up after this many tries."""


class ChatSession:
    """Asks a server, within one event loop.

    Args:
        client: Which server, and how to treat it.
        cache: Where replies and the account are kept.
        key: The API key.
    """

    def __init__(self, client: ChatClient, cache: ReplyCache, key: str) -> None:
        import openai

        self._openai = openai
        self._client = client
        self._cache = cache
        self._key = key
        # Retries are ours: a 429 holds back all requests, and a body that is no reply is asked for again too.
        self._server = openai.AsyncOpenAI(
            api_key=key, base_url=client.base_url, max_retries=0, timeout=openai.Timeout(client.timeout)
        )
        self._slots = asyncio.Semaphore(client.concurrency)
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._total = cache.spent(client.account)
        self._reserved = Spending()
        self._settled = asyncio.Condition()
        self._not_before = 0.0
        self._answered = 0
        self.stopped: BaseException | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def ask(self, request: ChatRequest, draws: int = 1) -> list[Reply]:
        """Return ``draws`` replies to a request, those that were paid for before from the cache.

        Raises:
            Refused: If the server refuses this request for its length or content.
            BudgetExhausted: If the most it could cost is more than what is left.
            ChatError: If the server cannot be used.
        """
        key = content_hash("reply", self._client.identity(), request.content())
        lock = self._asking.setdefault(key, asyncio.Lock())
        async with lock:  # the same request from two places at once is asked once
            found = self._cache.replies(key, draws)
            self._answered += len(found)  # a server that answered before knows how we ask
            self._client.reused += len(found)
            while missing := [draw for draw in range(draws) if draw not in found]:
                parts = [[draw] for draw in missing] if self._client.one_at_a_time else [missing]
                for part in await together(*(self._fetch(key, request, part) for part in parts)):
                    found |= part
            return [found[draw] for draw in range(draws)]

    # -- One request ---------------------------------------------------------------------------------------

    async def _fetch(self, key: str, request: ChatRequest, draws: list[int]) -> dict[int, Reply]:
        """Ask the server for some draws of a request, and keep what comes: it may give fewer."""
        async with self._slots, self._reservation(request, len(draws)):
            replies, spent = await self._with_retries(request, draws)
            if len(replies) < len(draws):
                self._client.one_at_a_time = True
            found = dict(zip(draws, replies, strict=False))
            self._total = self._cache.add(key, found, self._client.account, spent)
            self._client.spent += spent
            self._answered += 1
        return found

    @asynccontextmanager
    async def _reservation(self, request: ChatRequest, draws: int) -> AsyncIterator[None]:
        """Set aside the most that a request can cost; wait while requests under way may still leave enough."""
        prompt, completion = request.most_tokens(draws)
        most = Spending(prompt_tokens=prompt, completion_tokens=completion)
        async with self._settled:
            while True:
                self._raise_if_stopped()
                self._total = self._cache.spent(self._client.account)  # by other processes too
                if self._client.budget.covers(self._total + self._reserved + most):
                    break
                if self._reserved == Spending():
                    raise BudgetExhausted(self._client.tell_exhausted(self._total))
                await self._settled.wait()
            self._reserved += most
        try:
            yield
        finally:
            async with self._settled:
                self._reserved += Spending(prompt_tokens=-prompt, completion_tokens=-completion)
                self._settled.notify_all()

    async def _with_retries(self, request: ChatRequest, draws: list[int]) -> tuple[list[Reply], Spending]:
        tries = 0
        while True:
            options = self._client.options(request, draws)
            while (wait := self._not_before - time.monotonic()) > 0:
                await self._sleep(wait + random.uniform(0, 0.1))
            self._raise_if_stopped()
            answered = self._answered
            try:
                async with asyncio.timeout(self._client.timeout):
                    return await self._send(request, options, len(draws))
            except (TimeoutError, self._openai.APITimeoutError):
                fault, asked = f"no whole reply within {self._client.timeout:g} s", None
            except Malformed as error:
                fault, asked = str(error), None
            except self._openai.APIConnectionError as error:
                fault, asked = _connection_words(error), None
                if self._answered == 0 and tries + 1 >= _TRIES_TO_CONNECT and _is_nobody_there(error):
                    raise ChatError(f"{self._client.base_url}: {fault}; is the server running?") from None
            except self._openai.APIStatusError as error:
                words = self._clean(server_words(error.body, error.message))
                if self._client.do_without(options, error.status_code, words):
                    continue
                if not is_worth_another_try(error.status_code, words):
                    raise await self._refusal(error.status_code, words) from None
                fault, asked = f"{error.status_code}: {words}", retry_after(error.response.headers)
                busy = error.status_code == 429 and self._answered > answered
                if asked or busy:
                    self._hold_back(asked or _FIRST_WAIT, words)
                if busy:
                    continue  # a server that answers others is no fault
            self._client.faults += 1
            tries += 1
            if tries > self._client.retries:
                raise ChatError(f"{self._client.base_url}: gave up after {tries} tries: {self._clean(fault)}")
            if not asked:
                await self._sleep(min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (tries - 1)) * random.uniform(0.75, 1.0))

    async def _send(self, request: ChatRequest, options: dict[str, Any], draws: int) -> tuple[list[Reply], Spending]:
        """Send a request once; return its replies and what they cost."""
        resource: Any = self._server.completions if isinstance(request.prompt, str) else self._server.chat.completions
        response = await resource.with_raw_response.create(**options)
        try:
            body = json.loads(response.http_response.content)
        except ValueError as error:
            raise Malformed(f"a reply that is not JSON: {error}") from None
        replies = [self._reply(choice, body) for choice in _choices(body)][:draws]
        self._client.look_at_model(replies[0].model)
        return replies, _spending(body.get("usage"), request, replies)

    def _reply(self, choice: Any, body: dict[str, Any]) -> Reply:
        message = choice.get("message") if isinstance(choice, dict) else None
        text = message.get("content") if isinstance(message, dict) else None
        if isinstance(choice, dict) and isinstance(choice.get("text"), str):
            text = choice["text"]
        elif isinstance(message, dict) and text is None:
            text = message.get("refusal") or ""
        if not isinstance(text, str):
            raise Malformed("a reply without a text")
        whole = text.encode("utf-8", "replace").decode("utf-8")  # JSON may hold half a character
        reason = choice.get("finish_reason")
        return Reply(
            text=self._clean(whole),
            finish_reason=reason if isinstance(reason, str) else "stop",
            model=self._clean(str(body.get("model") or self._client.model)),
        )

    # -- Faults ----------------------------------------------------------------------------------------------

    def _raise_if_stopped(self) -> None:
        if self.stopped is not None:
            raise asyncio.CancelledError

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not after another request ended it all."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._raise_if_stopped()
            await asyncio.sleep(min(left, 0.5))

    def _clean(self, words: str) -> str:
        """Take the key out of what a server says: some repeat it."""
        return words.replace(self._key, "[API key]") if len(self._key) >= _SHORTEST_SECRET else words

    def _hold_back(self, seconds: float, words: str) -> None:
        if seconds > _LONGEST_RETRY_AFTER:
            raise ChatError(f"{self._client.base_url}: asks to wait {seconds:.0f} s: {words}")
        self._not_before = max(self._not_before, time.monotonic() + seconds)

    async def _refusal(self, status: int, words: str) -> Exception:
        where = f"{self._client.base_url}: {status}: {words}"
        if status in (401, 403):
            return ChatError(f"{where}; the key is read from the environment variable {self._client.api_key_env}")
        if status == 404:
            return ChatError(f"{where}; {await self._offers()}")
        if is_about_this_request(status, words) or (status in (400, 422) and self._answered):
            return Refused(f"the server refuses it: {words}")
        return ChatError(f"{where} (model {self._client.model!r})")

    async def _offers(self) -> str:
        try:
            models = [model.id async for model in self._server.models.list(timeout=10)]
        except (self._openai.OpenAIError, ValueError, TypeError, AttributeError):
            return f"is {self._client.model!r} a model of this server, and does its address end as it should (/v1)?"
        return f"the server has the models {', '.join(models[:10]) or 'none'}"


async def together(*awaitables: Awaitable[T]) -> list[T]:
    """Wait for all; then return their results, or raise the first error. No reply under way is given up."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    fine: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        fine.append(result)
    return fine


def _choices(body: Any) -> list[Any]:
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list) or not body["choices"]:
        raise Malformed(f"a reply without choices: {server_words(body, 'empty')}")
    return list(body["choices"])


def _spending(usage: Any, request: ChatRequest, replies: list[Reply]) -> Spending:
    if isinstance(usage, dict):
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(completion, int) and prompt >= 0 and completion >= 0:
            return Spending(1, prompt, completion)
    written = sum(len(reply.text.encode()) for reply in replies)
    return Spending(1, -(-text_bytes(request.prompt) // 3), -(-written // 3), estimated=1)


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    return chain


def _connection_words(error: BaseException) -> str:
    return next((str(cause) for cause in reversed(_causes(error)) if str(cause)), "no connection")


def _is_nobody_there(error: BaseException) -> bool:
    return any(type(cause).__name__ == "ConnectError" for cause in _causes(error))

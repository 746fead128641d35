"""Many requests at a time, in a thread of their own."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from typing import TypeVar

from .cache import ReplyCache
from .client import ChatClient
from .session import ChatSession

T = TypeVar("T")
R = TypeVar("R")


def ask_concurrently(
    client: ChatClient, work: Callable[[ChatSession, T], Awaitable[R]], items: Iterable[T]
) -> Iterator[R]:
    """Yield what ``work`` makes of each item, as they end, in any order, in constant memory.

    The requests run in a thread of their own, so that they go on while the caller is busy; ``items`` is iterated
    here. After an error no further item is begun; the requests under way end and are kept, what they complete is
    yielded, and then the error is raised.

    Args:
        client: The server.
        work: Asks through the session; several of it run at a time.
        items: What to work on; taken as there is room.

    Raises:
        ChatError: As :meth:`ChatSession.ask` does.
    """
    key = client.key()
    cache = ReplyCache(client.cache)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="rrtf-chat", daemon=True)
    thread.start()
    session: ChatSession | None = None
    ended: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()
    under_way = 0
    try:
        session = asyncio.run_coroutine_threadsafe(_make(client, cache, key), loop).result()
        remaining: Iterator[T] | None = iter(items)
        while True:
            while remaining is not None and session.stopped is None and under_way < client.concurrency:
                try:
                    item = next(remaining)
                except StopIteration:
                    remaining = None
                    break
                future = asyncio.run_coroutine_threadsafe(_call(work, session, item), loop)
                future.add_done_callback(ended.put)
                under_way += 1
            if not under_way:
                break
            ready = ended.get()
            under_way -= 1
            try:
                result = ready.result()
            except CancelledError:
                continue  # it had nothing under way when another one failed
            except Exception as error:
                session.stopped = session.stopped or error
                continue
            yield result
        if session.stopped is not None:
            raise session.stopped
    finally:
        asyncio.run_coroutine_threadsafe(_shut_down(session), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        cache.close()


async def _make(client: ChatClient, cache: ReplyCache, key: str) -> ChatSession:
    return ChatSession(client, cache, key)


async def _call(work: Callable[[ChatSession, T], Awaitable[R]], session: ChatSession, item: T) -> R:
    return await work(session, item)


async def _shut_down(session: ChatSession | None) -> None:
    """Cancel what is under way, wait for its end, and close the connections."""
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if session is not None:
        await session.close()

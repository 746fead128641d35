"""Many requests at a time, in a thread of their own."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import closing
from typing import Any, TypeVar

from .cache import ReplyCache
from .client import ChatClient
from .session import ChatSession

T = TypeVar("T")
R = TypeVar("R")


def ask_concurrently(
    client: ChatClient, work: Callable[[ChatSession, T], Coroutine[Any, Any, R]], items: Iterable[T]
) -> Iterator[R]:
    """Yield the result of ``work`` on each item as it completes, in any order and in constant memory.

    The requests run in another thread, so they continue while the caller is busy; ``items`` is iterated in the
    caller's. After an error no further item is begun; the requests in flight end and are kept, what they complete is
    yielded, and then the error is raised.

    Args:
        client: The server.
        work: Called with a session and an item; ``client.concurrency`` calls run at a time.
        items: What to work on; iterated only as fast as calls complete.

    Raises:
        ChatError: As :meth:`ChatSession.ask` does.
    """
    key = client.key()
    with closing(ReplyCache(client.cache)) as cache:
        session = ChatSession(client, cache, key)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="rrtf-chat", daemon=True)
        thread.start()
        done: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()
        running = 0
        try:
            remaining: Iterator[T] | None = iter(items)
            while True:
                while remaining is not None and session.stopped is None and running < client.concurrency:
                    try:
                        item = next(remaining)
                    except StopIteration:
                        remaining = None
                        break
                    future = asyncio.run_coroutine_threadsafe(work(session, item), loop)
                    future.add_done_callback(done.put)
                    running += 1
                if not running:
                    break
                completed = done.get()
                running -= 1
                try:
                    result = completed.result()
                except CancelledError:
                    continue  # it had no request in flight when another one failed
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


async def _shut_down(session: ChatSession) -> None:
    """Cancel what is running, wait for its end, and close the connections."""
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await session.close()

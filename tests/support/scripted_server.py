"""A small HTTP server with OpenAI's API that answers, and fails, as a test says."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

Body = dict[str, Any]


@dataclass
class Answer:
    """What to send: by default a whole reply of 200.

    Args:
        text: The text of each choice; a list for one each.
        status: Status code; other than 200, ``body`` is what is sent.
        body: The whole body in place of a completion: an object, or bytes as they are.
        headers: Further headers.
        cut: Close the connection after half of the body.
        drip: Seconds between the bytes of the body.
        delay: Seconds before anything is sent.
        choices: How many choices, whatever was asked for.
        usage: Whether to tell the tokens.
        model: What the server says that it ran.
        finish_reason: Of each choice.
    """

    text: str | list[str] = "ok"
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    drip: float = 0.0
    delay: float = 0.0
    choices: int | None = None
    usage: bool = True
    model: str | None = None
    finish_reason: str = "stop"


Script = Callable[[Body, int], Answer | str]
"""(the request's body, how often this very body came before) to the answer."""


def fault(name: str) -> Answer:
    """One of the ways in which a server fails."""
    return {
        "429": Answer(status=429, body={"error": {"message": "slow down"}}, headers={"Retry-After": "0.05"}),
        "500": Answer(status=500, body={"error": {"message": "oops"}}),
        "html": Answer(status=502, body=b"<html>Bad gateway</html>", headers={"Content-Type": "text/html"}),
        "cut": Answer(cut=True),
        "garbage": Answer(body=b'{"choices": [{"mess'),
        "empty": Answer(body={}),
        "null": Answer(body={"choices": [{"message": None}]}),
    }[name]


class ScriptedServer:
    """Serves on a free port of the loopback address while its block runs.

    ``answered`` counts the whole replies by the request's content, ``asked`` the requests.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.mistakes: list[Exception] = []
        self.keep_bodies = True
        self.under_way = self.most_under_way = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=256), self._loop
        ).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._server.close)

        async def stop() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self.mistakes:
            raise self.mistakes[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                headers = {}
                while header := (await reader.readline()).decode().strip():
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if not await self._answer(path, headers, json.loads(body or b"{}"), writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other end is gone, or the server is being stopped
        finally:
            writer.close()

    async def _answer(self, path: str, headers: dict[str, str], body: Body, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection stays open."""
        if path.endswith("/models"):
            await self._send(writer, 200, json.dumps({"object": "list", "data": [{"id": "tiny"}]}).encode(), {})
            return True
        key = json.dumps(body, sort_keys=True)
        try:
            answer = self.script(body, self.asked[key])
        except Exception as error:  # the test's own mistake: end the requests, and tell it below
            self.mistakes.append(error)
            answer = Answer(status=400, body={"error": {"message": f"the script failed: {error!r}"}})
        answer = Answer(answer) if isinstance(answer, str) else answer
        self.asked[key] += 1
        self.times.append(time.monotonic())
        if self.keep_bodies:
            self.bodies.append(body)
            self.headers.append(headers)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(answer.delay)
            payload = answer.body
            if payload is None:
                payload = completion(body, answer)
            data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            if answer.cut:
                await self._send(writer, answer.status, data, answer.headers, upto=len(data) // 2)
                return False
            await self._send(writer, answer.status, data, answer.headers, drip=answer.drip)
            if answer.status == 200 and answer.body is None:
                self.answered[key] += 1
        finally:
            self.under_way -= 1
        return True

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        data: bytes,
        headers: dict[str, str],
        upto: int | None = None,
        drip: float = 0.0,
    ) -> None:
        lines = {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        writer.write(head.encode())
        if drip:
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(drip)
        else:
            writer.write(data[:upto])
        await writer.drain()


def completion(body: Body, answer: Answer) -> Body:
    """A completion as OpenAI's API gives it."""
    count = answer.choices or body.get("n") or 1
    texts = answer.text if isinstance(answer.text, list) else [answer.text] * count
    chat = "messages" in body
    choices = [
        {"index": index, "finish_reason": answer.finish_reason}
        | ({"message": {"role": "assistant", "content": text}} if chat else {"text": text})
        for index, text in enumerate(texts[:count])
    ]
    whole: Body = {"id": "x", "object": "chat.completion", "created": 0, "choices": choices}
    whole["model"] = answer.model or body["model"]
    if answer.usage:
        tokens = sum(len(text.split()) for text in texts[:count])
        whole["usage"] = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
    return whole


def said(body: Body) -> str:
    """The last message of a request."""
    return str(body["messages"][-1]["content"] if "messages" in body else body["prompt"])

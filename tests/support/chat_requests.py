"""A client of a scripted server, and how the tests ask it."""

from typing import Any

from rrtf_trl.chat import ChatClient, ChatRequest, ChatSession, ask_concurrently
from support.scripted_server import Answer, Body, ScriptedServer, said


def request(text: str, **options: Any) -> ChatRequest:
    return ChatRequest([{"role": "user", "content": text}], **options)


def client(server: ScriptedServer, **options: Any) -> ChatClient:
    return ChatClient(**{"model": "m", "base_url": server.url, "timeout": 10.0, **options})


def ask_all(asker: ChatClient, texts: list[str], draws: int = 1, **options: Any) -> dict[str, list[str]]:
    async def work(session: ChatSession, text: str) -> tuple[str, list[str]]:
        return text, [reply.text for reply in await session.ask(request(text, **options), draws)]

    return dict(ask_concurrently(asker, work, texts))


def echo(body: Body, before: int) -> Answer:
    return Answer(f"re: {said(body)}")

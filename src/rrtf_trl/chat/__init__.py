"""Talks to any server with OpenAI's API: vLLM, SGLang, llama.cpp, Ollama, ``transformers serve``, hosted ones.

The sampler ``openai``, the judge ``teacher``, ``rrtf evolve`` and test synthesis all ask through here::

    client = ChatClient(model="qwen", base_url="http://localhost:8000/v1", cache="runs/replies.sqlite")

    async def work(session, question):
        return question, await session.ask(ChatRequest([{"role": "user", "content": question}]))

    for question, replies in client.run(work, questions):   # streams, in constant memory
        ...

A reply is written to the cache as it arrives, so that what was paid for is never asked again, whatever
happens to the process (:mod:`.cache`). Spending is counted and can be limited (:mod:`.budget`). Servers
differ, and what one of them does not support is done without (:mod:`.session`).
"""

from .budget import Budget, Spending
from .client import ChatClient
from .errors import BudgetExhausted, ChatError, Refused
from .request import ChatRequest, Reply
from .requests import ask_concurrently
from .session import ChatSession
from .templates import Templates

__all__ = [
    "Budget",
    "BudgetExhausted",
    "ChatClient",
    "ChatError",
    "ChatRequest",
    "ChatSession",
    "Refused",
    "Reply",
    "Spending",
    "Templates",
    "ask_concurrently",
]

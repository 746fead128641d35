"""A client of any server with OpenAI's API: vLLM, SGLang, llama.cpp, Ollama, ``transformers serve``, hosted ones.

The sampler ``openai``, the feedback source ``teacher``, ``rrtf evolve`` and test synthesis use it::

    client = ChatClient(model="qwen", base_url="http://localhost:8000/v1", cache="runs/replies.sqlite")

    async def work(session, question):
        return question, await session.ask(ChatRequest([{"role": "user", "content": question}]))

    for question, replies in client.run(work, questions):   # streams, in constant memory
        ...

A reply is written to the cache as it arrives, so a killed process never pays for it twice (:mod:`.cache`).
Spending is counted and can be limited (:mod:`.budget`). Request fields that a server does not support are left
out (:mod:`.session`).
"""

from .budget import Budget, ReportsSpending, Spending
from .client import AsksServer, ChatClient
from .errors import BudgetExhausted, ChatError, RequestRefused
from .request import ChatRequest, Reply
from .requests import ask_concurrently
from .session import ChatSession
from .templates import Templates

__all__ = [
    "AsksServer",
    "Budget",
    "BudgetExhausted",
    "ChatClient",
    "ChatError",
    "ChatRequest",
    "ChatSession",
    "Reply",
    "ReportsSpending",
    "RequestRefused",
    "Spending",
    "Templates",
    "ask_concurrently",
]

"""A sampler that draws from any server with OpenAI's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rrtf_trl.chat import ChatClient, ChatRequest, ChatSession, Reply, RequestRefused, Templates, ask_concurrently
from rrtf_trl.chat.session import gather_all
from rrtf_trl.records import Candidate, Problem, Source, prompt_text

from .base import Samples
from .candidates import make_candidate
from .decoding import Decoding

Endpoint = Literal["chat", "completions"]


class OpenAISampler:
    """Requests responses from a server, many at a time.

    Each reply is kept as it arrives, so a batch that was interrupted is not paid for again.

    Args:
        client: The server.
        n: Draws of a prompt at each temperature; in one request where the server supports it.
        temperatures: One or several; 0 is greedy decoding.
        top_ps: Nucleus sampling, one value for all temperatures or one for each.
        max_new_tokens: The most tokens of a response.
        seed: For servers that use it; the draws of a prompt have consecutive ones.
        source: ``teacher`` for a stronger model, ``student`` for the policy that is trained.
        batch_size: Problems per call.
        endpoint: ``chat``: a text prompt is put into the template ``answer``, chat messages are sent as they are.
            ``completions``: a text prompt is sent as it is, for base models; chat messages are refused.
        templates: Folder with an ``answer.jinja`` of your own.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        client: ChatClient,
        n: int = 1,
        temperatures: list[float] | None = None,
        top_ps: list[float] | None = None,
        max_new_tokens: int = 1024,
        seed: int = 0,
        source: Source = "teacher",
        batch_size: int = 32,
        endpoint: Endpoint = "chat",
        templates: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if endpoint not in ("chat", "completions"):
            raise ValueError(f"endpoint must be chat or completions, got {endpoint!r}")
        self.decoding = Decoding.checked(n, temperatures, top_ps, max_new_tokens, seed)
        self.client = client
        self.source = source
        self.batch_size = batch_size
        self.endpoint = endpoint
        self.draws = self.decoding.draws
        self._templates = Templates(Path(__file__).parent / "prompts", templates)
        self._digest = self._templates.digest("answer") if endpoint == "chat" else None

    def identity(self) -> dict[str, Any]:
        """Return the server, the model's name there, the template, and all decoding options."""
        return {
            "sampler": "openai",
            **self.client.identity(),
            **self.decoding.identity(),
            "source": self.source,
            "endpoint": self.endpoint,
            "template": self._digest,
        }

    def sample(self, problems: list[Problem]) -> Samples:
        """Draw for each problem at each temperature; problems that the server refuses are skipped."""
        samples = Samples()
        drawn: dict[int, list[Candidate]] = {}
        for index, result in ask_concurrently(self.client, self._draw, enumerate(problems)):
            if isinstance(result, str):
                samples.skipped[problems[index].task_id] = result
            else:
                drawn[index] = result
        for index in sorted(drawn):  # requests end in any order; candidates are in the order of their problems
            samples.candidates += drawn[index]
        return samples

    def describe_spending(self) -> str:
        """Return what was spent as text."""
        return self.client.describe_spending()

    def close(self) -> None:
        """Do nothing: no resources are held between calls."""

    async def _draw(self, session: ChatSession, item: tuple[int, Problem]) -> tuple[int, list[Candidate] | str]:
        """Return the index of a problem, and its candidates or why it is skipped."""
        index, problem = item
        if self.endpoint == "completions":
            if not isinstance(problem.prompt, str):
                return index, "the prompt is chat messages, which the endpoint completions does not take"
            prompt: Any = problem.prompt
        elif isinstance(problem.prompt, str):
            prompt = self._templates.messages("answer", problem=prompt_text(problem.prompt))
        else:
            prompt = problem.prompt
        max_tokens, seed = self.decoding.max_new_tokens, self.decoding.seed
        requests = [
            session.ask(ChatRequest(prompt, temperature, top_p, max_tokens, seed), draws)
            for temperature, top_p, draws in self.decoding
        ]
        try:
            drawn = await gather_all(*requests)
        except RequestRefused as refused:
            return index, str(refused)
        return index, [
            self._candidate(problem, reply, {"temperature": temperature, "top_p": top_p, "index": draw})
            for (temperature, top_p, _), replies in zip(self.decoding, drawn, strict=True)
            for draw, reply in enumerate(replies)
        ]

    def _candidate(self, problem: Problem, reply: Reply, sampling: dict[str, Any]) -> Candidate:
        sampling |= {"seed": self.decoding.seed, "max_new_tokens": self.decoding.max_new_tokens}
        if reply.left_out:
            sampling["left_out"] = reply.left_out
            sampling |= {name: None for name in ("temperature", "top_p", "seed") if name in reply.left_out}
        if reply.model != self.client.model:
            sampling["served_model"] = reply.model
        return make_candidate(
            problem,
            reply.text,
            stopped=reply.finish_reason == "stop",
            source=self.source,
            model=self.client.model,
            sampling=sampling,
        )

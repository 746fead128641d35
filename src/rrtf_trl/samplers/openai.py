"""Sample from any server with OpenAI's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rrtf_trl.chat import ChatClient, ChatRequest, ChatSession, Refused, Reply, Templates, ask_concurrently
from rrtf_trl.chat.session import together
from rrtf_trl.chat.templates import prompt_text
from rrtf_trl.programs.extract import extract_code
from rrtf_trl.records import Candidate, Problem, Source

from .base import Samples
from .decoding import Decoding

Endpoint = Literal["chat", "completions"]


class OpenAISampler:
    """Asks a server for answers, many at a time.

    Each reply is kept as it arrives, so a batch that was interrupted is not paid for again.

    Args:
        client: The server.
        n: Draws a prompt for each temperature; asked for in one request where the server can.
        temperatures: One or several; 0 is greedy decoding.
        top_ps: Nucleus sampling, one value for all temperatures or one for each.
        max_new_tokens: Most tokens of an answer.
        seed: For servers that heed it; the draws of a prompt have consecutive ones.
        source: ``teacher`` for a stronger model, ``student`` for the policy that is trained.
        batch_size: Problems a call.
        endpoint: ``chat``: a prompt of text is put into the template ``answer``, chat messages go as they are.
            ``completions``: a prompt of text goes as it is, for base models; chat messages are refused.
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
        found: dict[int, list[Candidate]] = {}
        for index, answer in ask_concurrently(self.client, self._answer, enumerate(problems)):
            if isinstance(answer, str):
                samples.skipped[problems[index].task_id] = answer
            else:
                found[index] = answer
        for index in sorted(found):  # requests end in any order, candidates are kept in the problems'
            samples.candidates += found[index]
        return samples

    def describe_spending(self) -> str:
        """Return in words what was spent."""
        return self.client.describe_spending()

    def close(self) -> None:
        """Hold nothing between calls, free nothing."""

    async def _answer(self, session: ChatSession, item: tuple[int, Problem]) -> tuple[int, list[Candidate] | str]:
        index, problem = item
        if self.endpoint == "completions":
            if not isinstance(problem.prompt, str):
                return index, "the prompt is chat messages, which the endpoint completions does not take"
            prompt: Any = problem.prompt
        elif isinstance(problem.prompt, str):
            prompt = self._templates.messages("answer", problem=prompt_text(problem.prompt))
        else:
            prompt = problem.prompt
        settings = list(self.decoding)
        limits = (self.decoding.max_new_tokens, self.decoding.seed)
        requests = [
            (ChatRequest(prompt, temperature, top_p, *limits), draws) for temperature, top_p, draws in settings
        ]
        try:
            drawn = await together(*(session.ask(request, draws) for request, draws in requests))
        except Refused as refused:
            return index, str(refused)
        return index, [
            self._candidate(problem, reply, {"temperature": temperature, "top_p": top_p, "index": draw})
            for (temperature, top_p, _), replies in zip(settings, drawn, strict=True)
            for draw, reply in enumerate(replies)
        ]

    def _candidate(self, problem: Problem, reply: Reply, sampling: dict[str, Any]) -> Candidate:
        sampling |= {"seed": self.decoding.seed, "max_new_tokens": self.decoding.max_new_tokens}
        if reply.model != self.client.model:
            sampling["served_model"] = reply.model
        extracted = extract_code(reply.answer, problem.prompt, problem.entry_point)
        return Candidate.create(
            task_id=problem.task_id,
            response=reply.text,
            code=extracted.code,
            source=self.source,
            model=self.client.model,
            sampling=sampling,
            finish_reason="stop" if reply.finish_reason == "stop" or extracted.ended else "length",
        )

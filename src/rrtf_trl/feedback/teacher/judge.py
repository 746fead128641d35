"""The judge: candidates in, judgements of a stronger model out.

Candidates are hostile text: they may contain instructions to the judge. The prompt puts them between lines with a mark
that they cannot contain, and says that they are data. That keeps the parts of a prompt apart, but a model may still
follow them: a candidate that praises itself may score better than it should.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from rrtf_trl.chat import ChatClient, ChatError, ChatRequest, ChatSession, Templates, ask_concurrently
from rrtf_trl.chat.structured import ask_for
from rrtf_trl.chat.templates import delimiter
from rrtf_trl.errors import FeedbackError
from rrtf_trl.records import Candidate, Judged, Judgement, Problem, prompt_text

from .bias import Bias
from .modes import MODES, ScoreAndDetail, abstain

if TYPE_CHECKING:
    from pydantic import BaseModel

    Form = TypeVar("Form", bound=BaseModel)

Mode = Literal["grade", "pair", "rank"]

_MAX_CODE = 40_000
"""Characters; a candidate with more code is not shown to the judge."""

Group = tuple[Problem, list[Candidate]]
"""A problem with its candidates; in the mode ``grade``, with one of them."""


class Teacher:
    """Judges candidates by asking a stronger model.

    The score is in [0, 1]: in the mode ``grade`` the grade's place in the scale; in ``pair`` the fraction of
    comparisons won, a tie counting half; in ``rank`` the fraction of the other candidates that rank below, a tie
    counting half. A judgement has no state. Where there is no usable reply the judge abstains: the score is ``None``
    and ``detail["abstained"]`` is the reason.

    Args:
        client: The server and its model.
        mode: ``grade`` asks once for each candidate; ``pair`` twice for each pair, once in each order, where a
            disagreement is a tie; ``rank`` twice for each problem, in a shuffled order and in its reverse.
        rubric: What to judge by; ``None`` for the template's own.
        scale: Lowest and highest grade.
        opponents: In the mode ``pair``, with how many others a candidate is compared; ``None`` for all of them.
        temperature: The judge's sampling temperature.
        max_tokens: Most tokens of a reply.
        seed: Sent with each request; some servers ignore it.
        templates: A folder with your own ``grade.jinja``, ``pair.jinja``, ``rank.jinja`` or ``repair.jinja``.

    Raises:
        ValueError: If an option is out of its range.
    """

    name = "teacher"

    def __init__(
        self,
        client: ChatClient,
        mode: Mode = "grade",
        rubric: str | None = None,
        scale: tuple[int, int] = (1, 10),
        opponents: int | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int = 0,
        templates: str | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
        lowest, highest = scale
        if lowest >= highest:
            raise ValueError(f"scale must be a lowest and a highest grade, got {list(scale)}")
        if opponents is not None and opponents < 1:
            raise ValueError(f"opponents must be at least 1, got {opponents}")
        if temperature < 0 or max_tokens < 1:
            raise ValueError("temperature must not be negative, and max_tokens be at least 1")
        self.client = client
        self.mode = mode
        self.rubric = rubric
        self.scale = (lowest, highest)
        self.opponents = opponents
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.seed = seed
        self.templates = Templates(Path(__file__).parent / "prompts", templates)
        self._digest = self.templates.digest(mode, "repair")
        self.compares = mode != "grade"

    def identity(self) -> dict[str, Any]:
        """Return the server, its model, the prompts, and all options that a judgement depends on."""
        return {
            "feedback": self.name,
            **self.client.identity(),
            "mode": self.mode,
            "rubric": self.rubric,
            "scale": list(self.scale) if self.mode == "grade" else None,
            "opponents": self.opponents if self.mode == "pair" else None,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "templates": self._digest,
        }

    def check(self, problem: Problem) -> None:
        """Accept every problem: a judge needs no tests."""

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each item, as they come.

        In the modes ``pair`` and ``rank`` the candidates of a problem come one after another, and are judged
        together.

        Raises:
            FeedbackError: If the server cannot be used, or the budget is exhausted.
        """
        groups = _by_problem(items) if self.compares else ((problem, [candidate]) for problem, candidate in items)
        try:
            for judgements in ask_concurrently(self.client, self._judge_group, groups):
                yield from judgements
        except ChatError as error:
            raise FeedbackError(str(error)) from error

    def summarize(self, groups: Iterable[list[Judged]]) -> tuple[str, dict[str, Any]]:
        """Return what the judge did and how biased it is, in a line and as figures (see :class:`Bias`)."""
        bias = Bias(self.client.model, self.mode)
        for group in groups:
            bias.add(group)
        return bias.line(), bias.figures()

    def describe_spending(self) -> str:
        """Return in words what was spent."""
        return self.client.describe_spending()

    async def ask(
        self, session: ChatSession, template: str, problem: Problem, codes: list[str], form: type[Form], **values: Any
    ) -> tuple[Form | None, str]:
        """Ask the judge about a problem and programs; return its filled-in form, or ``None`` and the reason."""
        task = prompt_text(problem.prompt)
        values |= {"problem": task, "rubric": self.rubric, "mark": f"==={delimiter(task, *codes)}==="}
        prompt = self.templates.messages(template, **values)
        request = ChatRequest(prompt, self.temperature, max_tokens=self.max_tokens, seed=self.seed)
        return await ask_for(session, request, form, self.templates)

    async def _judge_group(self, session: ChatSession, group: Group) -> list[Judgement]:
        """Judge the candidates of a problem; those with the same program get the same judgement."""
        problem, candidates = group
        shown = {c.code: c for c in reversed(candidates) if len(c.code) <= _MAX_CODE}
        distinct = [candidate for candidate in candidates if shown.get(candidate.code) is candidate]
        if self.compares and len(distinct) < 2:
            results: list[ScoreAndDetail] = [abstain("there is no other candidate to compare it with")] * len(distinct)
        else:
            results = await MODES[self.mode](self, session, problem, distinct)
        by_code = {candidate.code: result for candidate, result in zip(distinct, results, strict=True)}
        too_long = abstain(f"the candidate has more than {_MAX_CODE} characters")
        left_out = {"left_out": sorted(self.client.left_out)} if self.client.left_out else {}
        found = [(candidate, *by_code.get(candidate.code, too_long)) for candidate in candidates]
        return [
            Judgement(candidate.candidate_id, self.name, None, score, {**detail, **left_out})
            for candidate, score, detail in found
        ]


def _by_problem(items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Group]:
    for _, group in itertools.groupby(items, key=lambda item: item[0].task_id):
        pairs = list(group)
        yield pairs[0][0], [candidate for _, candidate in pairs]

"""Evol-Instruct for programming tasks, with tests: make harder tasks that can be checked.

PanGu-Coder2 (arXiv 2307.14936) evolves CodeAlpaca in depth with a stronger model, "a bit harder, still one function,
still solvable", as WizardCoder (arXiv 2306.08568) does after Evol-Instruct (arXiv 2304.12244). For each generation

    task -> teacher makes a new one -> rules, near-duplicates -> teacher answers and tests it -> checks -> problem

A kept child is the parent in the next generation; if the child is eliminated, its parent is used again.
"""

from __future__ import annotations

import importlib.util
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rrtf_trl.chat import ChatClient, ChatRequest, ChatSession, RequestRefused, Templates
from rrtf_trl.chat.session import gather_all
from rrtf_trl.chat.structured import ask_for
from rrtf_trl.chat.templates import delimiter
from rrtf_trl.errors import UserError
from rrtf_trl.records import CaseTests, Problem, content_hash

from ..decontamination import Decontaminator
from .cases import cases_of, fenced
from .seeds import Seed
from .synthesis import ATOL, Material, Tested


@dataclass(eq=False)
class Evolution:
    """Makes problems from tasks.

    Args:
        client: The teacher.
        methods: Names of templates ``method-NAME.jinja``; each task's is drawn at random.
        generations: How often a task is evolved; 0 only writes tests for the tasks as they are.
        answers: Independent answers per task; a test is kept if a majority passes it.
        cases: Tests to ask for.
        fewest_cases: Fewest tests of a problem.
        mutants: Most mutants of an answer, for measuring the tests.
        min_strength: The fraction of mutants that the tests must kill.
        near_duplicate: Jaccard similarity from which two tasks count as the same.
        temperature: Of new tasks and of answers.
        max_tokens: Most tokens of a reply.
        seed: Decides methods and draws.
        batch_size: Tasks at a time.
        timeout: Limit of a program's processor time, in seconds.
        memory_mb: Limit of a program's memory, in MiB.
        workers: Checks at a time; by default one per processor core.
        templates: Folder with templates of your own.
        decontaminator: Problems that are in its benchmarks are eliminated; ``None`` looks in none.

    Raises:
        ValueError: If an option is out of its range.
        UserError: If a method has no template, or datasketch is not installed.
    """

    client: ChatClient
    methods: list[str]
    generations: int = 1
    answers: int = 5
    cases: int = 10
    fewest_cases: int = 3
    mutants: int = 20
    min_strength: float = 0.5
    near_duplicate: float = 0.7
    temperature: float = 0.7
    max_tokens: int = 1024
    seed: int = 0
    batch_size: int = 32
    timeout: float = 2.0
    memory_mb: int = 512
    workers: int | None = None
    templates: str | None = None
    decontaminator: Decontaminator | None = None

    def __post_init__(self) -> None:
        if importlib.util.find_spec("datasketch") is None:
            raise UserError("datasketch is not installed: pip install 'rrtf-trl[evolve]'")
        least = min(self.answers, self.cases, self.fewest_cases, self.mutants, self.max_tokens, self.batch_size)
        if self.generations < 0 or least < 1:
            raise ValueError(
                "generations must not be negative; answers, cases, fewest_cases, mutants, max_tokens and batch_size "
                "must be at least 1"
            )
        in_range = 0 <= self.min_strength <= 1 and 0 < self.near_duplicate <= 1
        if not in_range or self.temperature < 0 or self.timeout <= 0:
            raise ValueError(
                "min_strength must be in [0, 1], near_duplicate in (0, 1], temperature not negative, timeout positive"
            )
        if not self.methods:
            raise ValueError("methods must name at least one template method-NAME.jinja")
        self.limits = {"timeout": self.timeout, "memory_mb": self.memory_mb}
        self._templates = Templates(Path(__file__).parent / "prompts", self.templates)
        self._method_texts = {name: self._templates.messages(f"method-{name}")[-1]["content"] for name in self.methods}

    # -- Asking --------------------------------------------------------------------------------------------------

    async def make(self, session: ChatSession, item: tuple[int, Seed, int, bool]) -> tuple[int, Seed | str, str]:
        """Make a new task; return its position, the task or why there is none, and the method.

        Args:
            session: With the teacher.
            item: The position, the task, the generation, and whether to evolve it or to keep the task as it is.
        """
        position, seed, generation, evolve = item
        if not evolve and seed.signature is not None:
            return position, seed, "as it is"
        method = self._method(seed, generation) if evolve else "restate"
        values: dict[str, Any] = {"task": seed.task, "mark": _mark(seed)}
        if evolve:
            values |= {"signature": seed.signature, "method": self._method_texts[method]}
        messages = self._templates.messages("evolve" if evolve else "restate", **values)
        request = ChatRequest(
            messages, self.temperature, max_tokens=self.max_tokens, seed=self.seed + 1000 * generation
        )
        from .forms import NewTask

        new, why = await ask_for(session, request, NewTask, self._templates)
        if new is None:
            return position, why, method
        child = Seed(seed.task_id, new.task.strip(), new.signature, None, seed.root)
        if evolve:
            name = f"{seed.root}/evolved/{generation}"
            child = replace(child, task_id=name, generation=generation, method=method, parent=seed.task_id)
        return position, child, method

    async def test(self, session: ChatSession, item: tuple[int, Seed]) -> tuple[int, Material]:
        """Ask the teacher for answers and tests of a task (position, task); return them with the position."""
        position, seed = item
        assert seed.entry_point is not None
        values = {"task": seed.task, "name": seed.entry_point, "signature": seed.signature, "mark": _mark(seed)}
        answer = self._templates.messages("answer", **values)
        tests = self._templates.messages("tests", **values, count=self.cases)
        options: dict[str, Any] = {"max_tokens": self.max_tokens, "seed": self.seed}
        try:
            drawn, (written,) = await gather_all(
                session.ask(ChatRequest(answer, self.temperature, **options), self.answers),
                session.ask(ChatRequest(tests, **options)),
            )
        except RequestRefused as refused:
            return position, Material(seed, failed=str(refused))
        cases = cases_of(written.answer, seed.entry_point, self.cases)
        failed = "" if cases else "the teacher wrote no test that can be read"
        return position, Material(seed, [fenced(reply.answer) for reply in drawn], cases, failed)

    def _method(self, seed: Seed, generation: int) -> str:
        return random.Random(content_hash(self.seed, seed.root, generation)).choice(self.methods)

    def problem(self, tested: Tested) -> Problem:
        """Return a tested task as a problem."""
        seed = tested.seed
        tests: dict[str, Any] = {
            "written": tested.written,
            "kept": len(tested.cases),
            "by": "the reference" if tested.votes is None else f"at least {tested.votes} of {tested.answers} answers",
            "mutants": tested.mutants,
            "killed": tested.killed,
            "strength": round(tested.strength, 4),
        }
        metadata: dict[str, Any] = {"synthesized": True, "teacher": self.client.model, "tests": tests}
        if seed.parent is not None:
            metadata["evolved"] = {
                "from": seed.parent,
                "root": seed.root,
                "generation": seed.generation,
                "method": seed.method,
            }
        prompt = seed.task if f"{seed.entry_point}(" in seed.task else f"{seed.task}\n\nWrite `{seed.signature}`."
        return Problem(seed.task_id, prompt, CaseTests(tested.cases, ATOL), seed.entry_point, tested.answer, metadata)


def _mark(seed: Seed) -> str:
    """Return a line that does not occur in a task's text, to delimit it."""
    return f"==={delimiter(seed.task)}==="

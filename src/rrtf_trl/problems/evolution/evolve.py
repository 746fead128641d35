"""Evol-Instruct for programming tasks, with tests: from tasks to harder ones that can be checked.

PanGu-Coder2 (arXiv 2307.14936) evolves CodeAlpaca in depth by a stronger model, "a bit harder, still one function,
still solvable", as WizardCoder does (arXiv 2306.08568) after Evol-Instruct (arXiv 2304.12244). For each generation

    task -> teacher makes a new one -> rules, near-duplicates -> teacher answers and tests it -> checks -> problem

A child that is kept is the parent of the next generation; where it is eliminated, the parent tries again.
"""

from __future__ import annotations

import importlib.util
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from rrtf_trl.chat import ChatClient, ChatRequest, ChatSession, Templates
from rrtf_trl.chat.structured import ask_for
from rrtf_trl.chat.templates import fence
from rrtf_trl.errors import UserError
from rrtf_trl.records import CaseTests, Problem, content_hash

from ..decontamination import Decontaminator
from .seeds import Seed
from .synthesis import ATOL, Material, Tested, write_material


class Evolution:
    """Makes problems of tasks.

    Args:
        client: The teacher.
        methods: Names of templates ``method-NAME.jinja``; each task's is drawn at random.
        generations: How often a task is evolved; 0 only writes tests for the tasks as they are.
        answers: Independent answers to a task; a test is kept where a majority of them agrees.
        cases: Tests to ask for.
        fewest_cases: Tests that a problem must have.
        mutants: Most mutants of an answer, to measure the tests by.
        min_strength: The share of mutants that the tests must kill.
        near_duplicate: Jaccard similarity from which two tasks count as the same.
        temperature: Of new tasks and of answers.
        max_tokens: Most tokens of a reply.
        seed: Decides methods and draws.
        batch_size: Tasks at a time.
        timeout: Seconds of processor time that a program may take.
        memory_mb: Memory that a program may take, in MiB.
        workers: Checks at a time; by default one a processor core.
        templates: Folder with templates of your own.
        decontaminator: Problems that are in its benchmarks are eliminated; ``None`` looks in none.

    Raises:
        ValueError: If an option is out of its range.
        UserError: If there is no template of a method, or datasketch is not installed.
    """

    def __init__(
        self,
        client: ChatClient,
        methods: list[str],
        generations: int = 1,
        answers: int = 5,
        cases: int = 10,
        fewest_cases: int = 3,
        mutants: int = 20,
        min_strength: float = 0.5,
        near_duplicate: float = 0.7,
        temperature: float = 0.7,
        max_tokens: int = 1024,
        seed: int = 0,
        batch_size: int = 32,
        timeout: float = 2.0,
        memory_mb: int = 512,
        workers: int | None = None,
        templates: str | None = None,
        decontaminator: Decontaminator | None = None,
    ) -> None:
        if importlib.util.find_spec("datasketch") is None:
            raise UserError("datasketch is not installed: pip install 'rrtf-trl[evolve]'")
        if generations < 0 or min(answers, cases, fewest_cases, mutants, max_tokens, batch_size) < 1:
            raise ValueError(
                "generations must not be negative; answers, cases, fewest_cases, mutants, max_tokens and batch_size "
                "must be at least 1"
            )
        if not 0 <= min_strength <= 1 or not 0 < near_duplicate <= 1 or temperature < 0 or timeout <= 0:
            raise ValueError(
                "min_strength must be in [0, 1], near_duplicate in (0, 1], temperature not negative, timeout positive"
            )
        if not methods:
            raise ValueError("methods must name at least one template method-NAME.jinja")
        self.client = client
        self.methods = list(methods)
        self.generations = generations
        self.answers = answers
        self.cases = cases
        self.fewest_cases = fewest_cases
        self.mutants = mutants
        self.min_strength = min_strength
        self.near_duplicate = near_duplicate
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.seed = seed
        self.batch_size = batch_size
        self.limits = {"timeout": timeout, "memory_mb": memory_mb}
        self.workers = workers
        self.templates = Templates(Path(__file__).parent / "prompts", templates)
        self.decontaminator = decontaminator
        self._method_texts = {name: self.templates.messages(f"method-{name}")[-1]["content"] for name in methods}

    # -- Asking --------------------------------------------------------------------------------------------------

    async def make(self, session: ChatSession, item: tuple[int, Seed, int, bool]) -> tuple[int, Seed | str, str]:
        """Return for (position, task, generation, evolve): position, the new task or why there is none, method."""
        position, seed, generation, evolve = item
        if not evolve and seed.signature is not None:
            return position, seed, "as it is"
        method = self._method(seed, generation) if evolve else "restate"
        values: dict[str, Any] = {"task": seed.task, "mark": f"==={fence(seed.task)}==="}
        if evolve:
            values |= {"signature": seed.signature, "method": self._method_texts[method]}
        messages = self.templates.messages("evolve" if evolve else "restate", **values)
        request = ChatRequest(
            messages, self.temperature, max_tokens=self.max_tokens, seed=self.seed + 1000 * generation
        )
        from .forms import NewTask

        new, why = await ask_for(session, request, NewTask, self.templates)
        if new is None:
            return position, why, method
        child = Seed(seed.task_id, new.task.strip(), new.signature, None, seed.root)
        if evolve:
            name = f"{seed.root}/evolved/{generation}"
            child = replace(child, task_id=name, generation=generation, method=method, parent=seed.task_id)
        return position, child, method

    async def test(self, session: ChatSession, item: tuple[int, Seed]) -> tuple[int, Material]:
        """Ask for answers and tests."""
        position, seed = item
        return position, await write_material(
            session,
            self.templates,
            seed,
            answers=self.answers,
            cases=self.cases,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            sampling_seed=self.seed,
        )

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

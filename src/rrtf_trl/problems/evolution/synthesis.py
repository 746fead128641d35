"""Tests for a task: written by the teacher, kept by a vote of answers, measured by mutants.

The paper does not say where its tests come from. Here the teacher writes cases without an answer in sight, and answers
the task several times independently. A case is kept where the reference agrees with it, or, without one, a majority of
the answers. A task is solvable if one of the answers passes all that is kept. The tests' strength is the share of
faulty copies of that answer which they tell from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rrtf_trl.chat import ChatRequest, ChatSession, Refused, Templates
from rrtf_trl.chat.session import together
from rrtf_trl.chat.templates import fence
from rrtf_trl.errors import UserError
from rrtf_trl.records import CaseTests, content_hash
from rrtf_trl.sandbox import Job, Sandbox

from .cases import cases_of, fenced
from .mutants import mutants
from .seeds import Seed
from .work import WorkFile

ATOL = 1e-6

Program = tuple[str, str, list[dict[str, Any]]]
"""A program, its entry point, and cases."""


@dataclass
class Material:
    """What the teacher made of a task.

    Args:
        seed: The task.
        answers: Programs.
        cases: Tests that could be read.
        failed: Why there is nothing, or nothing of one kind; empty where there is.
    """

    seed: Seed
    answers: list[str] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""


@dataclass
class Tested:
    """A task with its tests.

    Args:
        seed: The task.
        answer: A program that passes them: the reference, or one of the answers.
        cases: The tests that are kept.
        written: How many could be read.
        votes: Of ``answers`` how many agree with each kept test, at least; ``None`` where the reference decided.
        answers: How many there were.
        killed: Mutants that the tests tell.
        mutants: How many there were.
    """

    seed: Seed
    answer: str
    cases: list[dict[str, Any]]
    written: int
    votes: int | None
    answers: int
    killed: int = 0
    mutants: int = 0

    @property
    def strength(self) -> float:
        """The share of mutants killed; 0 where there are none."""
        return self.killed / self.mutants if self.mutants else 0.0


async def write_material(
    session: ChatSession,
    templates: Templates,
    seed: Seed,
    *,
    answers: int,
    cases: int,
    temperature: float,
    max_tokens: int,
    sampling_seed: int,
) -> Material:
    """Ask the teacher for answers and, apart from them, for tests."""
    assert seed.entry_point is not None
    values = {
        "task": seed.task,
        "name": seed.entry_point,
        "signature": seed.signature,
        "mark": f"==={fence(seed.task)}===",
    }
    to_answer = ChatRequest(
        templates.messages("answer", **values), temperature, max_tokens=max_tokens, seed=sampling_seed
    )
    to_test = ChatRequest(
        templates.messages("tests", **values, count=cases), max_tokens=max_tokens, seed=sampling_seed
    )
    try:
        drawn, (written,) = await together(session.ask(to_answer, answers), session.ask(to_test))
    except Refused as refused:
        return Material(seed, failed=str(refused))
    found = cases_of(written.answer, seed.entry_point, cases)
    why = "" if found else "the teacher wrote no test that can be read"
    return Material(seed, [fenced(reply.answer) for reply in drawn], found, why)


class Checker:
    """Runs programs against cases in the sandbox, and keeps what held.

    Args:
        sandbox: Where they run.
        work: What held before.
        limits: What decides, beside program and cases, what holds.
    """

    def __init__(self, sandbox: Sandbox, work: WorkFile, limits: dict[str, Any]) -> None:
        self._sandbox = sandbox
        self._work = work
        self._limits = limits

    def held(self, programs: Sequence[Program], each: bool = True) -> list[list[bool]]:
        """Return for each program which of its cases hold.

        Args:
            programs: What to run.
            each: Whether to tell single cases; otherwise all count as failed where one does.
        """
        keys = [content_hash("held", self._limits, ATOL, each, *program) for program in programs]
        todo = {key: program for key, program in zip(keys, programs, strict=True) if self._work.held(key) is None}
        single: list[tuple[str, int]] = []
        for key, state, passed in self._run((key, *program) for key, program in todo.items()):
            count = len(todo[key][2])
            if each and state == "partial" and passed:
                single += [(key, index) for index in range(count)]
            else:
                self._work.add_held(key, [state == "passed"] * count)
        # Where some hold and some do not, each is run by itself to tell which.
        found: dict[str, list[bool]] = {key: [False] * len(todo[key][2]) for key, _ in single}
        jobs = ((f"{key} {index}", *todo[key][:2], [todo[key][2][index]]) for key, index in single)
        for name, state, _ in self._run(jobs):
            key, index = name.split()
            found[key][int(index)] = state == "passed"
        for key, held in found.items():
            self._work.add_held(key, held)
        return [self._work.held(key) or [False] * len(program[2]) for key, program in zip(keys, programs, strict=True)]

    def _run(self, jobs: Iterable[tuple[str, str, str, list[dict[str, Any]]]]) -> Iterator[tuple[str, str, int]]:
        sandboxed = (Job(name, code, CaseTests(cases, ATOL), entry) for name, code, entry, cases in jobs)
        for outcome in self._sandbox.run_many(sandboxed):
            if outcome.state == "infrastructure":
                raise UserError(f"the sandbox failed on an answer: {outcome.message}")
            yield outcome.job_id, outcome.state, outcome.passed


def choose_tests(materials: list[Material], checker: Checker, fewest: int, limit: int) -> list[Tested | str]:
    """Return for each material its task with tests, or why there are none.

    Args:
        materials: Tasks with answers and cases.
        checker: Runs them.
        fewest: Fewer tests than these are not enough.
        limit: Most mutants a task.
    """
    judges = [_judges(material) for material in materials]
    held = iter(
        checker.held(
            [
                (program, str(material.seed.entry_point), material.cases)
                for material, programs in zip(materials, judges, strict=True)
                for program in programs
            ]
        )
    )
    chosen = [
        _choose(material, [(program, next(held)) for program in programs], fewest)
        for material, programs in zip(materials, judges, strict=True)
    ]
    _measure([tested for tested in chosen if isinstance(tested, Tested)], checker, limit)
    return chosen


def _judges(material: Material) -> list[str]:
    if material.failed:
        return []
    return [material.seed.reference] if material.seed.reference is not None else material.answers


def _choose(material: Material, judged: list[tuple[str, list[bool]]], fewest: int) -> Tested | str:
    if material.failed:
        return material.failed
    agreeing = [sum(held[index] for _, held in judged) for index in range(len(material.cases))]
    kept = [index for index, votes in enumerate(agreeing) if 2 * votes > len(judged)]
    if len(kept) < fewest:
        by = "the reference" if material.seed.reference is not None else f"a majority of {len(judged)} answers"
        return f"too few tests: {len(kept)} of {len(material.cases)} hold on {by}"
    answer = next((program for program, held in judged if all(held[index] for index in kept)), None)
    if answer is None:
        return "not solved: no answer passes all tests that hold on a majority"
    return Tested(
        seed=material.seed,
        answer=answer,
        cases=[material.cases[index] for index in kept],
        written=len(material.cases),
        votes=None if material.seed.reference is not None else min(agreeing[index] for index in kept),
        answers=len(judged),
    )


def _measure(tested: list[Tested], checker: Checker, limit: int) -> None:
    """Count how many mutants of each answer its tests kill."""
    faulty = [_mutants(item.answer, limit) for item in tested]
    held = iter(
        checker.held(
            [
                (program, str(item.seed.entry_point), item.cases)
                for item, programs in zip(tested, faulty, strict=True)
                for program in programs
            ],
            each=False,
        )
    )
    for item, programs in zip(tested, faulty, strict=True):
        item.mutants = len(programs)
        item.killed = sum(not all(next(held)) for _ in programs)


def _mutants(code: str, limit: int) -> list[str]:
    try:
        return mutants(code, limit)
    except RecursionError:  # nested deeper than can be walked: nothing is known of the tests
        return []

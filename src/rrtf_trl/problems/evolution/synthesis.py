"""Tests for a task: written by the teacher, kept by a vote of answers, measured by mutants.

The paper does not say where its tests come from. Here the teacher writes cases without seeing an answer, and answers
the task several times independently. A case is kept if the reference passes it or, without a reference, a majority of
the answers. A task is solvable if one of the answers passes all kept cases. The tests' strength is the fraction of
mutants of that answer which they kill.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from rrtf_trl.errors import UserError
from rrtf_trl.records import CaseTests, content_hash
from rrtf_trl.sandbox import Job, Sandbox

from .mutants import mutants
from .seeds import Seed
from .work import WorkFile

ATOL = 1e-6

Program = tuple[str, str, list[dict[str, Any]]]
"""A program, its entry point and its cases."""


@dataclass
class Material:
    """The teacher's answers and cases for a task.

    Args:
        seed: The task.
        answers: Programs.
        cases: The tests that could be read.
        failed: Why answers or cases are missing; empty if they are not.
    """

    seed: Seed
    answers: list[str] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""


@dataclass
class Tested:
    """A task with its kept tests.

    Args:
        seed: The task.
        answer: A program that passes the tests: the reference, or one of the answers.
        cases: The kept tests.
        written: How many tests could be read.
        votes: The smallest number of answers that passes a kept test; ``None`` if the reference decided.
        answers: The number of answers.
        killed: The number of mutants that the tests kill.
        mutants: The number of mutants.
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
        """The fraction of mutants killed; 0 if there are none."""
        return self.killed / self.mutants if self.mutants else 0.0


class Checker:
    """Runs programs against cases in the sandbox, and keeps the results.

    Args:
        sandbox: Runs the programs.
        work: Keeps the results.
        limits: The sandbox's limits, which are part of a result's key.
    """

    def __init__(self, sandbox: Sandbox, work: WorkFile, limits: dict[str, Any]) -> None:
        self._sandbox = sandbox
        self._work = work
        self._limits = limits

    def held_by_task(
        self, tasks: Sequence[tuple[Seed, list[str], list[dict[str, Any]]]], each: bool = True
    ) -> list[list[list[bool]]]:
        """Return for each task (seed, programs, cases) and each of its programs which cases hold, as :meth:`held`."""
        flat = [(program, str(seed.entry_point), cases) for seed, programs, cases in tasks for program in programs]
        held = iter(self.held(flat, each))
        return [list(islice(held, len(programs))) for _, programs, _ in tasks]

    def held(self, programs: Sequence[Program], each: bool = True) -> list[list[bool]]:
        """Return for each program which of its cases hold.

        Args:
            programs: The programs to run.
            each: Whether to judge each case; otherwise all cases count as failed if one does.
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
        # If some hold and some do not, each is run by itself to find out which.
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
    """Return for each material the task with its tests, or why it has none.

    Args:
        materials: Tasks with answers and cases.
        checker: Runs the programs.
        fewest: Fewest tests of a task.
        limit: Most mutants of a task.
    """
    voters = [_voters(material) for material in materials]
    held = checker.held_by_task(
        [(material.seed, programs, material.cases) for material, programs in zip(materials, voters, strict=True)]
    )
    chosen = [
        _choose(material, list(zip(programs, results, strict=True)), fewest)
        for material, programs, results in zip(materials, voters, held, strict=True)
    ]
    _measure([tested for tested in chosen if isinstance(tested, Tested)], checker, limit)
    return chosen


def _voters(material: Material) -> list[str]:
    """Return the programs that decide which tests are kept."""
    if material.failed:
        return []
    return [material.seed.reference] if material.seed.reference is not None else material.answers


def _choose(material: Material, judged: list[tuple[str, list[bool]]], fewest: int) -> Tested | str:
    if material.failed:
        return material.failed
    votes = [sum(held[index] for _, held in judged) for index in range(len(material.cases))]
    kept = [index for index, count in enumerate(votes) if 2 * count > len(judged)]
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
        votes=None if material.seed.reference is not None else min(votes[index] for index in kept),
        answers=len(judged),
    )


def _measure(tested: list[Tested], checker: Checker, limit: int) -> None:
    """Count how many mutants of each answer its tests kill."""
    faulty = [_mutants(item.answer, limit) for item in tested]
    tasks = [(item.seed, programs, item.cases) for item, programs in zip(tested, faulty, strict=True)]
    for item, held in zip(tested, checker.held_by_task(tasks, each=False), strict=True):
        item.mutants = len(held)
        item.killed = sum(not all(results) for results in held)


def _mutants(code: str, limit: int) -> list[str]:
    try:
        return mutants(code, limit)
    except RecursionError:  # nested too deep: nothing is known of the tests' strength
        return []

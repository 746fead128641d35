"""The steps of an evolution, batch by batch and generation by generation, in a fixed order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rrtf_trl.chat import ask_concurrently
from rrtf_trl.files.atomic import write_whole
from rrtf_trl.records import to_json
from rrtf_trl.sandbox import Sandbox

from ..decontamination import Index
from .duplicates import NearDuplicates
from .evolve import Evolution
from .rules import eliminated
from .seeds import Seed, read_seeds
from .synthesis import Checker, Tested, choose_tests
from .work import WorkFile


@dataclass
class Summary:
    """What an evolution did.

    Args:
        seeds: Tasks to begin with.
        made: New tasks that the teacher made, or that were tested as they were.
        kept: Problems written.
        reasons: Why the others were eliminated, by the first words of the reason.
        killed: Mutants that the tests of the kept problems kill.
        mutants: How many there were.
        benchmarks: In which benchmarks the problems were looked for, and the sizes of these.
        missing: In which not, for want of their files, and what to do.
    """

    seeds: int = 0
    made: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    mutants: int = 0
    benchmarks: dict[str, int] = field(default_factory=dict)
    missing: str = ""


class Generations:
    """One run: batches of a generation through all steps, in order."""

    def __init__(
        self,
        evolution: Evolution,
        work: WorkFile,
        checker: Checker,
        kept: TextIO,
        rejected: TextIO,
        on_progress: Callable[[int], None],
    ) -> None:
        self.evolution = evolution
        self.work = work
        self.checker = checker
        self.duplicates = NearDuplicates(work, evolution.near_duplicate)
        self.summary = Summary()
        self._kept, self._rejected = kept, rejected
        self._on_progress = on_progress
        decontaminator = evolution.decontaminator
        self._benchmarks: Index | None = None if decontaminator is None else decontaminator.index()
        if self._benchmarks is not None:
            self.summary.benchmarks = dict(self._benchmarks.names)
            self.summary.missing = self._benchmarks.what_is_missing()
        self._position = 0

    def generation(self, generation: int, evolve: bool = True) -> None:
        """Take the tasks of the generation before through all steps."""
        self._position = 0
        for batch in _batches(self.work.tasks(max(generation - 1, 0)), self.evolution.batch_size):
            self._batch(batch, generation, evolve)
            self._on_progress(len(batch))

    def _batch(self, parents: list[Seed], generation: int, evolve: bool) -> None:
        client = self.evolution.client
        items = [(position, parent, generation, evolve) for position, parent in enumerate(parents)]
        made = sorted(ask_concurrently(client, self.evolution.make, items), key=lambda entry: entry[0])
        survivors: dict[int, Seed] = {}
        for position, child, method in made:
            self.summary.made += 1
            why = child if isinstance(child, str) else self._flaw(child, parents[position], evolve)
            if why is not None:
                self._eliminate(parents[position], child, method, why)
            elif isinstance(child, Seed):
                survivors[position] = child
        materials = sorted(
            ask_concurrently(client, self.evolution.test, survivors.items()), key=lambda entry: entry[0]
        )
        tested = choose_tests(
            [material for _, material in materials],
            self.checker,
            self.evolution.fewest_cases,
            self.evolution.mutants,
        )
        kept: dict[int, Seed] = {}
        for (position, material), outcome in zip(materials, tested, strict=True):
            why = self._keep(outcome)
            if why is None:
                kept[position] = material.seed
            else:
                self._eliminate(parents[position], material.seed, str(material.seed.method), why)
        for position, parent in enumerate(parents):
            self.work.add_task(generation + (not evolve), self._position, kept.get(position, parent))
            self._position += 1

    def _flaw(self, child: Seed, parent: Seed, evolve: bool) -> str | None:
        """Return why a new task is not used; one that may be is remembered."""
        if not evolve:
            return None
        if why := eliminated(child, parent):
            return why
        if twin := self.duplicates.find(child.task, child.root):
            return f"nearly the same as {twin}"
        self.duplicates.add(child.task_id, child.task)
        return None

    def _keep(self, outcome: Tested | str) -> str | None:
        """Write a tested task as a problem, or return why not."""
        if isinstance(outcome, str):
            return outcome
        if outcome.strength < self.evolution.min_strength:
            return f"weak tests: they kill {outcome.killed} of {outcome.mutants} mutants"
        problem = self.evolution.problem(outcome)
        if self._benchmarks is not None and (matches := self._benchmarks.matches(problem)):
            match = matches[0]
            return f"in a benchmark: {match.benchmark} {match.benchmark_task_id} by {match.kind}"
        self._kept.write(json.dumps(to_json(problem), ensure_ascii=False) + "\n")
        self.summary.kept += 1
        self.summary.killed += outcome.killed
        self.summary.mutants += outcome.mutants
        return None

    def _eliminate(self, parent: Seed, child: Seed | str, method: str, why: str) -> None:
        self.summary.reasons[why.split(":")[0].split(" as ")[0]] += 1
        row = {"task_id": parent.task_id, "generation": parent.generation + 1, "method": method, "reason": why}
        row["task"] = child.task if isinstance(child, Seed) else None
        self._rejected.write(json.dumps(row, ensure_ascii=False) + "\n")


def eliminated_file(out: Path) -> Path:
    """Return the file beside ``out`` that tells what was eliminated."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.eliminated.jsonl")


def _batches(seeds: Iterator[Seed], size: int) -> Iterator[list[Seed]]:
    batch: list[Seed] = []
    for seed in seeds:
        batch.append(seed)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def evolve(
    evolution: Evolution, tasks: str | Path, out: str | Path, on_progress: Callable[[int], None] = lambda _: None
) -> Summary:
    """Write problems to ``out``, and what was eliminated, and why, beside it as ``*.eliminated.jsonl``.

    Both files appear when all is done. Killed at any moment, the same call goes on: replies come from the
    client's cache, results of checks from a file beside ``out``, which is removed at the end.

    Args:
        evolution: How.
        tasks: File of tasks, see :func:`read_seeds`.
        out: File to write.
        on_progress: Called with how many more tasks are done.

    Raises:
        InputError: If the file cannot be read, before any work.
        ChatError: If the server cannot be used, or the budget is exhausted.
    """
    out = Path(out)
    with ExitStack() as stack:
        work = WorkFile(out.with_name(out.name + ".work.sqlite"))
        stack.callback(work.close)
        sandbox = stack.enter_context(
            Sandbox(
                workers=evolution.workers,
                timeout=evolution.limits["timeout"],
                memory_mb=int(evolution.limits["memory_mb"]),
            )
        )
        kept, rejected = (stack.enter_context(write_whole(path)) for path in (out, eliminated_file(out)))
        run = Generations(evolution, work, Checker(sandbox, work, evolution.limits), kept, rejected, on_progress)
        for position, seed in enumerate(read_seeds(tasks)):
            work.add_task(0, position, seed)
            run.duplicates.add(seed.task_id, seed.task)
            run.summary.seeds += 1
        if not evolution.generations:
            run.generation(0, evolve=False)
        for generation in range(1, evolution.generations + 1):
            run.generation(generation)
    work.remove()
    return run.summary

"""The steps of an evolution, batch by batch and generation by generation, in a fixed order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

from rrtf_trl.chat import ask_concurrently
from rrtf_trl.files.atomic import write_whole
from rrtf_trl.files.folder import json_line
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
    """The counts of an evolution.

    Args:
        seeds: Tasks of the file.
        made: Tasks that the teacher made, or that were tested as they were.
        kept: Problems written.
        reasons: Numbers of eliminated tasks, by the first words of the reason.
        killed: Mutants that the tests of the kept problems kill.
        mutants: Mutants of the kept problems.
        benchmarks: The sizes of the benchmarks in which the problems were looked for.
        missing: Which benchmarks have no file on this machine, and what to do.
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
    """One evolution: each generation's batches through all steps, in order."""

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
        """Take the tasks of the last generation through all steps."""
        self._position = 0
        tasks = self.work.tasks(max(generation - 1, 0))
        while batch := list(islice(tasks, self.evolution.batch_size)):
            self._batch(batch, generation, evolve)
            self._on_progress(len(batch))

    def _batch(self, parents: list[Seed], generation: int, evolve: bool) -> None:
        client = self.evolution.client
        items = [(position, parent, generation, evolve) for position, parent in enumerate(parents)]
        made = sorted(ask_concurrently(client, self.evolution.make, items), key=lambda entry: entry[0])
        survivors: dict[int, Seed] = {}
        for position, child, method in made:
            self.summary.made += 1
            reason = child if isinstance(child, str) else self._flaw(child, parents[position], evolve)
            if reason is not None:
                self._eliminate(parents[position], child, method, reason)
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
            reason = self._keep(outcome)
            if reason is None:
                kept[position] = material.seed
            else:
                self._eliminate(parents[position], material.seed, str(material.seed.method), reason)
        for position, parent in enumerate(parents):
            self.work.add_task(generation + (not evolve), self._position, kept.get(position, parent))
            self._position += 1

    def _flaw(self, child: Seed, parent: Seed, evolve: bool) -> str | None:
        """Return why a new task is eliminated; one that is not is added to the index of near-duplicates."""
        if not evolve:
            return None
        if reason := eliminated(child, parent):
            return reason
        if twin := self.duplicates.find(child.task, child.root):
            return f"nearly the same as {twin}"
        self.duplicates.add(child.task_id, child.task)
        return None

    def _keep(self, outcome: Tested | str) -> str | None:
        """Write a tested task as a problem, or return why it is eliminated."""
        if isinstance(outcome, str):
            return outcome
        if outcome.strength < self.evolution.min_strength:
            return f"weak tests: they kill {outcome.killed} of {outcome.mutants} mutants"
        problem = self.evolution.problem(outcome)
        if self._benchmarks is not None and (matches := self._benchmarks.matches(problem)):
            match = matches[0]
            return f"in a benchmark: {match.benchmark} {match.benchmark_task_id} by {match.kind}"
        self._kept.write(json_line(to_json(problem)))
        self.summary.kept += 1
        self.summary.killed += outcome.killed
        self.summary.mutants += outcome.mutants
        return None

    def _eliminate(self, parent: Seed, child: Seed | str, method: str, reason: str) -> None:
        self.summary.reasons[reason.split(":")[0].split(" as ")[0]] += 1
        row = {"task_id": parent.task_id, "generation": parent.generation + 1, "method": method, "reason": reason}
        self._rejected.write(json_line({**row, "task": child.task if isinstance(child, Seed) else None}))


def eliminated_file(out: Path) -> Path:
    """Return the path of the file of eliminated tasks, in the folder of ``out``."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.eliminated.jsonl")


def evolve(
    evolution: Evolution, tasks: str | Path, out: str | Path, on_progress: Callable[[int], None] = lambda _: None
) -> Summary:
    """Write problems to ``out``, and eliminated tasks with their reasons to ``*.eliminated.jsonl`` in the same folder.

    Both files appear at the end. If the process is killed, the same call continues its work: replies come from the
    client's cache, results of checks from a file next to ``out``, which is removed at the end.

    Args:
        evolution: The options.
        tasks: File of tasks, see :func:`read_seeds`.
        out: File to write.
        on_progress: Called with the number of tasks that were finished since the last call.

    Raises:
        InputError: If the file cannot be read; before any work.
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

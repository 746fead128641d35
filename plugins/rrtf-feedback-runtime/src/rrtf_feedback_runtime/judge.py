"""Judges passing candidates by the work and the memory of the tests' calls."""

from __future__ import annotations

import inspect
import math
import re
import statistics
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Literal, get_args

from rrtf_trl.feedback import UnitTests
from rrtf_trl.programs.assemble import called_name, whole_program
from rrtf_trl.records import AssertTests, Candidate, CaseTests, CheckTests, Judgement, Problem
from rrtf_trl.sandbox import Job, Sandbox

from . import harness

Measure = Literal["instructions", "time"]

_VERSION = 1  # raised when measurements change
_HARNESS = inspect.getsource(harness.measure)
_MEASURED = re.compile(r"'(\d+) (\d+)'")


class Runtime:
    """Prefers passing candidates that are fast and need little memory.

    A candidate is tested first; one that does not pass gets no score. Then the calls of its tests are run again
    in the sandbox, ``repeats`` times in separate processes, and the medians count. The score is
    ``-log2(work) - memory_weight * log2(peak memory in KiB)``.

    Args:
        measure: ``instructions`` counts the bytecode instructions that the candidate executes: reproducible, but a
            call into C counts as one. ``time`` is the median of five times, each divided by that of a reference loop,
            rounded to a third of a doubling.
        memory_weight: The cost of a doubling of memory; 0 ignores memory.
        repeats: How often a candidate is measured.
        timeout: Seconds of processor time that a measurement may take.
        memory_mb: Memory that one may take, in MiB.
        workers: Measurements at a time; by default one for each processor core.
        batch_size: Candidates that are tested, and then measured, together.

    Raises:
        ValueError: If an option is out of its range.
    """

    name = "runtime"

    def __init__(
        self,
        measure: Measure = "instructions",
        memory_weight: float = 0.25,
        repeats: int = 3,
        timeout: float = 10.0,
        memory_mb: int = 1024,
        workers: int | None = None,
        batch_size: int = 64,
    ) -> None:
        if measure not in get_args(Measure):
            raise ValueError(f"measure must be one of {', '.join(get_args(Measure))}, got {measure!r}")
        if memory_weight < 0:
            raise ValueError(f"memory_weight must not be negative, got {memory_weight}")
        if repeats < 1 or batch_size < 1:
            raise ValueError("repeats and batch_size must be at least 1")
        self.measure, self.memory_weight, self.repeats = measure, memory_weight, repeats
        self.timeout, self.memory_mb, self.workers, self.batch_size = timeout, memory_mb, workers, batch_size

    def identity(self) -> dict[str, Any]:
        """Return all options that decide a judgement, and the versions of the harness and of Python."""
        names = ("measure", "memory_weight", "repeats", "timeout", "memory_mb")
        options = {name: getattr(self, name) for name in names}
        return {"feedback": self.name, "version": _VERSION, "python": "{}.{}".format(*sys.version_info), **options}

    def check(self, problem: Problem) -> None:
        """Accept any problem; if its tests do not call a function, its candidates get no score."""

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each item, batch by batch."""
        tests = UnitTests(timeout=self.timeout, memory_mb=self.memory_mb, workers=self.workers)
        rows = iter(items)
        while batch := list(islice(rows, self.batch_size)):
            called = [item for item in batch if is_called(item[0])]
            passed = {j.candidate_id for j in tests.judge(called) if j.state == "passed"}
            measured = self._measured([item for item in called if item[1].candidate_id in passed])
            for problem, candidate in batch:
                found = measured.get(candidate.candidate_id)
                if isinstance(found, tuple):
                    yield self._judgement(candidate, *found)
                else:
                    not_calls = f"tests of kind {problem.tests.kind} do not call a function"
                    why = found or ("it does not pass its tests" if is_called(problem) else not_calls)
                    yield Judgement(candidate.candidate_id, self.name, None, None, {"abstained": why})

    def _measured(self, items: list[tuple[Problem, Candidate]]) -> dict[str, tuple[float, float] | str]:
        """Return the medians of work and of peak bytes of each candidate, or why there are none."""
        works: dict[str, list[tuple[int, int]]] = {}
        failed: dict[str, str] = {}
        jobs = (self._job(*item) for _ in range(self.repeats) for item in items)
        with Sandbox(workers=self.workers, timeout=self.timeout, memory_mb=self.memory_mb) as sandbox:
            for outcome in sandbox.run_many(jobs):
                if match := _MEASURED.fullmatch(outcome.got or ""):
                    works.setdefault(outcome.job_id, []).append((int(match.group(1)), int(match.group(2))))
                else:
                    failed[outcome.job_id] = f"it could not be measured: {outcome.state}"
        medians = {
            job_id: (statistics.median(work for work, _ in pairs), statistics.median(peak for _, peak in pairs))
            for job_id, pairs in works.items()
        }
        return {**medians, **failed}

    def _job(self, problem: Problem, candidate: Candidate) -> Job:
        """Return a job whose program measures, and whose one test fails: its outcome's ``got`` is the measurement."""
        tests = problem.tests
        if isinstance(tests, CaseTests):
            body: Any = [{key: case[key] for key in ("args", "kwargs") if key in case} for case in tests.cases]
        elif isinstance(tests, AssertTests):
            body = "\n".join([tests.setup, *tests.asserts])
        else:
            assert isinstance(tests, CheckTests)
            body = tests.check
        arguments = [self.measure, whole_program(problem, candidate.code), called_name(problem), tests.kind, body]
        case = {"args": arguments, "expected": "what was measured"}
        return Job(candidate.candidate_id, _HARNESS, CaseTests([case]), entry_point=harness.measure.__name__)

    def _judgement(self, candidate: Candidate, work: float, peak: float) -> Judgement:
        steps = math.log2(max(work, 1))
        if self.measure == "time":
            steps = round(3 * steps) / 3
        kib = max(1, math.ceil(peak / 1024))
        score = -(steps + self.memory_weight * math.log2(kib))
        detail = {"instructions": int(work)} if self.measure == "instructions" else {"loops": round(work / 1e6, 3)}
        return Judgement(candidate.candidate_id, self.name, None, round(score, 6), {**detail, "peak_kib": kib})


def is_called(problem: Problem) -> bool:
    """Return whether a problem's tests call a function of the candidate."""
    return isinstance(problem.tests, CaseTests | CheckTests | AssertTests)

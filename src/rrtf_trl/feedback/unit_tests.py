"""Unit tests as feedback: the sandbox runs a candidate, and its score is the fraction of tests that it passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from rrtf_trl.errors import FeedbackError
from rrtf_trl.programs.assemble import called_name, defined_functions, whole_program
from rrtf_trl.records import Candidate, Judgement, Problem
from rrtf_trl.sandbox import Job, Outcome, Sandbox, SandboxBackend, SandboxUnavailable, check_job
from rrtf_trl.sandbox.pool import UNSAFE

JUDGE_VERSION = 3
"""Increased when the sandbox changes how it judges a program, so that stored judgements of before are not reused."""


class UnitTests:
    """Judges candidates by their problem's tests.

    The state is one of the paper's four (compile error, runtime error, partial, passed) or ``timeout``,
    ``memory``, ``refused``; the score is the fraction of tests passed.

    Args:
        timeout: Seconds of processor time that a candidate may use.
        memory_mb: Memory that a candidate may use, in MiB.
        workers: Candidates that run at a time; by default one for each processor core.
        allow_unsafe: Whether to run candidates on a machine that offers no isolation (see :mod:`rrtf_trl.sandbox`).
            The store keeps such judgements apart from isolated ones.
        decided_by: ``judge`` takes no word of a program's own objects: where such a word decided a test, a pass counts
            as ``refused``, with the score 0 (docs/sandbox.md, "Who decides").
        backend: Runs the jobs in place of a sandbox on this machine, for instance a plugin's on another one; it has
            its own limits, and those above do not count. Its outcomes must have the trust ``strict``.
    """

    name = "unit_tests"

    def __init__(
        self,
        timeout: float = 5.0,
        memory_mb: int = 1024,
        workers: int | None = None,
        allow_unsafe: bool = False,
        decided_by: Literal["any", "judge"] = "any",
        backend: SandboxBackend | None = None,
    ) -> None:
        self.timeout = timeout
        self.memory_mb = memory_mb
        self.workers = workers
        self.allow_unsafe = allow_unsafe
        self.decided_by = decided_by
        self.backend = backend

    def identity(self) -> dict[str, Any]:
        """Return the name, the judge's version, and the limits or the backend; also whether there is no isolation."""
        decisive: dict[str, Any] = {"timeout": self.timeout, "memory_mb": self.memory_mb}
        if self.backend is not None:
            decisive = {"executor": self.backend.identity()}  # the key's name in stores that exist
        elif self._unsafe:
            decisive |= UNSAFE
        if self.decided_by != "any":
            decisive["decided_by"] = self.decided_by
        return {"feedback": self.name, "judge": JUDGE_VERSION, **decisive}

    @cached_property
    def _unsafe(self) -> bool:
        """Whether candidates run without isolation; found once, so that all judgements are of the same kind."""
        return self.allow_unsafe and Sandbox(allow_unsafe=True).is_unsafe

    def check(self, problem: Problem) -> None:
        """Raise :class:`ValueError` if the sandbox cannot run the problem's tests."""
        check_job(job_for(problem, code="", job_id=problem.task_id))

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each item, as the jobs end.

        Raises:
            FeedbackError: If the sandbox cannot run here or failed on a candidate, or an outcome is not strict.
        """
        own = Sandbox(workers=self.workers, timeout=self.timeout, memory_mb=self.memory_mb, allow_unsafe=self._unsafe)
        try:
            with self.backend or own as backend:
                for outcome in backend.run_many(job_for(p, code=c.code, job_id=c.candidate_id) for p, c in items):
                    yield self._judgement(outcome)
        except SandboxUnavailable as error:
            raise FeedbackError(str(error)) from error

    def _judgement(self, outcome: Outcome) -> Judgement:
        state = outcome.state
        if state == "infrastructure":
            raise FeedbackError(f"the sandbox failed on candidate {outcome.job_id}: {outcome.message}")
        if outcome.trust != "strict":
            raise FeedbackError(
                f"candidate {outcome.job_id} was judged in its own process (trust: {outcome.trust}), where a program "
                "that cheats passes: such an outcome is no feedback to train on"
            )
        if state == "passed" and outcome.decided_by == "program" and self.decided_by == "judge":
            message = "a test was decided by the program's own objects or control flow, and decided_by is judge"
            outcome, state = replace(outcome, passed=0, message=message), "refused"
        return Judgement(
            candidate_id=outcome.job_id,
            feedback=self.name,
            state=state,
            score=outcome.passed / outcome.total if outcome.total else 0.0,
            detail=_detail(outcome),
        )


def _detail(outcome: Outcome) -> dict[str, Any]:
    """Return what a judgement keeps of an outcome, with the first failure if there is one."""
    detail = {"passed": outcome.passed, "total": outcome.total, "message": outcome.message, "tier": outcome.tier}
    if outcome.decided_by == "program":
        detail["decided_by"] = "program"
    failure = {name: getattr(outcome, name) for name in ("test", "test_index", "expected", "got", "exception")}
    return detail | {name: value for name, value in failure.items() if value is not None}


def job_for(problem: Problem, *, code: str, job_id: str, trust: Literal["strict", "weak"] = "strict") -> Job:
    """Return the sandbox job that runs ``code`` against a problem's tests.

    The reference is passed as trusted context. Of its functions, tests get those that the problem itself defines.
    """
    return Job(
        job_id=job_id,
        code=whole_program(problem, code),
        tests=problem.tests,
        entry_point=called_name(problem),
        context=whole_program(problem, problem.reference) if problem.reference else "",
        trust=trust,
        helpers=defined_functions(problem) if problem.reference else (),
    )

"""Unit tests as feedback: run the candidate in the sandbox, and score it by the tests that it passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Literal

from rrtf_trl.errors import FeedbackError
from rrtf_trl.programs.assemble import called_name, whole_program
from rrtf_trl.records import Candidate, Judgement, Problem
from rrtf_trl.sandbox import Job, Outcome, Sandbox, SandboxBackend, SandboxUnavailable, check_job
from rrtf_trl.sandbox.pool import UNSAFE

JUDGE_VERSION = 2
"""Raised when the sandbox comes to judge a program otherwise than before, so that no old verdict is taken for its."""


class UnitTests:
    """Judges candidates by their problem's tests.

    The state is one of the paper's four (compile error, runtime error, partial, passed) or ``timeout``,
    ``memory``, ``refused``; the score is the fraction of tests passed.

    Args:
        timeout: Seconds of processor time a candidate may take.
        memory_mb: Memory a candidate may take, in MiB.
        workers: Checks at a time; by default one a processor core.
        allow_unsafe: Whether to run candidates on a machine that offers no isolation (see :mod:`rrtf_trl.sandbox`).
            Verdicts of such runs are kept apart from those of others.
        backend: What judges in place of a sandbox on this machine, for instance a plugin's that sends jobs
            elsewhere; the limits above are then its own affair. Its verdicts must be ``strict``.
    """

    name = "unit_tests"

    def __init__(
        self,
        timeout: float = 5.0,
        memory_mb: int = 1024,
        workers: int | None = None,
        allow_unsafe: bool = False,
        backend: SandboxBackend | None = None,
    ) -> None:
        self.timeout = timeout
        self.memory_mb = memory_mb
        self.workers = workers
        self.allow_unsafe = allow_unsafe
        self.backend = backend

    def identity(self) -> dict[str, Any]:
        """Return the source's name, the version of the judge, and the limits or else the backend that has its own.

        Where candidates run without isolation, it says so.
        """
        decisive: dict[str, Any] = {"timeout": self.timeout, "memory_mb": self.memory_mb}
        if self.backend is not None:
            decisive = {"executor": self.backend.identity()}  # the key's name is that of verdicts stored already
        elif self._unsafe:
            decisive |= UNSAFE
        return {"feedback": self.name, "judge": JUDGE_VERSION, **decisive}

    @cached_property
    def _unsafe(self) -> bool:
        """Whether candidates run without isolation: decided once, so that all verdicts are of the same kind."""
        return self.allow_unsafe and Sandbox(allow_unsafe=True).is_unsafe

    def check(self, problem: Problem) -> None:
        """Raise :class:`ValueError` if the sandbox does not run tests of this kind."""
        check_job(job_for(problem, code="", job_id=problem.task_id))

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each item, as the checks end.

        Raises:
            FeedbackError: If the sandbox itself failed on a candidate, after its own retries, or cannot run here.
        """
        own = Sandbox(workers=self.workers, timeout=self.timeout, memory_mb=self.memory_mb, allow_unsafe=self._unsafe)
        try:
            with self.backend or own as backend:
                for outcome in backend.run_many(job_for(p, code=c.code, job_id=c.candidate_id) for p, c in items):
                    yield self._judgement(outcome)
        except SandboxUnavailable as error:
            raise FeedbackError(str(error)) from error

    def _judgement(self, outcome: Outcome) -> Judgement:
        if outcome.state == "infrastructure":
            raise FeedbackError(f"the sandbox failed on candidate {outcome.job_id}: {outcome.message}")
        if outcome.trust != "strict":
            raise FeedbackError(
                f"candidate {outcome.job_id} was judged in its own process (trust: {outcome.trust}), where a program "
                "that cheats passes: such a verdict is no feedback to train on"
            )
        return Judgement(
            candidate_id=outcome.job_id,
            feedback=self.name,
            state=outcome.state,
            score=outcome.passed / outcome.total if outcome.total else 0.0,
            detail=_detail(outcome),
        )


def _detail(outcome: Outcome) -> dict[str, Any]:
    """What a judgement keeps of an outcome: what is known of the first failure is there only where there is one."""
    always = {"passed": outcome.passed, "total": outcome.total, "message": outcome.message, "tier": outcome.tier}
    failure = {name: getattr(outcome, name) for name in ("test", "test_index", "expected", "got", "exception")}
    return always | {name: value for name, value in failure.items() if value is not None}


def job_for(problem: Problem, *, code: str, job_id: str, trust: Literal["strict", "weak"] = "strict") -> Job:
    """Return the sandbox job that runs ``code`` against a problem's tests.

    The reference goes along as trusted context: HumanEval's tests call helpers that stand in the prompt.
    """
    return Job(
        job_id=job_id,
        code=whole_program(problem, code),
        tests=problem.tests,
        entry_point=called_name(problem),
        context=whole_program(problem, problem.reference) if problem.reference else "",
        trust=trust,
    )

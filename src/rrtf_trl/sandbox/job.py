"""Jobs and outcomes, in memory and as JSON, which is the protocol of other backends: see :class:`SandboxBackend`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Protocol

from rrtf_trl import forms, records

from .common import codec

OutcomeState = Literal[records.State, "infrastructure"]
"""A state of the records, or ``infrastructure``: the tests' failure or the sandbox's, never scored."""
Trust = Literal["strict", "weak"]
"""Whether the judge ran the tests (``strict``), or the program's own process did (``weak``)."""

_Count = Annotated[int, forms.Must("a number of tests", ge=0)]


@dataclass(frozen=True)
class Job:
    """One program and the tests it should pass.

    Args:
        job_id: Copied to the outcome; the sandbox does not interpret it.
        code: The untrusted program, complete.
        tests: Any kind of :mod:`rrtf_trl.records`.
        entry_point: The function or class that ``check`` and ``cases`` call; optional for ``asserts``, unused for
            ``stdio`` and ``pytest``.
        context: Trusted code with the reference; for HumanEval after the prompt. It must never come from a candidate.
            Its imports and ``helpers`` are there for the tests. Where a program fails because its answers are
            objects, the reference is run to learn whether the tests expect them.
        helpers: Names of functions that the tests take from ``context``, and not from the program: those that the
            problem's prompt defines.
        trust: ``weak`` runs the tests in the program's own process, for tests that cannot be run otherwise.
            A program that cheats passes them: never train on such an outcome.
    """

    job_id: str
    code: str
    tests: records.Tests
    entry_point: str | None = None
    context: str = ""
    trust: Trust = "strict"
    helpers: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON data.

        Raises:
            ValueError: If cases hold values that JSON cannot hold (tuples, sets, bytes).
        """
        row = {**vars(self), "tests": records.to_json(self.tests), "helpers": list(self.helpers)}
        if json.loads(json.dumps(row, default=repr)) != row:
            raise ValueError(f"job {self.job_id}: its tests hold values that JSON cannot hold")
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Job:
        """Build a job from its JSON form; raises :class:`rrtf_trl.records.RecordError` naming the field."""
        forms.check(cls, row, utf8=False)
        helpers = tuple(row.get("helpers", ()))
        return cls(**{**row, "tests": records.build_tests(row["tests"]), "helpers": helpers})


@dataclass(frozen=True)
class Outcome:
    """The result of one job.

    Args:
        job_id: Of the job.
        state: See :mod:`rrtf_trl.sandbox.judge.results`; ``infrastructure`` is no statement about the program.
        passed: How many tests passed; a ``check`` is one test.
        total: How many tests there are.
        message: The first failure: which test, the call and its answer, the exception. Empty where all
            passed.
        seconds: Wall time of the judging.
        isolation: The isolation layers in force, for instance ``namespaces+landlock7+seccomp+nobody+rlimits``.
        tier: Which of them were in force: ``full``, ``no-landlock``, ``no-namespaces`` or ``unsafe``.
        trust: ``weak`` where the program's own process ran the tests.
        test: The test that failed first; None where none did, or the program did not load.
        test_index: Its index, from 0; None for a ``check`` and for pytest files.
        expected: The value that it expected, where that is known.
        got: The value that it got instead.
        exception: The type of the exception that ended this test, or the program before any test; empty where its
            process ended without one, None where the program answered.
        decided_by: ``program`` where objects of the program, or a loop or ``try`` that it controls, decided a test
            that passed; ``judge`` where only values did that the judge compared.
    """

    job_id: str
    state: OutcomeState
    passed: _Count
    total: _Count
    message: str
    seconds: float
    isolation: str
    tier: str = "unsafe"
    trust: Trust = "strict"
    test: str | None = None
    test_index: int | None = None
    expected: str | None = None
    got: str | None = None
    exception: str | None = None
    decided_by: Literal["judge", "program"] = "judge"

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON data."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Outcome:
        """Build an outcome from its JSON form; raises :class:`rrtf_trl.records.RecordError` naming the field."""
        forms.check(cls, row, utf8=False)
        outcome = cls(**row)
        if outcome.state == "passed" and not outcome.passed == outcome.total > 0:
            raise forms.field_error("passed", "all tests, where the state is passed", outcome.passed)
        return outcome


class SandboxBackend(Protocol):
    """What judges jobs: :class:`.pool.Sandbox` here, or a plugin that sends them elsewhere.

    A backend is used in a ``with`` statement. It yields exactly one outcome for each job, in any order, and reads
    jobs as it becomes free. It tries again by itself where it could not judge a job; the state is
    ``infrastructure`` only where that failed too.
    """

    def identity(self) -> dict[str, Any]:
        """Return all that decides an outcome, as plain JSON: the kind of backend, its version, its limits."""

    def __enter__(self) -> SandboxBackend:
        """Start what judges."""

    def __exit__(self, *error: Any) -> None:
        """Free all resources."""

    def run_many(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Judge jobs; yield an outcome for each."""


def check_job(job: Job) -> None:
    """Raise :class:`ValueError`, without running anything, for a job that :meth:`.Sandbox.run_many` would refuse."""
    suite_body(job)


def suite_body(job: Job) -> bytes:
    """Return a job without its program, as it is sent to a worker; raises :class:`ValueError` as :func:`check_job`."""
    tests = job.tests
    where = f"job {job.job_id}"
    if isinstance(tests, records.PytestTests) and find_spec("pytest") is None:
        raise ValueError(f"{where}: tests of kind 'pytest' need pytest (pip install pytest)")
    if isinstance(tests, records.CheckTests | records.CaseTests) and not job.entry_point:
        raise ValueError(f"{where}: tests of kind {tests.kind!r} need an entry_point")
    if isinstance(tests, records.StdioTests) and job.trust == "weak":
        raise ValueError(f"{where}: tests of kind 'stdio' are always strict; leave trust as it is")
    body = dict(vars(tests))
    if not all(body[name] for name in ("asserts", "cases", "stdio", "check", "files") if name in body):
        raise ValueError(f"{where}: there are no tests")
    row = {"kind": tests.kind, "tests": body, "entry_point": job.entry_point, "context": job.context}
    more = {"helpers": list(job.helpers), "trust": job.trust}
    try:
        return codec.encode({**row, **more})
    except codec.NotPlainData as error:
        raise ValueError(f"{where}: test data must be plain, but there is {error}") from None

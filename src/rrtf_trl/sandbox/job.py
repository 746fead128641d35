"""What goes into a sandbox and what comes out, in memory and as JSON.

The JSON is the protocol for backends elsewhere: see :class:`SandboxBackend`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Protocol

from rrtf_trl import forms, records

from .common import codec

OutcomeState = Literal[records.State, "infrastructure"]
"""A state of the records, or ``infrastructure``: our own failure, to be retried and never scored."""
Trust = Literal["strict", "weak"]
"""Whether the verdict is the judge's (``strict``), or was found in the program's own process (``weak``)."""

_Count = Annotated[int, forms.Must("a number of tests", ge=0)]


@dataclass(frozen=True)
class Job:
    """One program and the tests it should pass.

    Args:
        job_id: Comes back with the outcome; the sandbox gives it no meaning.
        code: The untrusted program, complete.
        tests: Any kind of :mod:`rrtf_trl.records`.
        entry_point: The function or class that ``check`` and ``cases`` call; optional for ``asserts``, unused for
            ``stdio`` and ``pytest``.
        context: Trusted code, executed on the judge's side before the tests; for HumanEval the prompt with
            the reference answer, since a few checks call the prompt's helpers. It must never come from the
            candidate. Where it defines the entry point, that is taken for a right answer: the tests are
            rehearsed with it, and what they will ask is learned from it.
        trust: ``weak`` runs the tests in the program's own process, for tests that cannot be run otherwise.
            A program that cheats passes them: never train on such a verdict.
    """

    job_id: str
    code: str
    tests: records.Tests
    entry_point: str | None = None
    context: str = ""
    trust: Trust = "strict"

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON data.

        Raises:
            ValueError: If cases hold values that JSON has no word for (tuples, sets, bytes).
        """
        row = {**_fields(self), "tests": records.to_json(self.tests)}
        if json.loads(json.dumps(row, default=repr)) != row:
            raise ValueError(f"job {self.job_id}: its tests hold values that JSON cannot")
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Job:
        """Build a job from its JSON form; raises :class:`rrtf_trl.records.RecordError` naming the field."""
        forms.check(cls, row, utf8=False)
        return cls(**{**row, "tests": records.build_tests(row["tests"])})


@dataclass(frozen=True)
class Outcome:
    """What happened to one job.

    Args:
        job_id: The job.
        state: See :mod:`rrtf_trl.sandbox.judge.verdicts`; ``infrastructure`` says nothing of the program.
        passed: How many tests passed; a ``check`` is one test.
        total: How many there are.
        message: The first failure: which test, the call and its answer, the exception. Empty where all
            passed.
        seconds: Wall time of the judging.
        isolation: The layers that held, for instance ``namespaces+landlock7+seccomp+nobody+rlimits``.
        tier: What they amount to: ``full``, ``no-landlock``, ``no-namespaces`` or ``unsafe``.
        trust: ``weak`` where the program's own process ran the tests.
        test: The test that failed first; None where none did, or the program did not load.
        test_index: Which of the tests it is, from 0; None for a ``check`` and for pytest files.
        expected: What it wanted, where that is known.
        got: What it got instead.
        exception: The type of the exception that ended this test, or the program before any; empty where its process
            ended otherwise, None where the program answered.
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

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON data."""
        return _fields(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Outcome:
        """Build an outcome from its JSON form; raises :class:`rrtf_trl.records.RecordError` naming the field."""
        forms.check(cls, row, utf8=False)
        outcome = cls(**row)
        if outcome.state == "passed" and not outcome.passed == outcome.total > 0:
            raise forms.wrong("passed", "all tests, where the state is passed", outcome.passed)
        return outcome


class SandboxBackend(Protocol):
    """What judges jobs: :class:`.pool.Sandbox` here, or a plugin that sends them elsewhere.

    A backend is used in a ``with`` statement. It gives exactly one outcome a job, in any order, and reads
    jobs as it has room for them. Where it could not judge a job it tries again by itself, and only then says
    ``infrastructure``.
    """

    def identity(self) -> dict[str, Any]:
        """Return what decides a verdict, as plain JSON: the kind of backend, its version, its limits."""

    def __enter__(self) -> SandboxBackend:
        """Get ready."""

    def __exit__(self, *error: Any) -> None:
        """Let go of what is held."""

    def run_many(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Judge jobs as they come."""


def check_job(job: Job) -> None:
    """Raise :class:`ValueError`, without running anything, for a job that :meth:`.Sandbox.run_many` would refuse."""
    suite_body(job)


def suite_body(job: Job) -> bytes:
    """What a job's problem is, apart from the program, as it goes to a worker; refuses one that cannot be judged."""
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
    try:
        return codec.encode({**row, "trust": job.trust})
    except codec.NotPlainData as error:
        raise ValueError(f"{where}: test data must be plain, but there is {error}") from None


def _fields(record: Any) -> dict[str, Any]:
    return {item.name: getattr(record, item.name) for item in dataclasses.fields(record)}

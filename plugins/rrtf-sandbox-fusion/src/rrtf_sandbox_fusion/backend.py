"""Runs sandbox jobs on a SandboxFusion server."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Literal, NamedTuple

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, StdioTests
from rrtf_trl.sandbox import Job, Outcome, OutcomeState
from rrtf_trl.sandbox.common.compare import first_difference, same

from . import programs
from .client import Client, NotAnswered, Ran

_VERSION = 1  # raised when outcomes change
_COMPILE_ERRORS = ("SyntaxError", "IndentationError", "TabError")


class _Failure(NamedTuple):
    """The first failure: its message, the case, and the exception's name."""

    message: str = ""
    case: int | None = None
    exception: str | None = None


class SandboxFusion:
    """An :class:`rrtf_trl.sandbox.SandboxBackend` that runs the programs with SandboxFusion's ``/run_code``.

    The results of calls, simple asserts and whole programs are compared on this machine: ``strict`` outcomes. Other
    tests run on the server in the program's own process: ``weak`` outcomes, which ``unit_tests`` refuses.

    Args:
        url: The server's address.
        concurrency: Requests at a time.
        timeout: Seconds that a program may run, for each request.
        memory_mb: Memory that it may take, in MiB.
        retries: Tries after an error of the server; the outcome after that is ``infrastructure``.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(
        self, url: str, concurrency: int = 16, timeout: float = 10.0, memory_mb: int = 1024, retries: int = 4
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url must begin with http:// or https://, got {url!r}")
        if concurrency < 1 or retries < 0:
            raise ValueError("concurrency must be at least 1, and retries not negative")
        if timeout <= 0:
            raise ValueError(f"timeout must be positive, got {timeout}")
        self.concurrency = concurrency
        self.client = Client(url, timeout, memory_mb, retries)

    def identity(self) -> dict[str, Any]:
        """Return the name, the version and the limits; all servers count as equal."""
        limits = {"timeout": self.client.timeout, "memory_mb": self.client.memory_mb}
        return {"executor": "sandboxfusion", "version": _VERSION, **limits}

    def __enter__(self) -> SandboxFusion:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def run_many(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Yield one outcome for each job, as they finish; at most twice ``concurrency`` jobs are read ahead."""
        source = iter(jobs)
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="sandboxfusion")
        pending: set[Future[Outcome]] = set()
        try:
            while True:
                free = 2 * self.concurrency - len(pending)
                pending |= {pool.submit(self.judge, job) for job in itertools.islice(source, free)}
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def judge(self, job: Job) -> Outcome:
        """Return the outcome of one job."""
        tests = job.tests
        if isinstance(tests, AssertTests):
            tests = programs.as_cases(tests, job.entry_point) or tests
        try:
            if isinstance(tests, CaseTests):
                return self._calls(job, tests)
            if isinstance(tests, StdioTests):
                return self._programs(job, tests)
            if isinstance(tests, CheckTests | AssertTests):
                return self._in_process(job)
        except NotAnswered as error:
            return self._outcome(job, "infrastructure", 0, 0, str(error), 0.0)
        raise ValueError(f"job {job.job_id}: SandboxFusion cannot run tests of kind {tests.kind!r}")

    # -- Kinds of tests ----------------------------------------------------------------------------------

    def _calls(self, job: Job, tests: CaseTests) -> Outcome:
        program, stdin, mark = programs.called(job, tests)
        ran = self.client.run(program, stdin)
        found, total = programs.answers_in(ran.stdout, mark), len(tests.cases)
        if not isinstance(found, dict):
            return self._outcome(job, _ending(ran), 0, total, ran.stderr[-300:], ran.seconds)
        if "compile_error" in found:
            return self._outcome(job, "compile_error", 0, total, str(found["compile_error"])[:500], ran.seconds)
        if "load_error" in found:
            return self._outcome(job, "runtime_error", 0, total, str(found["load_error"])[:500], ran.seconds)
        answers = found.get("answers")
        if not isinstance(answers, list) or len(answers) != total:
            return self._outcome(job, "refused", 0, total, "it printed something other than its answers", ran.seconds)
        passed, first, raised = 0, _Failure(), False
        for number, (case, answer) in enumerate(zip(tests.cases, answers, strict=True)):
            wrong = _wrong(case["expected"], answer, tests.atol)
            passed += not wrong
            if wrong and not first.message:
                name = wrong.partition(":")[0] if isinstance(answer, str) else None
                first = _Failure(f"case {number}: {wrong}", number, name)
            raised |= isinstance(answer, str)
        state: OutcomeState = "passed" if passed == total else "runtime_error" if raised and not passed else "partial"
        return self._outcome(job, state, passed, total, first, ran.seconds)

    def _programs(self, job: Job, tests: StdioTests) -> Outcome:
        passed, seconds, first = 0, 0.0, _Failure()
        state: OutcomeState = "passed"
        for number, case in enumerate(tests.stdio):
            ran = self.client.run(job.code, case["input"])
            seconds += ran.seconds
            wrong = first_difference(
                ran.stdout.encode(), case["output"].encode(), tests.ignore_trailing_blanks, tests.float_tolerance
            )
            if ran.status == "Finished" and not ran.code and not wrong:
                passed += 1
                continue
            if not first.message:
                state = "partial" if ran.status == "Finished" and not ran.code else _ending(ran)
                if state == "partial":
                    first = _Failure(f"case {number}: {wrong}", number)
                else:
                    last = ran.stderr.strip().rpartition("\n")[2].partition(":")[0]
                    name = last if last.isidentifier() else ""
                    first = _Failure(f"case {number}: {ran.stderr[-300:]}", number, name)
            if state in ("compile_error", "timeout"):
                break
        return self._outcome(job, state, passed, len(tests.stdio), first, seconds)

    def _in_process(self, job: Job) -> Outcome:
        program, mark = programs.with_tests(job)
        ran = self.client.run(program)
        if ran.status == "Finished" and mark in ran.stdout:
            return self._outcome(job, "passed", 1, 1, "", ran.seconds, "weak")
        failed = "AssertionError" in ran.stderr
        state: OutcomeState = "partial" if failed else _ending(ran)
        return self._outcome(job, state, 0, 1, ran.stderr[-300:], ran.seconds, "weak")

    def _outcome(
        self,
        job: Job,
        state: OutcomeState,
        passed: int,
        total: int,
        first: str | _Failure,
        seconds: float,
        trust: Literal["strict", "weak"] = "strict",
    ) -> Outcome:
        failure = first if isinstance(first, _Failure) else _Failure(first)
        return Outcome(
            job.job_id,
            state,
            passed,
            total,
            failure.message,
            seconds,
            isolation=f"sandboxfusion {self.client.url}",
            tier="full",
            trust=trust,
            test=None if failure.case is None else f"case {failure.case}",
            test_index=failure.case,
            exception=failure.exception,
        )


def _wrong(expected: Any, answer: Any, atol: float) -> str:
    """Return what is wrong with an answer; empty if it is right."""
    if isinstance(answer, str):
        return answer
    try:
        [value] = answer
        value = programs.untagged(value)
    except (ValueError, TypeError, RecursionError):
        return "an answer of the wrong shape"
    return "" if same(expected, value, atol) else f"returned {str(value)[:200]}; expected {str(expected)[:200]}"


def _ending(ran: Ran) -> OutcomeState:
    if ran.status == "TimeLimitExceeded":
        return "timeout"
    last = ran.stderr.strip().rpartition("\n")[2]
    if last.startswith("MemoryError"):
        return "memory"
    return "compile_error" if last.startswith(_COMPILE_ERRORS) else "runtime_error"

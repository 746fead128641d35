"""What becomes of a job after each attempt at it: an outcome, another attempt, or first a canary in its place.

Whatever a program does is the program's failure. Where the sandbox itself fails at a program, a *canary* is judged
right after, by the same tests: a harmless program, see :func:`.worker.canary_of`. Only where that fails too is the
state ``infrastructure``.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from .job import Job, Outcome

_DEATHS, _CRASHES = 5, 2
"""How often a job may end its worker before a canary is judged: by a signal that others send, or by one that the
worker's own work causes."""
_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_BECAUSE = "with this program, and not with a harmless one"


@dataclass(frozen=True)
class Failure:
    """That the sandbox failed at a job.

    Args:
        text: How, for people.
        attempts: How often a job may meet such a failure before a canary is judged.
        hangs: Whether the worker was still busy long after the program's time was up.
    """

    text: str
    attempts: int = 1
    hangs: bool = False


def failure_of(status: int, hangs: bool) -> Failure:
    """Return how the sandbox failed where a worker hung, or ended with this status, minus a signal's number."""
    if hangs:
        return Failure("the tests did not end in time", hangs=True)
    if status >= 0 or -status in _FROM_OUTSIDE:
        return Failure(f"the judge ended {_DEATHS} times", _DEATHS)
    return Failure(f"the judge was ended by {signal.Signals(-status).name}", _CRASHES)


@dataclass
class Pending:
    """A job without an outcome yet.

    Args:
        job: The job.
        suite: The number of its problem.
        body: The problem, as it is sent to each worker once.
        failures: How often the sandbox failed at it, or then at the canary.
        second_try: Whether it ran out of wall time once, and is run while less else runs.
        canary_for: Set while a canary is judged in place of the program: how the sandbox failed at that.
    """

    job: Job
    suite: int
    body: bytes
    failures: int = 0
    second_try: bool = False
    canary_for: Failure | None = None


class Attempts:
    """Decides what becomes of jobs.

    Args:
        broken: By a problem's number, what is wrong with its tests, whatever the program.

    Attributes:
        queue: Jobs for the next free worker, the last one first.
        later: Jobs that ran out of wall time, perhaps since others used the processors: for their second try.
    """

    def __init__(self, broken: dict[int, str]) -> None:
        self.queue: list[Pending] = []
        self.later: list[Pending] = []
        self.broken = broken

    def judged(self, pending: Pending, row: dict[str, Any]) -> Outcome | None:
        """Return the outcome of a job of which a worker sent this row; None where it has none yet."""
        notes = row.pop("notes")
        if notes["failure"]:  # after several attempts
            return self.failed(pending, Failure(f"the judge failed: {notes['failure']}"), row)
        if notes["broken_tests"]:
            self.broken[pending.suite] = row["message"]
        elif pending.canary_for is not None:
            state = "timeout" if pending.canary_for.hangs else "refused"
            return _outcome(pending, row, state, f"{pending.canary_for.text} ({_BECAUSE})")
        elif notes["second_try"] and not pending.second_try:
            self.try_later(pending)
            return None
        return Outcome(job_id=pending.job.job_id, trust=pending.job.trust, **row)

    def try_later(self, pending: Pending) -> None:
        """Have a job tried once more, while less else runs."""
        pending.second_try = True
        self.later.append(pending)

    def failed(self, pending: Pending, failure: Failure, row: dict[str, Any]) -> Outcome | None:
        """Return the outcome of a job at which the sandbox failed; None where it has none yet.

        Args:
            pending: The job.
            failure: How it failed.
            row: What is known of an outcome: the isolation at least.
        """
        pending.failures += 1
        if pending.failures < failure.attempts:
            self.queue.append(pending)
        elif pending.canary_for is None:
            pending.canary_for, pending.failures = failure, 0
            self.queue.append(pending)
        else:
            text = f"{pending.canary_for.text} (with a harmless program too)"
            if failure.hangs:
                self.broken[pending.suite] = text
            return _outcome(pending, {**row, "total": 0}, "infrastructure", text)
        return None


def _outcome(pending: Pending, row: dict[str, Any], state: str, message: str) -> Outcome:
    fields: dict[str, Any] = {name: row[name] for name in ("total", "seconds", "tier", "isolation") if name in row}
    fields = {"passed": 0, "total": 1, **fields, "state": state, "message": message}
    return Outcome(job_id=pending.job.job_id, trust=pending.job.trust, **fields)

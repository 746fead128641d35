"""Read the problems of a file or a hub's data set.

A row that cannot be read is refused by file, line and field, and the whole file is read before any work starts, so
that a bad last line costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rrtf_trl.errors import InputError
from rrtf_trl.files.rows import read_rows
from rrtf_trl.records import Problem, RecordError

from .contests import NoTests
from .formats import problem_from_row
from .prompts import PromptForm, render_prompt


class ProblemFile:
    """The problems of one file, in its order.

    Args:
        path: The file: ``.jsonl``, ``.json`` or ``.parquet``; or ``hub:NAME`` for a data set of a hub.
        limit: Take only this many, from the start.
        prompt_form: How the prompt is put to a model, see :func:`~rrtf_trl.problems.prompts.render_prompt`.
        task_range: Take only tasks whose number, at the end of ``task_id``, is within these two, both included.
        since: Take only problems of this date (``2024-07-01``) or later, where the set has dates.
        until: Take only problems of this date or earlier.
        subset: Of a hub's data set, where it has several.
        split: Of a hub's data set; ``test`` by default.

    Raises:
        InputError: On iteration, before the first problem is handed out, if any row cannot be read, a
            ``task_id`` stands twice, or the file has no problem.
    """

    def __init__(
        self,
        path: str | Path,
        limit: int | None = None,
        prompt_form: PromptForm = "as_is",
        task_range: Sequence[int] | None = None,
        since: str | None = None,
        until: str | None = None,
        subset: str | None = None,
        split: str | None = None,
    ) -> None:
        if task_range is not None and len(task_range) != 2:
            raise InputError(f"task_range: expected the first and the last number, got {list(task_range)}")
        self.path = path
        self.limit = limit
        self.prompt_form = prompt_form
        self.task_range = task_range
        self.since, self.until = str(since or ""), str(until or "")
        self.subset, self.split = subset, split
        self.without_tests: list[str] = []

    def __iter__(self) -> Iterator[Problem]:
        """Check every row, then yield the problems."""
        for _ in self._read():
            pass
        yield from self.once()

    def once(self) -> Iterator[Problem]:
        """Yield the problems as they are read; what is wrong with a later row is told only then."""
        for index, problem in enumerate(self._read()):
            if self.limit is not None and index >= self.limit:
                return
            yield problem

    def _read(self) -> Iterator[Problem]:
        seen: dict[str, str] = {}
        self.without_tests = []
        chosen = 0
        for where, row in read_rows(self.path, self.subset, self.split):
            try:
                problem = render_prompt(problem_from_row(row), self.prompt_form)
                if not self._wanted(problem):
                    continue
            except NoTests as error:
                self.without_tests.append(str(error))
                continue
            except RecordError as error:
                raise InputError(f"{where}: {error}") from None
            if problem.task_id in seen:
                first = seen[problem.task_id]
                raise InputError(f"{where}: field task_id: {problem.task_id!r} stands on {_place(first)} too")
            seen[problem.task_id] = where
            chosen += 1
            yield problem
        if not chosen:
            why = " that is asked for" if seen or self.task_range or self.since or self.until else ""
            raise InputError(f"{self.path}: no problems in this file{why}")

    def _wanted(self, problem: Problem) -> bool:
        if self.task_range is not None:
            number = problem.task_id.rpartition("/")[2]
            if not number.isdigit():
                raise RecordError(f"field task_id: task_range needs a number at its end, got {problem.task_id!r}")
            if not self.task_range[0] <= int(number) <= self.task_range[1]:
                return False
        if self.since or self.until:
            date = str(problem.metadata.get("date", ""))[:10]
            if not date:
                raise RecordError(f"{problem.task_id} has no date, by which since and until could choose")
            return (not self.since or date >= self.since) and (not self.until or date <= self.until)
        return True


def _place(where: str) -> str:
    """``line 3`` for ``file.jsonl:3``, ``row 3`` for ``file.json: row 3``."""
    last = where.rpartition(":")[2].strip()
    return f"line {last}" if last.isdigit() else last

"""Read the problems of a file or of a hub's data set.

An error names the file, line and field. The whole file is checked before the first problem is yielded, so that a bad
last line wastes no work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrtf_trl.errors import InputError
from rrtf_trl.files.rows import read_rows
from rrtf_trl.records import Problem, RecordError

from .contests import NoTests
from .formats import problem_from_row
from .prompts import PromptForm, render_prompt


@dataclass(eq=False)
class ProblemFile:
    """The problems of one file, in its order.

    Args:
        path: The file: ``.jsonl``, ``.json`` or ``.parquet``; or ``hub:NAME`` for a data set of a hub.
        limit: Read at most this many problems, from the start.
        prompt_form: The form of the prompt, see :func:`~rrtf_trl.problems.prompts.render_prompt`.
        task_range: Keep only tasks whose number, at the end of ``task_id``, is between these two, both included.
        since: Keep only problems of this date (``2024-07-01``) or later; every problem must then have a date.
        until: Keep only problems of this date or earlier.
        subset: Of a hub's data set, where it has several.
        split: Of a hub's data set; ``test`` by default.
        system_prompt: A system message to come before prompts that are chat messages.

    Raises:
        InputError: On iteration, before the first problem is yielded, if a row cannot be read, a ``task_id`` occurs
            twice, or no problem is left.
    """

    path: str | Path
    limit: int | None = None
    prompt_form: PromptForm = "as_is"
    task_range: Sequence[int] | None = None
    since: str | None = None
    until: str | None = None
    subset: str | None = None
    split: str | None = None
    system_prompt: str | None = None

    def __post_init__(self) -> None:
        self.without_tests: list[str] = []
        self.places: dict[str, str] = {}
        """The file and line of each problem that was read, for messages."""
        if self.task_range is not None and len(self.task_range) != 2:
            raise InputError(f"task_range: expected the first and the last number, got {list(self.task_range)}")
        if self.limit is not None and self.limit < 0:
            raise InputError(f"limit: expected a number >= 0 or null, got {self.limit}")

    def __iter__(self) -> Iterator[Problem]:
        """Check every row, then yield the problems."""
        for _ in self._read():
            pass
        yield from self.once()

    def once(self) -> Iterator[Problem]:
        """Yield the problems as they are read; an error in a later row is raised only there."""
        yield from itertools.islice(self._read(), self.limit)

    def _read(self) -> Iterator[Problem]:
        self.places = {}
        self.without_tests = []
        for where, row in read_rows(self.path, self.subset, self.split):
            try:
                problem = render_prompt(problem_from_row(row), self.prompt_form, self.system_prompt)
                if not self._wanted(problem):
                    continue
            except NoTests as error:
                self.without_tests.append(str(error))
                continue
            except RecordError as error:
                raise InputError(f"{where}: {error}") from None
            except RecursionError:
                raise InputError(f"{where}: nested too deep") from None
            if problem.task_id in self.places:
                first = self.places[problem.task_id]
                raise InputError(f"{where}: field task_id: {problem.task_id!r} is on {_place(first)} too")
            self.places[problem.task_id] = where
            yield problem
        if not self.places:
            which = " match task_range, since and until" if self.task_range or self.since or self.until else ""
            raise InputError(f"{self.path}: no problems in this file{which}")

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
                raise RecordError(f"field metadata.date: missing in {problem.task_id}, which since and until need")
            return (not self.since or date >= str(self.since)) and (not self.until or date <= str(self.until))
        return True


def _place(where: str) -> str:
    """Return ``line 3`` for ``file.jsonl:3``, and ``row 3`` for ``file.json: row 3``."""
    last = where.rpartition(":")[2].strip()
    return f"line {last}" if last.isdigit() else last

"""Read problems from files or a hub: our own rows, HumanEval's, MBPP's, EvalPlus', APPS' and LiveCodeBench's.

The format is told by the fields of a row. A row that cannot be read is refused by file, line and field,
and the whole file is read before any work starts, so that a bad last line costs nothing.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rrtf_trl.records import AssertTests, CheckTests, Problem, RecordError

from .contests import NoTests, from_apps, from_livecodebench
from .evalplus import from_evalplus
from .prompts import PromptForm, render_prompt
from .rows import InputError, read_rows


def problem_from_row(row: dict[str, Any]) -> Problem:
    """Build a problem from a row in any known form.

    Raises:
        RecordError: If the row is in no known form, or a field is wrong; the message names it.
        NoTests: If the row is one of a contest set without tests.
    """
    if "tests" in row:
        return Problem.from_json(row)
    if "plus_input" in row:
        return from_evalplus(row)
    if "public_test_cases" in row:
        return from_livecodebench(row)
    if "input_output" in row:
        return from_apps(row)
    if "canonical_solution" in row or "entry_point" in row:
        return _from_humaneval(row)
    if "test_list" in row:
        return _from_mbpp(row)
    raise RecordError("field tests: missing (HumanEval's rows have `test`, MBPP's have `test_list`)")


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


def _from_humaneval(row: dict[str, Any]) -> Problem:
    _need_text(row, "task_id", "prompt", "entry_point", "test")
    solution = row.get("canonical_solution")
    return Problem.from_json(
        {
            "task_id": row["task_id"],
            "prompt": row["prompt"],
            "entry_point": row["entry_point"],
            "reference": None if solution is None else row["prompt"] + solution,
            "tests": {"kind": CheckTests.kind, "check": row["test"]},
        }
    )


def _from_mbpp(row: dict[str, Any]) -> Problem:
    if "test" in row:
        raise RecordError("field test: this is EvalPlus' MBPP+ as a hub has it; use its published file MbppPlus.jsonl")
    prompt_field = "text" if "text" in row else "prompt"
    _need_text(row, prompt_field, "code")
    code = row["code"].replace("\r\n", "\n")  # MBPP is published with CRLF line ends
    setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
    return Problem.from_json(
        {
            "task_id": f"MBPP/{row.get('task_id')}",
            "prompt": row[prompt_field],
            "entry_point": _called_function(row["test_list"], code),
            "reference": code.rstrip() + "\n",
            "tests": {"kind": AssertTests.kind, "asserts": row["test_list"], "setup": setup.replace("\r\n", "\n")},
        }
    )


def _need_text(row: dict[str, Any], *names: str) -> None:
    for name in names:
        if not isinstance(row.get(name), str):
            raise RecordError(f"field {name}: expected a string, got {json.dumps(row.get(name))[:80]}")


def _called_function(asserts: Any, code: str) -> str | None:
    """Return the name of the function that the tests call: defined in ``code``, named in the first assert."""
    try:
        with warnings.catch_warnings(action="ignore"):  # published answers have escapes such as \w
            defined = [node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
            called = {node.id for node in ast.walk(ast.parse(asserts[0])) if isinstance(node, ast.Name)}
    except (SyntaxError, TypeError, IndexError, KeyError):
        return None
    return next((name for name in defined if name in called), None)

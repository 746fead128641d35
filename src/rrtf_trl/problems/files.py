"""Read problems from files: our own JSONL, HumanEval's and MBPP's, plain or gzipped.

The format is told by the fields of a row. A row that cannot be read is refused by file, line and field,
and the whole file is read before any work starts, so that a bad last line costs nothing.
"""

from __future__ import annotations

import ast
import gzip
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrtf_trl.records import AssertTests, CheckTests, Problem, RecordError

from .prompts import PromptForm, render_prompt


class InputError(ValueError):
    """A file that cannot be used; the message names file, line and field, and what was expected."""


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each non-blank line of a JSONL file, plain or ``.gz``.

    Raises:
        InputError: If the file is missing, is no UTF-8 text, or a line is no JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    open_text = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with open_text(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(f"{path}:{number}: not JSON: {error.msg} at column {error.colno}") from None
                if not isinstance(row, dict):
                    raise InputError(f"{path}:{number}: expected a JSON object, got {type(row).__name__}")
                yield number, row
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number + 1}: not UTF-8 text ({error.reason})") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"{path}: not a whole gzip file ({error})") from None


def problem_from_row(row: dict[str, Any]) -> Problem:
    """Build a problem from a row in our, HumanEval's or MBPP's form; raises :class:`RecordError`."""
    if "tests" in row:
        return Problem.from_json(row)
    if "canonical_solution" in row or "entry_point" in row:
        return _from_humaneval(row)
    if "test_list" in row:
        return _from_mbpp(row)
    raise RecordError("field tests: missing (HumanEval's rows have `test`, MBPP's have `test_list`)")


class ProblemFile:
    """The problems of one file, in its order.

    Args:
        path: The file.
        limit: Take only this many, from the start.
        prompt_form: How the prompt is put to a model, see :func:`~rrtf_trl.problems.prompts.render_prompt`.

    Raises:
        InputError: On iteration, before the first problem is handed out, if any row cannot be read, a
            ``task_id`` stands twice, or the file has no problem.
    """

    def __init__(self, path: str | Path, limit: int | None = None, prompt_form: PromptForm = "as_is") -> None:
        self.path = Path(path)
        self.limit = limit
        self.prompt_form = prompt_form

    def __iter__(self) -> Iterator[Problem]:
        """Check every row, then yield the problems."""
        lines: dict[str, int] = {}
        for number, problem in self._read():
            if problem.task_id in lines:
                first = lines[problem.task_id]
                raise InputError(
                    f"{self.path}:{number}: field task_id: {problem.task_id!r} stands on line {first} too"
                )
            lines[problem.task_id] = number
        if not lines:
            raise InputError(f"{self.path}: no problems in this file")
        for index, (_, problem) in enumerate(self._read()):
            if self.limit is not None and index >= self.limit:
                return
            yield problem

    def _read(self) -> Iterator[tuple[int, Problem]]:
        for number, row in read_jsonl(self.path):
            try:
                yield number, render_prompt(problem_from_row(row), self.prompt_form)
            except RecordError as error:
                raise InputError(f"{self.path}:{number}: {error}") from None


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

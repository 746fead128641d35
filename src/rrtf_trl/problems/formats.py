"""The forms of rows that problems are published in: our own, HumanEval's, MBPP's, and those that plugins read.

A form is told by the fields of a row: each reader is asked in turn, ours first, and the first that knows the row reads
it. EvalPlus', APPS' and LiveCodeBench's readers have files of their own.
"""

from __future__ import annotations

import ast
import json
import warnings
from typing import Any

from rrtf_trl import registry
from rrtf_trl.records import AssertTests, CheckTests, Problem, RecordError


def problem_from_row(row: dict[str, Any]) -> Problem:
    """Build a problem from a row in any known form.

    Raises:
        RecordError: If the row is in no known form, or a field is wrong; the message names it.
        NoTests: If the row is one of a contest set without tests.
    """
    for name in registry.names("problem_reader"):
        problem: Problem | None = registry.find("problem_reader", name)(row)
        if problem is not None:
            return problem
    raise RecordError("field tests: missing (HumanEval's rows have `test`, MBPP's have `test_list`)")


def from_ours(row: dict[str, Any]) -> Problem | None:
    """Read a row of our own, see docs/formats.md."""
    return Problem.from_json(row) if "tests" in row else None


def from_humaneval(row: dict[str, Any]) -> Problem | None:
    """Read a row of HumanEval."""
    if "canonical_solution" not in row and "entry_point" not in row:
        return None
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


def from_mbpp(row: dict[str, Any]) -> Problem | None:
    """Read a row of MBPP."""
    if "test_list" not in row:
        return None
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

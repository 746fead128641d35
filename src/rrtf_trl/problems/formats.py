"""Readers of published row formats: our own, HumanEval's and MBPP's; plugins add theirs.

The fields of a row tell its format. The readers are tried in turn, ours first, and the first that recognizes the row
reads it. The readers of EvalPlus, APPS and LiveCodeBench are in files of their own.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Annotated, Any

from rrtf_trl import registry
from rrtf_trl.forms import Must, Open, check
from rrtf_trl.records import AssertTests, CheckTests, Problem, RecordError

from .syntax import functions, parsed


@dataclass(frozen=True)
class _HumanEval(Open):
    task_id: str
    prompt: str
    entry_point: str
    test: str
    canonical_solution: str | None = None


@dataclass(frozen=True)
class _Mbpp(Open):
    code: str
    test_list: Annotated[list[str], Must("a non-empty list of strings", min_length=1)]
    test_setup_code: str | None = None
    test_imports: list[str] | None = None


def problem_from_row(row: dict[str, Any]) -> Problem:
    """Build a problem from a row in any known format.

    Raises:
        RecordError: If the format is unknown or a field is wrong; the message names it.
        NoTests: If the row is from a contest data set and has no tests.
    """
    for name in registry.names("problem_reader"):
        problem: Problem | None = registry.find("problem_reader", name)(row)
        if problem is not None:
            return problem
    raise RecordError("field tests: missing (HumanEval's rows have `test`, MBPP's have `test_list`)")


def from_ours(row: dict[str, Any]) -> Problem | None:
    """Read a row in our own format, see docs/formats.md."""
    return Problem.from_json(row) if "tests" in row else None


def from_humaneval(row: dict[str, Any]) -> Problem | None:
    """Read a row of HumanEval."""
    if "canonical_solution" not in row and "entry_point" not in row:
        return None
    check(_HumanEval, row)
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
    check(str, row.get(prompt_field), prompt_field)
    check(_Mbpp, row)
    code = row["code"].replace("\r\n", "\n")  # MBPP is published with CRLF line ends
    setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
    return Problem.from_json(
        {
            "task_id": f"MBPP/{row.get('task_id')}",
            "prompt": row[prompt_field],
            "entry_point": _called_function(row["test_list"][0], code),
            "reference": code.rstrip() + "\n",
            "tests": {"kind": AssertTests.kind, "asserts": row["test_list"], "setup": setup.replace("\r\n", "\n")},
        }
    )


def _called_function(test: str, code: str) -> str | None:
    """Return the first function of ``code`` that an assert statement names."""
    tree = parsed(test)
    called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else set()
    return next((node.name for node in functions(code) if node.name in called), None)

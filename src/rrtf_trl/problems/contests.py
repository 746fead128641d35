"""Contest problems as APPS (arXiv 2105.09938) and LiveCodeBench (arXiv 2403.07974) publish them.

Both have two kinds: whole programs that read standard input, and functions, for LeetCode's a method of a class
``Solution``. LiveCodeBench's hidden tests come as a pickle inside of zlib inside of base64. A pickle can run
code when it is loaded, so it is never loaded: its one string is read off its instructions.
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
import pickletools
import warnings
import zlib
from typing import Any

from rrtf_trl.records import SIGNATURE, AssertTests, Problem, RecordError, StdioTests

from .literal import literal

_MAX_TESTS_BYTES = 2**30
_STRING_ONLY = {
    "PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8",
}  # fmt: skip

# Both benchmarks' own judges let a tuple stand for a list; APPS' wraps the expected value of some in a list.
_SETUP = """\
def as_list(value):
    return list(value) if isinstance(value, tuple) else value
def same_as_apps(value, expected):
    value = as_list(value)
    if value == expected or (isinstance(expected, list) and expected and value == expected[0]):
        return True
    nested = isinstance(value, list) and value and all(isinstance(item, (list, tuple)) for item in value)
    return bool(nested and [list(item) for item in value] in (expected, expected[0] if expected else None))
"""

_PREAMBLE = """\
from string import *
from re import *
from datetime import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from random import *
from statistics import *
from itertools import *
from functools import *
from operator import *
from io import *
from sys import *
from json import *
from builtins import *
from typing import *
import string, re, datetime, collections, heapq, bisect, copy, math, random, statistics
import itertools, functools, operator, io, sys, json
sys.setrecursionlimit(50000)
"""
"""The names that LiveCodeBench's judge gives to every program."""


class NoTests(RecordError):
    """A row of a contest set that has no tests; the message is its task id."""


def from_apps(row: dict[str, Any]) -> Problem | None:
    """Read a row of APPS: ``question``, ``input_output``, ``starter_code``, ``solutions``.

    Raises:
        RecordError: If a field is wrong.
        NoTests: If the row has no tests, as some of the published ones.
    """
    if "input_output" not in row:
        return None
    task_id = f"APPS/{row.get('problem_id', row.get('task_id', row.get('id')))}"
    question = row.get("question")
    if not isinstance(question, str):
        raise RecordError(f"field question: expected a string, got {json.dumps(question)[:80]}")
    cases = _json(row, "input_output") or {}
    inputs, outputs = cases.get("inputs") or [], cases.get("outputs") or []
    if not inputs:
        raise NoTests(task_id)
    if len(inputs) != len(outputs):
        raise RecordError(f"field input_output: {len(inputs)} inputs and {len(outputs)} outputs")
    name, starter = cases.get("fn_name"), row.get("starter_code") or ""
    metadata = {"difficulty": row.get("difficulty"), "url": row.get("url"), SIGNATURE: starter}
    if name:
        tests = _calls(name, [_arguments(value) for value in inputs], outputs, "same_as_apps")
        return _problem(task_id, question, tests, metadata, name)
    pairs = [(_text(given), _text(wanted)) for given, wanted in zip(inputs, outputs, strict=True)]
    solutions = _json(row, "solutions") or []
    return _problem(task_id, question, _stdio(pairs), metadata, None, _first_of_python_3(solutions))


def from_livecodebench(row: dict[str, Any]) -> Problem | None:
    """Read a row of LiveCodeBench's code generation set, hidden tests included.

    Raises:
        RecordError: If a field is wrong, or the hidden tests are a pickle of anything but one string.
    """
    if "public_test_cases" not in row:
        return None
    for field in ("question_id", "question_content"):
        if not isinstance(row.get(field), str):
            raise RecordError(f"field {field}: expected a string, got {json.dumps(row.get(field), default=str)[:80]}")
    task_id = f"LiveCodeBench/{row['question_id']}"
    cases = [*(_json(row, "public_test_cases") or []), *_private_cases(row.get("private_test_cases"))]
    if not cases:
        raise NoTests(task_id)
    kinds = {case.get("testtype") for case in cases}
    metadata: dict[str, Any] = {
        "date": str(row.get("contest_date", "")),
        "difficulty": row.get("difficulty"),
        "platform": row.get("platform"),
        SIGNATURE: row.get("starter_code") or "",
    }
    pairs = [(str(case.get("input")), str(case.get("output"))) for case in cases]
    if kinds == {"stdin"}:
        return _problem(task_id, row["question_content"], _stdio(pairs), metadata, None, preamble=_PREAMBLE)
    if kinds != {"functional"}:
        raise RecordError(
            f"field public_test_cases: expected tests of type stdin or functional, got {sorted(map(str, kinds))}"
        )
    name = (_json(row, "metadata") or {}).get("func_name")
    if not isinstance(name, str):
        raise RecordError("field metadata: no func_name, which functional tests need")
    try:
        arguments = [[json.loads(line) for line in given.split("\n")] for given, _ in pairs]
        expected = [json.loads(wanted) for _, wanted in pairs]
    except json.JSONDecodeError as error:
        raise RecordError(f"field private_test_cases: a functional test is no JSON: {error}") from None
    tests = _calls(name, arguments, expected, "as_list")
    return _problem(task_id, row["question_content"], tests, metadata, name, preamble=_PREAMBLE)


def _problem(
    task_id: str,
    question: str,
    tests: AssertTests | StdioTests,
    metadata: dict[str, Any],
    name: str | None,
    reference: str | None = None,
    preamble: str = "",
) -> Problem:
    of_class = name and "class Solution" in metadata[SIGNATURE]
    return Problem(
        task_id=task_id,
        prompt=question,
        tests=tests,
        entry_point=f"Solution.{name}" if of_class else name,
        reference=reference,
        metadata={key: value for key, value in metadata.items() if value},
        preamble=preamble,
    )


def _calls(name: str, arguments: list[list[Any]], expected: list[Any], compare: str) -> AssertTests:
    asserts = []
    for args, wanted in zip(arguments, expected, strict=True):
        call = f"{name}({', '.join(map(literal, args))})"
        told = (
            f"as_list({call}) == {literal(wanted)}"
            if compare == "as_list"
            else f"{compare}({call}, {literal(wanted)})"
        )
        asserts.append(f"assert {told}")
    return AssertTests(asserts=asserts, setup=_SETUP)


def _stdio(pairs: list[tuple[str, str]]) -> StdioTests:
    return StdioTests(stdio=[{"input": given, "output": wanted} for given, wanted in pairs])


def _arguments(value: Any) -> list[Any]:
    if isinstance(value, str):  # as LiveCodeBench writes APPS' form: one argument a line
        try:
            return [json.loads(line) for line in value.split("\n")]
        except json.JSONDecodeError:
            return [value]
    return list(value) if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _json(row: dict[str, Any], field: str) -> Any:
    """A field that is JSON text inside of the row, or was unpacked already."""
    value = row.get(field)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (json.JSONDecodeError, ValueError) as error:
        raise RecordError(f"field {field}: not JSON: {error}") from None


def _private_cases(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, str) or not value.strip():
        return []
    try:
        cases = json.loads(value)
    except json.JSONDecodeError:
        cases = json.loads(_unpacked(value))
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise RecordError("field private_test_cases: expected a list of tests")
    return cases


def _unpacked(value: str) -> str:
    """The string inside of a pickle inside of zlib inside of base64, without loading the pickle."""
    field = "field private_test_cases"
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(value, validate=True), _MAX_TESTS_BYTES)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise RecordError(f"{field}: neither JSON nor compressed tests ({error})") from None
    if unpacker.unconsumed_tail:
        raise RecordError(f"{field}: more than {_MAX_TESTS_BYTES >> 20} MiB of tests")
    strings: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(data):
            if operation.name not in _STRING_ONLY:
                raise RecordError(
                    f"{field}: a pickle with {operation.name}, which is more than the one string it should be"
                )
            if isinstance(argument, str):
                strings.append(argument)
    except (ValueError, EOFError) as error:
        raise RecordError(f"{field}: not a pickle ({error})") from None
    if len(strings) != 1:
        raise RecordError(f"{field}: a pickle of {len(strings)} strings, expected one")
    return strings[0]


def _first_of_python_3(solutions: Any) -> str | None:
    """The first answer that is Python 3: some of APPS' are older."""
    for solution in solutions if isinstance(solutions, list) else []:
        try:
            with warnings.catch_warnings(action="ignore"):
                ast.parse(solution)
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            continue
        return str(solution).replace("\r\n", "\n").rstrip() + "\n"
    return None

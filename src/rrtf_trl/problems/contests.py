"""Contest problems as APPS (arXiv 2105.09938) and LiveCodeBench (arXiv 2403.07974) publish them.

Both have two kinds: whole programs that read standard input, and functions, for LeetCode's a method of a class
``Solution``. LiveCodeBench's hidden tests are JSON in a pickle in zlib in base64. Loading a pickle can run code, so it
is not loaded: its one string is read from its instructions.
"""

from __future__ import annotations

import base64
import binascii
import json
import pickletools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rrtf_trl.files.rows import parse_json
from rrtf_trl.forms import Open, check, field_error
from rrtf_trl.records import SIGNATURE, AssertTests, Problem, RecordError, StdioTests

from .literal import literal
from .syntax import parsed

_MAX_TESTS_BYTES = 2**30
_STRING_ONLY = {
    "PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8",
}  # fmt: skip

# Both benchmarks' own judges accept a tuple for a list. In APPS, some expected values are wrapped in a list.
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
"""The names that LiveCodeBench's judge defines for every program."""


@dataclass(frozen=True)
class _Apps(Open):
    question: str
    starter_code: str | None = None


@dataclass(frozen=True)
class _LiveCodeBench(Open):
    question_id: str
    question_content: str
    starter_code: str | None = None


class NoTests(RecordError):
    """A row of a contest data set that has no tests; the message is its task id."""


def from_apps(row: dict[str, Any]) -> Problem | None:
    """Read a row of APPS: ``question``, ``input_output``, ``starter_code``, ``solutions``.

    Raises:
        RecordError: If a field is wrong.
        NoTests: If the row has no tests, as some published ones.
    """
    if "input_output" not in row:
        return None
    task_id = f"APPS/{row.get('problem_id', row.get('task_id', row.get('id')))}"
    check(_Apps, row)
    cases = _json(row, "input_output", dict) or {}
    inputs, outputs = cases.get("inputs") or [], cases.get("outputs") or []
    for field, values in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(values, list):
            raise field_error(f"input_output.{field}", "a list", values)
    if not inputs:
        raise NoTests(task_id)
    if len(inputs) != len(outputs):
        raise RecordError(f"field input_output: {len(inputs)} inputs and {len(outputs)} outputs")
    name = cases.get("fn_name")
    check(str | None, name, "input_output.fn_name")
    metadata = {
        "difficulty": row.get("difficulty"),
        "url": row.get("url"),
        SIGNATURE: row.get("starter_code") or "",
    }
    if name:
        asserts = [
            f"assert same_as_apps({_call(name, _arguments(args))}, {literal(expected)})"
            for args, expected in zip(inputs, outputs, strict=True)
        ]
        return _problem(task_id, row["question"], AssertTests(asserts, _SETUP), metadata, name)
    tests = _stdio((_text(stdin), _text(stdout)) for stdin, stdout in zip(inputs, outputs, strict=True))
    solutions = _json(row, "solutions", list) or []
    return _problem(task_id, row["question"], tests, metadata, None, _first_of_python_3(solutions))


def from_livecodebench(row: dict[str, Any]) -> Problem | None:
    """Read a row of LiveCodeBench's code generation set, hidden tests included.

    Raises:
        RecordError: If a field is wrong, or the hidden tests are a pickle of anything but one string.
    """
    if "public_test_cases" not in row:
        return None
    check(_LiveCodeBench, row)
    task_id = f"LiveCodeBench/{row['question_id']}"
    cases = [*(_json(row, "public_test_cases", list) or []), *_private_cases(row.get("private_test_cases"))]
    if not all(isinstance(case, dict) for case in cases):
        raise RecordError("field public_test_cases, private_test_cases: expected lists of objects")
    if not cases:
        raise NoTests(task_id)
    kinds = {str(case.get("testtype")) for case in cases}
    metadata: dict[str, Any] = {
        "date": str(row.get("contest_date", "")),
        "difficulty": row.get("difficulty"),
        "platform": row.get("platform"),
        SIGNATURE: row.get("starter_code") or "",
    }
    pairs = [(str(case.get("input")), str(case.get("output"))) for case in cases]
    question = row["question_content"]
    if kinds == {"stdin"}:
        return _problem(task_id, question, _stdio(pairs), metadata, None, preamble=_PREAMBLE)
    if kinds != {"functional"}:
        raise RecordError(f"field public_test_cases: expected tests of type stdin or functional, got {sorted(kinds)}")
    name = (_json(row, "metadata", dict) or {}).get("func_name")
    if not isinstance(name, str):
        raise RecordError("field metadata: no func_name, which functional tests need")
    try:
        calls = [_call(name, map(parse_json, lines.split("\n"))) for lines, _ in pairs]
        expected = [literal(parse_json(text)) for _, text in pairs]
    except ValueError as error:
        raise RecordError(f"field private_test_cases: a functional test is not JSON: {error}") from None
    asserts = [f"assert as_list({call}) == {value}" for call, value in zip(calls, expected, strict=True)]
    return _problem(task_id, question, AssertTests(asserts, _SETUP), metadata, name, preamble=_PREAMBLE)


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


def _call(name: str, arguments: Iterable[Any]) -> str:
    return f"{name}({', '.join(map(literal, arguments))})"


def _stdio(pairs: Iterable[tuple[str, str]]) -> StdioTests:
    return StdioTests(stdio=[{"input": stdin, "output": stdout} for stdin, stdout in pairs])


def _arguments(value: Any) -> list[Any]:
    if isinstance(value, str):  # as LiveCodeBench writes APPS' form: one argument a line
        try:
            return [parse_json(line) for line in value.split("\n")]
        except json.JSONDecodeError:
            return [value]
        except ValueError as error:
            raise RecordError(f"field input_output: an input that cannot be read: {error}") from None
    return list(value) if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _json(row: dict[str, Any], field: str, kind: type) -> Any:
    """Return the value of a field that is JSON text or already parsed; ``None`` where it is missing or empty."""
    value = row.get(field)
    if isinstance(value, str):
        value = _parsed_json(value, field) if value.strip() else None
    if value is not None and not isinstance(value, kind):
        raise field_error(field, "an object" if kind is dict else "a list", value)
    return value


def _parsed_json(text: str, field: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise RecordError(f"field {field}: not JSON: {error}") from None


def _private_cases(value: Any) -> list[Any]:
    field = "private_test_cases"
    if not isinstance(value, str) or not value.strip():
        return []
    try:
        cases = parse_json(value)
    except json.JSONDecodeError:
        cases = _parsed_json(_unpacked(value), field)
    except ValueError as error:
        raise RecordError(f"field {field}: not JSON: {error}") from None
    if not isinstance(cases, list):
        raise field_error(field, "a list", cases)
    return cases


def _unpacked(value: str) -> str:
    """Return the string in a pickle in zlib in base64, without loading the pickle."""
    field = "field private_test_cases"
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(value, validate=True), _MAX_TESTS_BYTES)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise RecordError(f"{field}: neither JSON nor compressed tests ({error})") from None
    if unpacker.unconsumed_tail:
        raise RecordError(f"{field}: the tests are larger than {_MAX_TESTS_BYTES >> 20} MiB")
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


def _first_of_python_3(solutions: list[Any]) -> str | None:
    """Return the first solution that is Python 3; some of APPS' are older."""
    for solution in solutions:
        if isinstance(solution, str) and parsed(solution) is not None:
            return solution.replace("\r\n", "\n").rstrip() + "\n"
    return None

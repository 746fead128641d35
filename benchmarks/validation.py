"""What checks rows: msgspec, which `rrtf_trl.forms` uses, beside pydantic.

Times what each adds to an import (CPU time, in new processes, in turns) and how many of HumanEval's problems each
checks a second; and prints what each says of wrong rows.

    python benchmarks/validation.py HumanEval.jsonl.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import msgspec
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from rrtf_trl import forms
from rrtf_trl.problems.formats import from_humaneval
from rrtf_trl.records import Problem, RecordError, to_json

IMPORTS = {
    "a bare Python": "pass",
    "`import rrtf_trl.records`": "import rrtf_trl.records",
    "… and `import msgspec`": "import rrtf_trl.records, msgspec",
    "… and `from pydantic import TypeAdapter`": "import rrtf_trl.records; from pydantic import TypeAdapter",
    "`rrtf --help`": "import sys; sys.argv = ['rrtf', '--help']; from rrtf_trl.cli import main; main()",
    "… and `import msgspec`, which it does not": (
        "import msgspec, sys; sys.argv = ['rrtf', '--help']; from rrtf_trl.cli import main; main()"
    ),
}


# -- The same form for pydantic ------------------------------------------------------------------------------

STRICT = ConfigDict(strict=True, extra="forbid")


class _Check(TypedDict):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    kind: Literal["check"]
    check: str


class _Case(TypedDict):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    args: list[Any]
    kwargs: NotRequired[dict[str, Any]]
    expected: Any


class _Cases(TypedDict):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    kind: Literal["cases"]
    cases: Annotated[list[_Case], Field(min_length=1)]
    atol: NotRequired[Annotated[float, Field(ge=0)]]


class _Message(TypedDict):
    role: str
    content: str


class _Problem(TypedDict):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    task_id: Annotated[str, Field(min_length=1)]
    prompt: Annotated[str, Field(min_length=1)] | Annotated[list[_Message], Field(min_length=1)]
    tests: Annotated[_Check | _Cases, Field(discriminator="kind")]
    entry_point: NotRequired[str | None]
    reference: NotRequired[str | None]
    metadata: NotRequired[dict[str, Any]]
    files: NotRequired[dict[str, str]]
    preamble: NotRequired[str]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare what checks rows.")
    parser.add_argument("humaneval", type=Path, help="HumanEval.jsonl.gz")
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    imports(options.repeat)
    with gzip.open(options.humaneval, "rt") as lines:
        problems = [from_humaneval(json.loads(line)) for line in lines]
    rates([to_json(problem) for problem in problems], options.repeat)
    messages()


def imports(repeat: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for turn in range(repeat + 1):
        for name, code in IMPORTS.items():
            start = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            if turn:  # the first one fills the caches
                times[name].append(end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime)
    print("| CPU time of a new process | median ms | least ms |\n| --- | --- | --- |")
    for name, found in times.items():
        print(f"| {name} | {1e3 * statistics.median(found):.0f} | {1e3 * min(found):.0f} |")


def rates(rows: list[dict[str, Any]], repeat: int) -> None:
    texts = [json.dumps(row) for row in rows]
    shape, adapter = forms._shape(Problem), TypeAdapter(_Problem)
    ways: dict[str, Callable[[], object]] = {
        "dicts: `msgspec.convert`": lambda: [msgspec.convert(row, shape) for row in rows],
        "dicts: pydantic, `validate_python`": lambda: [adapter.validate_python(row) for row in rows],
        "dicts: `Problem.from_json` (msgspec, and whether it can be written)": lambda: list(
            map(Problem.from_json, rows)
        ),
        "lines: `json.loads` alone": lambda: list(map(json.loads, texts)),
        "lines: `msgspec.json.decode`": lambda: [msgspec.json.decode(text, type=shape) for text in texts],
        "lines: pydantic, `validate_json`": lambda: list(map(adapter.validate_json, texts)),
        "lines: `json.loads` and `Problem.from_json`": lambda: [Problem.from_json(json.loads(text)) for text in texts],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(20 * repeat):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    print("\n| of HumanEval's problems | thousand rows a second, at best |\n| --- | --- |")
    for name, found in times.items():
        print(f"| {name} | {len(rows) / min(found) / 1e3:.0f} |")


def messages() -> None:
    row: dict[str, Any] = {"task_id": "t", "prompt": "p", "entry_point": "f"}
    cases = [{"args": [1], "expected": 1}] * 3
    print("\n| wrong | msgspec | pydantic | `rrtf_trl.forms` |\n| --- | --- | --- | --- |")
    wrongs: dict[str, dict[str, Any]] = {
        "a type": {"tests": {"kind": "cases", "cases": [*cases, {"args": 1, "expected": 1}]}},
        "a choice": {"tests": {"kind": "vibes"}},
        "a field too many": {"tests": {"kind": "cases", "cases": cases, "tol": 1}},
        "neither form": {"tests": {"kind": "check", "check": "x"}, "prompt": [{"role": "user"}]},
        "NaN": {"tests": {"kind": "cases", "cases": [{"args": [float("nan")], "expected": 1}]}},
    }
    for wrong, change in wrongs.items():
        said = [
            _error(lambda bad: msgspec.convert(bad, forms._shape(Problem)), msgspec.ValidationError, row | change),
            _error(TypeAdapter(_Problem).validate_python, ValidationError, row | change),
            _error(Problem.from_json, RecordError, row | change),
        ]
        print(f"| {wrong} | {' | '.join(said)} |")


def _error(work: Callable[[Any], object], kind: type[Exception], row: dict[str, Any]) -> str:
    try:
        work(row)
    except kind as error:
        if isinstance(error, ValidationError):
            return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return str(error).replace("`", "'")
    return "(taken)"


if __name__ == "__main__":
    main()

"""Judge generated programs by generated tests, in the sandbox and by plain execution, and print where these disagree.

    python scripts/fuzz_judge.py [--seconds N] [--seed N] [--rounds N]

Each round takes a small right program (:mod:`judge_fuzzing.programs`), makes tests for it (:mod:`.suites`), and judges
the program, mutants of it and programs that equal everything, with the right program as the reference and without.
A disagreement is printed as a row of its own, as small as it gets: problem, completion, and what plain execution says.
The exit status is 1 if there is one.

Programs that equal everything may pass where the program decides; where the judge does, only tests that ask nothing,
which functions and methods that return nothing, or an empty list, pass too.

The sandbox is stricter by design in two ways, and its message says so: it compares no object of a mutant's with plain
data where the right program answers with plain data; and a variable with which the tests go on must be as it was,
unless there is a reference that changes it too.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from judge_fuzzing.mutants import mutants
from judge_fuzzing.plain import passes
from judge_fuzzing.programs import PROGRAMS, filled
from judge_fuzzing.shrink import smaller
from judge_fuzzing.suites import Suites

from rrtf_trl import records
from rrtf_trl.records import Tests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

_MUTANTS = 4
_STRICTER = ("the test would have it judge itself", "which the test goes on to use")
_LIAR = """
class _Anything:
    def __init__(self, *args, **kwargs): pass
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 1
    def __bool__(self): return True
    def __len__(self): return 1
    def __iter__(self): return iter(())
    def __contains__(self, item): return True
    def __getitem__(self, key): return self
    def __call__(self, *args, **kwargs): return self
    def __getattr__(self, name): return self
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __enter__(self): return self
    def __exit__(self, *error): return True
"""
_EXPECTED: dict[tuple[str, str], bool | None] = {}
"""What plain execution says of the programs of a round, each of which is judged with the reference and without."""
_NOTHING = (
    "def {name}(*args, **kwargs): pass\n",
    "def {name}(*args, **kwargs): return []\n",
    "class {name}:\n    def __init__(self, *args, **kwargs): pass\n    def __iter__(self): return iter([])\n"
    "    def __getattr__(self, name): return lambda *args, **kwargs: []\n",
    "class _Void:\n    def __iter__(self): return iter([])\n    def __bool__(self): return False\n"
    "    def __call__(self, *args, **kwargs): return self\n    __getattr__ = __getitem__ = __enter__ = __call__\n"
    "    def __exit__(self, *error): return True\n{name} = _Void()\n",
)
"""Functions that return nothing, or an empty list, classes whose methods do, and an object that is false and empty."""


@dataclass(frozen=True)
class Row:
    """A program with tests.

    Args:
        code: The program.
        tests: Its tests.
        entry: The function or class that is judged.
        reference: The right program; empty for none.
        role: ``right``, ``mutant`` or ``liar``.
    """

    code: str
    tests: Tests
    entry: str
    reference: str
    role: str

    def job(self, name: str) -> Job:
        """Return it as a job of the sandbox."""
        return Job(name, self.code, self.tests, self.entry, self.reference)

    def expected(self) -> bool | None:
        """Return whether plain execution passes; None where it takes too long to say."""
        key = self.code, repr(self.tests)
        if key not in _EXPECTED:
            _EXPECTED[key] = passes(self.code, self.tests, self.entry)
        return _EXPECTED[key]

    def asks(self) -> bool:
        """Return whether the tests ask anything: in plain execution, programs that do nothing fail them."""
        programs = ("".join(nothing.format(name=name) for name in _names(self.code)) for nothing in _NOTHING)
        return not any(passes(program, self.tests, self.entry) for program in programs)


def main() -> None:
    """Run for a time, or a number of rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="default: 60, or as long as the rounds take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, help="at most so many programs")
    options = parser.parse_args()
    seconds = options.seconds or (60 if options.rounds is None else math.inf)
    end, counts, found = time.monotonic() + seconds, Counter[str](), 0
    with Sandbox(workers=1, timeout=3) as sandbox:
        for number in range(options.rounds or sys.maxsize):
            if time.monotonic() > end:
                break
            _EXPECTED.clear()
            rows = list(_rows(random.Random(f"{options.seed} {number}"), counts))
            shown: set[str] = set()
            for row, outcome in list(_judge(sandbox, rows)):
                expected = row.expected()
                verdict = _disagreement(row, outcome, expected)
                counts[f"{row.role}: {verdict or outcome.state}"] += 1
                if verdict.startswith("disagrees") and verdict + row.role not in shown:
                    found += 1
                    shown.add(verdict + row.role)
                    small = smaller(row, _Same(sandbox, verdict, outcome.state))
                    (outcome,) = sandbox.run_many([small.job("0")])
                    print(_printed(small, f"round {number}: {verdict}", outcome), flush=True)
    for key, count in sorted(counts.items()):
        print(f"{count:7} {key}")
    if found:
        sys.exit(1)


def _rows(chance: random.Random, counts: Counter[str]) -> Iterator[Row]:
    """Yield the programs of one round."""
    program = filled(chance.choice(PROGRAMS), chance)
    tests = Suites(chance).make(program)
    if tests is None:
        counts["no such tests"] += 1
        return
    right = Row(program.source, tests, program.entry, "", "right")
    if not right.expected():
        counts["the right program fails"] += 1
        return
    liar = _LIAR + "".join(f"{name} = _Anything()\n" for name in _names(program.source))
    wrong = mutants(program.source, _MUTANTS, chance)
    for reference in ("", program.source):
        yield replace(right, reference=reference)
        for code in wrong:
            yield replace(right, code=code, reference=reference, role="mutant")
        yield replace(right, code=liar, reference=reference, role="liar")


def _names(source: str) -> list[str]:
    """Return what a program defines: its functions and classes, or a liar's names for them."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    body = ast.parse(source).body
    names = [one.targets[0].id for one in body if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)]
    return [*(one.name for one in body if isinstance(one, kinds)), *names]


def _judge(sandbox: Sandbox, rows: list[Row]) -> Iterator[tuple[Row, Outcome]]:
    for outcome in sandbox.run_many(row.job(str(at)) for at, row in enumerate(rows)):
        yield rows[int(outcome.job_id)], outcome


def _disagreement(row: Row, outcome: Outcome, expected: bool | None) -> str:
    """Return how the sandbox differs from plain execution; empty where it does not."""
    if outcome.state == "infrastructure":
        return "disagrees: infrastructure"
    if row.role == "liar":
        passed_by_judge = outcome.state == "passed" and outcome.decided_by == "judge"
        return "disagrees: by the judge" if passed_by_judge and row.asks() else ""
    if expected is None:
        return "too slow"
    if expected == (outcome.state == "passed"):
        return ""
    is_strict = [text in outcome.message for text in _STRICTER]
    if expected and (any(is_strict) if row.role == "mutant" else is_strict[1] and not row.reference):
        return "stricter by design"
    return f"disagrees: plain execution {'passes' if expected else 'fails'}"


@dataclass
class _Same:
    """Says of a smaller row whether it disagrees in the same way."""

    sandbox: Sandbox
    verdict: str
    state: str

    def __call__(self, row: Row) -> bool:
        (outcome,) = self.sandbox.run_many([row.job("0")])
        if outcome.state != self.state or "call nothing" in outcome.message:
            return False
        return _disagreement(row, outcome, row.expected()) == self.verdict


def _printed(row: Row, why: str, outcome: Outcome) -> str:
    problem = {
        "task_id": row.role,
        "prompt": "Write it.",
        "tests": records.to_json(row.tests),
        "entry_point": row.entry,
    }
    if row.reference:
        problem["reference"] = row.reference
    shown = {"problem": problem, "completion": row.code, "expected_passed": row.expected(), "why": why}
    return json.dumps({**shown, "state": outcome.state, "message": outcome.message, "decided_by": outcome.decided_by})


if __name__ == "__main__":
    main()

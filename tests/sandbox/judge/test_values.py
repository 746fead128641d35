"""Values of all plain types, large ones and deep ones, as arguments and answers in every form of test."""

from __future__ import annotations

from typing import Any

import pytest

from rrtf_trl.records import AssertTests, CaseTests, CheckTests
from rrtf_trl.sandbox import Job, Sandbox

pytestmark = pytest.mark.slow

SETUP = """
import datetime, pathlib, uuid, zoneinfo
from collections import *
from decimal import Decimal
from fractions import Fraction
def linked(length, found=None):
    for number in range(length): found = [number, found]
    return found
def tree(length, found=None):
    for number in range(length): found = {"value": number, "next": found}
    return found
"""
VALUES = [
    "linked(300)",
    "linked(900)",
    "tree(900)",
    "OrderedDict(a=1, b=2)",
    "OrderedDict(b=2, a=1)",
    "deque([1, 2], maxlen=3)",
    "defaultdict(int, a=1)",
    "Counter('aab')",
    "datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)",
    "datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))",
    "datetime.time(1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))",
    "uuid.UUID(int=5)",
    "pathlib.Path('a/b')",
    "pathlib.PurePosixPath('a')",
    "...",
    "NotImplemented",
    "Fraction(10**30000, 3)",
    "Decimal('0.' + '7' * 100000)",
    "2**53 + 1",
    "float(2**53)",
    "10**199999",
    "range(10**12)",
    "'\\ud83d\\ude00'",
    "'\\U0001f600'",
    "[b'x', bytearray(b'y'), 1j]",
    "{(1, 2), (3, 4)}",
]


def test_each_is_what_it_is_and_no_other() -> None:
    scope: dict[str, Any] = {}
    exec(SETUP, scope)
    jobs = []
    for place, value in enumerate(VALUES):
        right, wrong = (f"{SETUP}def f(x): return {one}\n" for one in (value, VALUES[place - 1]))
        takes = f"{SETUP}def f(x): return x == {value} and type(x).__name__\n"
        asserts = AssertTests([f"assert f(2) == {value}"], SETUP)
        check = CheckTests(f"{SETUP}def check(candidate):\n    assert candidate(2) == {value}\n")
        cases = CaseTests([{"args": [2], "expected": eval(value, scope)}])
        for tests in (asserts, check, cases):
            jobs += [Job(f"passed {value}", right, tests, "f"), Job(f"partial {value}", wrong, tests, "f")]
        taken = AssertTests([f"assert f({value}) == type({value}).__name__"], SETUP)
        jobs.append(Job(f"passed as an argument: {value}", takes, taken, "f"))
    with Sandbox(workers=2) as sandbox:
        outcomes = list(sandbox.run_many(jobs))
    assert [outcome for outcome in outcomes if not outcome.job_id.startswith(f"{outcome.state} ")] == []

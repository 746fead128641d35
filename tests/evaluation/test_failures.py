from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rrtf_trl.evaluation.failures import WRONG_ANSWER, Failure, base_passed, count_failures
from rrtf_trl.feedback import UnitTests
from rrtf_trl.records import AssertTests, Candidate, CaseTests, CheckTests, Judgement, Problem

Judged = Callable[[Any, str], Judgement]
ASSERTS = AssertTests(["assert f(1) == 2", "assert f(2) == 3", "assert f(0) == 1"])
CASES = CaseTests([{"args": [1], "expected": 2}, {"args": [2], "expected": 3}])
ONCE = "def f(x):\n    if x == 1:\n        return 2\n    "
CHECK = CheckTests("def check(f):\n    assert f(1) == 2\n    assert f(2) == 3\n")
STATES: list[tuple[Any, ...]] = [
    (ASSERTS, "def f(x):\n    return x + 1\n", None),
    (ASSERTS, "def f(x):\n    return 2\n", Failure("partial", WRONG_ANSWER, 1)),
    (ASSERTS, "def f(x):\n    return 1 / (x - 2) + x + 2\n", Failure("partial", "ZeroDivisionError", 1)),
    (ASSERTS, "def f(x):\n    raise KeyError('TypeError: no')\n", Failure("runtime_error", "KeyError", 0)),
    (ASSERTS, "def f(x)\n", Failure("compile_error", "SyntaxError", None)),
    (ASSERTS, "import nowhere\n", Failure("runtime_error", "ModuleNotFoundError", None)),
    (ASSERTS, "def g(x):\n    return 1\n", Failure("runtime_error", "", None)),
    (ASSERTS, "def f(x):\n    raise Exception\n", Failure("runtime_error", "Exception", 0)),
    (ASSERTS, "def f(x):\n    next(iter([]))\n", Failure("runtime_error", "StopIteration", 0)),
    (ASSERTS, "next(iter([]))\n", Failure("runtime_error", "StopIteration", None)),
    (ASSERTS, ONCE + "raise Exception\n", Failure("partial", "Exception", 1)),
    (ASSERTS, ONCE + "raise Exception('no')\n", Failure("partial", "Exception", 1)),
    (ASSERTS, ONCE + "next(iter([]))\n", Failure("partial", "StopIteration", 1)),
    (ASSERTS, ONCE + "raise ValueError\n", Failure("partial", "ValueError", 1)),
    (ASSERTS, ONCE + "raise ValueError('two\\nlines')\n", Failure("partial", "ValueError", 1)),
    (ASSERTS, ONCE + "raise UserWarning('old')\n", Failure("partial", "UserWarning", 1)),
    (ASSERTS, ONCE + "assert False\n", Failure("partial", "AssertionError", 1)),
    (ASSERTS, ONCE + "raise KeyboardInterrupt\n", Failure("partial", "KeyboardInterrupt", 1)),
    (ASSERTS, ONCE + "raise SystemExit(3)\n", Failure("partial", "SystemExit", 1)),
    (ASSERTS, ONCE + "import os; os._exit(3)\n", Failure("partial", "", 1)),
    (ASSERTS, ONCE + "return 'x: ValueError: no in f(2)'\n", Failure("partial", WRONG_ANSWER, 1)),
    (CASES, ONCE + "next(iter([]))\n", Failure("partial", "StopIteration", 1)),
    (CASES, ONCE + "return 'ValueError in f(2)'\n", Failure("partial", WRONG_ANSWER, 1)),
    (CHECK, "def f(x):\n    raise Exception\n", Failure("runtime_error", "Exception", None)),
    (CASES, "def f(x):\n    return x * 2\n", Failure("partial", WRONG_ANSWER, 1)),
    (CASES, "def f(x):\n    while x:\n        pass\n", Failure("timeout", "", 0)),
    (CHECK, "def f(x):\n    return 2\n", Failure("partial", WRONG_ANSWER, None)),
]
MESSAGES: list[tuple[Any, ...]] = [
    ("class Odd(ValueError): pass\nraise Odd('no')\n", Failure("runtime_error", "Odd", None)),
    (ONCE + "return Holder(2)\nclass Holder(int):\n    pass\n", Failure("partial", WRONG_ANSWER, 1)),
    (
        "def f(x):\n    if x == 1: return 'ValueError in f(1)'\n    raise KeyError\n",
        Failure("runtime_error", "", 0),
    ),
]
BASE: list[tuple[Any, ...]] = [
    ("def f(x):\n    return x + 1\n", True),
    ("def f(x):\n    return x + 1 if x else 7\n", True),
    ("def f(x):\n    return 2\n", False),
    ("def f(x)\n", False),
]


@pytest.fixture(scope="module")
def judged() -> Judged:
    """Return the verdict on one of the programs above: all are judged at once, each in processes of its own."""
    programs = [(tests, code) for tests, code, _ in STATES]
    programs += [(ASSERTS, code) for code, _ in [*MESSAGES, *BASE]]
    rest: Any = {"source": "student", "model": "m", "sampling": {}, "finish_reason": "stop"}
    items = [
        (Problem("t", "p", tests, "f"), Candidate(str(number), "t", code, code, **rest))
        for number, (tests, code) in enumerate(programs)
    ]
    found = {judgement.candidate_id: judgement for judgement in UnitTests(workers=2, timeout=1).judge(items)}
    return lambda tests, code: found[str(programs.index((tests, code)))]


@pytest.mark.parametrize(("tests", "code", "expected"), STATES)
def test_state_exception_and_test_of_real_verdicts(
    tests: Any, code: str, expected: Failure | None, judged: Judged
) -> None:
    verdict = judged(tests, code)
    assert Failure.of(verdict) == expected
    # One that was stored before verdicts had fields for it.
    old = {name: verdict.detail[name] for name in ("passed", "total", "message")}
    assert Failure.of(replace(verdict, detail=old)) == expected


@pytest.mark.parametrize(("code", "expected"), MESSAGES)
def test_what_a_message_alone_does_not_tell(code: str, expected: Failure, judged: Judged) -> None:
    assert Failure.of(judged(ASSERTS, code)) == expected


@pytest.mark.parametrize(("code", "passed"), BASE)
def test_the_base_tests_are_the_first_ones(code: str, passed: bool, judged: Judged) -> None:
    assert base_passed(judged(ASSERTS, code), base_tests=2) is passed


def test_failures_are_counted_the_most_frequent_first() -> None:
    one, other = Failure("partial", WRONG_ANSWER, 3), Failure("timeout", "", None)
    rows = count_failures(Counter([other, one, one]))
    assert rows == [
        {"state": "partial", "exception": WRONG_ANSWER, "test": 3, "count": 2},
        {"state": "timeout", "exception": "", "test": None, "count": 1},
    ]


def test_a_judgement_without_a_state_is_refused() -> None:
    with pytest.raises(ValueError, match="teacher gives no state"):
        Failure.of(Judgement("c", "teacher", None, 1.0))

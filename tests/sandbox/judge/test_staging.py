"""What is sent to a program's process, what stays with the judge, and that tests mean what Python means by them."""

from __future__ import annotations

import marshal
import types
from collections.abc import Iterator
from typing import Any

import pytest

from rrtf_trl.records import AssertTests, CheckTests, PytestTests, Tests
from rrtf_trl.sandbox import Job, Outcome, Sandbox
from rrtf_trl.sandbox.common import codec
from rrtf_trl.sandbox.job import suite_body
from rrtf_trl.sandbox.judge.compiled_tests import CompiledTests
from support.sandbox_hostile import FORMS, HOSTILE, RIGHT, WANTED
from support.sandbox_idioms import AT_MODULE_LEVEL, IDIOMS

EXPECTED = {WANTED, WANTED + 1, WANTED - 1, str(WANTED)}
KEPT = [name for name in FORMS if "sent:" not in name and "argument:" not in name]


def script_of(tests: Tests, context: str = "") -> bytes:
    body = codec.unpack(codec.parse(suite_body(Job("", "", tests, "f", context))))
    return CompiledTests(body, b"01234567").script()[1]


def data_in(value: Any) -> Iterator[Any]:
    """Yield all constants of code, and all values inside of values."""
    if isinstance(value, types.CodeType):
        yield from (one for inner in value.co_consts for one in data_in(inner))
    elif isinstance(value, dict):
        yield from (one for pair in value.items() for inner in pair for one in data_in(inner))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (one for inner in value for one in data_in(inner))
    else:
        yield value


def judge(sandbox: Sandbox, *jobs: Job) -> list[Outcome]:
    outcomes = {outcome.job_id: outcome for outcome in sandbox.run_many(jobs)}
    return [outcomes[job.job_id] for job in jobs]


@pytest.mark.parametrize("context", ["", RIGHT], ids=["alone", "with a reference"])
@pytest.mark.parametrize("name", KEPT)
def test_no_expected_value_is_sent(name: str, context: str) -> None:
    if name == "cases" or (name == "pytest" and context):
        context = ""
    units, values, packed = marshal.loads(script_of(FORMS[name], context))
    sent = [*data_in([units, values]), *data_in(codec.parse(packed))]
    assert units
    assert EXPECTED.isdisjoint(one for one in sent if isinstance(one, int | str))


def test_it_would_find_one() -> None:
    units, _, _ = marshal.loads(script_of(AssertTests([f"assert any(f(x) == {WANTED} for x in [2])"])))
    assert WANTED in list(data_in(units))


def test_right_programs_are_judged_by_the_judge(sandbox: Sandbox) -> None:
    for context in ("", RIGHT):
        jobs = [Job(name, RIGHT, FORMS[name], "f", context) for name in KEPT if "two answers" not in name]
        for outcome in judge(sandbox, *jobs):
            assert (outcome.state, outcome.decided_by) == ("passed", "judge"), outcome


def test_forms_that_the_program_decides_say_so(sandbox: Sandbox) -> None:
    jobs = [Job(name, RIGHT, tests, "f") for name, tests in FORMS.items() if "sent:" in name or "two answers" in name]
    for outcome in judge(sandbox, *jobs):
        assert (outcome.state, outcome.decided_by) == ("passed", "program"), outcome


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_no_program_that_knows_nothing_passes_by_the_judge(name: str, sandbox: Sandbox) -> None:
    """Where the only value that is expected is an argument of the call, it is known."""
    jobs = [
        Job(f"{form} {bool(context)}", HOSTILE[name], tests, "f", context)
        for form, tests in FORMS.items()
        for context in ("", RIGHT)
        if "argument:" not in form and (form.startswith("asserts") or not context)
    ]
    for outcome in judge(sandbox, *jobs):
        assert outcome.state != "infrastructure", outcome
        assert outcome.state != "passed" or outcome.decided_by == "program", outcome


def plain(program: str, test: str) -> bool:
    module = types.ModuleType("solution")
    try:
        exec(program, module.__dict__)
        exec(test, module.__dict__)
    except BaseException:  # pytest's own failures are no Exception
        return False
    return True


@pytest.mark.parametrize("name", [*IDIOMS, *AT_MODULE_LEVEL])
def test_an_idiom_is_as_in_plain_execution(name: str, sandbox: Sandbox) -> None:
    right, wrong, test = (IDIOMS | AT_MODULE_LEVEL)[name]
    if name != "pickle":
        assert plain(right, test)
        assert not plain(wrong, test)
    lines = "".join(f"    {line}\n" for line in test.strip().split("\n"))
    kinds: list[Tests] = [AssertTests([test])]
    if name in IDIOMS:
        entry = "B" if "class B" in right else "Stack" if "Stack" in right else "f"
        names = ", ".join(one for one in ("f", "B", "Stack", "Mine") if f" {one}" in right)
        kinds.append(CheckTests(f"def check(candidate):\n    {entry} = candidate\n{lines}"))
        kinds.append(PytestTests({"test_it.py": f"from solution import {names}\ndef test_it():\n{lines}"}))
    else:
        entry = "f"
    jobs = []
    for number, tests in enumerate(kinds):
        for context in ("", right):
            key = f"{number} {bool(context)}"
            jobs += [
                Job(f"right {key}", right, tests, entry, context),
                Job(f"wrong {key}", wrong, tests, entry, context),
            ]
    for outcome in judge(sandbox, *jobs):
        assert (outcome.state == "passed") is outcome.job_id.startswith("right"), outcome


HIDDEN = "len([one for one in object.__subclasses__() if one.__module__.startswith('rrtf_trl.sandbox.judge')])"


@pytest.mark.parametrize(
    "test",
    [
        "assert eval(f(1)) == 0",
        "def run(text): return eval(text)\nassert run(f(1)) == 0",
        "space = {}\nexec('y = ' + f(1), space)\nassert space['y'] == 0",
        "import builtins\nassert builtins.eval(f(1)) == 0",
        "assert __import__('builtins').eval(f(1)) == 0",
        "import pickle\nassert pickle.loads(f(2)) == 0",
    ],
)
def test_code_in_answers_runs_where_the_program_runs(test: str, sandbox: Sandbox) -> None:
    code = f"""
HIDDEN = {HIDDEN!r}
class Reduced:
    def __reduce__(self): return (eval, (HIDDEN,))
def f(x):
    import pickle
    return HIDDEN if x == 1 else pickle.dumps(Reduced())
"""
    (outcome,) = judge(sandbox, Job("", code, AssertTests([test]), "f"))
    assert outcome.state == "passed", outcome


def test_helpers_of_the_context_that_run_code_run_where_the_program_runs(sandbox: Sandbox) -> None:
    context = "def run(text):\n    return eval(text)\n\ndef f(x):\n    return '0'\n"
    tests = CheckTests("def check(candidate):\n    assert run(candidate(1)) == 0\n")
    code = f"def f(x): return {HIDDEN!r}\n"
    (outcome,) = judge(sandbox, Job("", code, tests, "f", context, helpers=("run",)))
    assert outcome.state == "passed", outcome


def test_the_reference_replaces_no_name_of_the_program(sandbox: Sandbox) -> None:
    """Where the reference imports what only the program's process may have, too."""
    wrong = "import asyncio\nasync def f(): return 1\n"
    right = wrong.replace("1", "await Client().get()") + "class Client:\n    async def get(self): return 1\n"
    tests = AssertTests(
        ["import asyncio\nc = Client()\nassert asyncio.run(c.get()) == 1", "assert asyncio.run(f()) == 1"]
    )
    passed, failed = judge(sandbox, Job("1", right, tests, "f", right), Job("2", wrong, tests, "f", right))
    assert (passed.state, failed.state, failed.passed) == ("passed", "partial", 1)


def test_a_variable_that_the_program_changes_fails_the_test_that_goes_on_with_it(sandbox: Sandbox) -> None:
    tests = AssertTests(["xs = [3, 1]\nassert f(xs) == 2\nfor x in xs:\n    assert g(x) == x"])
    good = "def f(xs): return len(xs)\ndef g(x): return x\n"
    bad = "def f(xs):\n    xs.clear()\n    return 2\ndef g(x): return x\n"
    first, second = judge(sandbox, Job("1", good, tests, "f"), Job("2", bad, tests, "f"))
    assert first.state == "passed"
    assert second.state == "partial"
    assert "the program changed xs" in second.message


def test_a_reference_that_changes_a_variable_lets_programs_change_it(sandbox: Sandbox) -> None:
    tests = AssertTests(["xs = [3, 1]\nassert f(xs) == 2\nfor x in xs:\n    assert g(x) == x"])
    right = "def f(xs):\n    xs.sort()\n    return 2\ndef g(x): return x\n"
    wrong = "def f(xs):\n    xs.sort()\n    return 2\ndef g(x): return x + 1\n"
    first, second = judge(sandbox, Job("1", right, tests, "f", right), Job("2", wrong, tests, "f", right))
    assert (first.state, second.state) == ("passed", "partial")


def test_files_of_unittest_with_parts_and_failures(sandbox: Sandbox) -> None:
    text = """
import unittest
from solution import f

class TestIt(unittest.TestCase):
    def test_parts(self):
        for x in (1, 2):
            with self.subTest(x=x):
                self.assertEqual(f(x), x + 1)

    def test_failure(self):
        if f(1) != 2:
            self.fail("no")

    def test_called(self):
        self.assertRaises(TypeError, f, "a")
        with self.assertRaises(TypeError) as caught:
            f(None)
        self.assertIsInstance(caught.exception, TypeError)
"""
    tests = PytestTests({"test_it.py": text})
    right, wrong = "def f(x): return x + 1", "def f(x): return x + 2 if x == 2 else x + 1"
    first, second = judge(sandbox, Job("1", right, tests), Job("2", wrong, tests))
    assert (first.state, first.passed) == ("passed", 3)
    assert (second.state, second.passed) == ("partial", 2)


def test_files_with_approx_and_fail_have_the_objects_of_the_program(sandbox: Sandbox) -> None:
    text = """
import pytest
from solution import Tree

def test_it():
    tree = Tree()
    tree["a"]["b"].add(3)
    assert len(tree["a"]) == pytest.approx(1)
    if tree["a"]["b"].sum != pytest.approx(3):
        pytest.fail("no")
"""
    right = """
class Tree(dict):
    sum = 0
    def __missing__(self, key):
        self[key] = Tree()
        return self[key]
    def add(self, number): self.sum += number
"""
    tests = PytestTests({"test_it.py": text})
    first, second = judge(sandbox, Job("1", right, tests), Job("2", right.replace("+=", "-="), tests))
    assert (first.state, second.state) == ("passed", "partial"), (first, second)

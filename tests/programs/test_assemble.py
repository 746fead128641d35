"""What is run for a candidate: files that it imports, a preamble, a method as the entry point."""

from typing import Any

import pytest

from rrtf_trl.feedback import UnitTests
from rrtf_trl.programs.assemble import is_code, whole_program
from rrtf_trl.records import Candidate, CaseTests, Problem, RecordError, StdioTests, to_json

CASES = CaseTests([{"args": [[2, 7], 9], "expected": [0, 1]}])
FILES = {
    "geometry/area.py": "from .units import ONE\ndef first():\n    return ONE - 1\n",
    "geometry/units.py": "ONE = 1\n",
    "tools.py": "from geometry.area import first\nLAST = 1\n",
}


def states(problem: Problem, *codes: str) -> list[str | None]:
    rest: Any = {"source": "student", "model": "m", "sampling": {}, "finish_reason": "stop"}
    items = [(problem, Candidate(str(i), problem.task_id, code, code, **rest)) for i, code in enumerate(codes)]
    found = {judgement.candidate_id: judgement.state for judgement in UnitTests(workers=1).judge(items)}
    return [found[str(index)] for index in range(len(codes))]


def test_a_method_of_a_class_is_called_on_a_new_object() -> None:
    problem = Problem("a", "p", CASES, "Solution.two_sum")
    assert states(
        problem,
        "class Solution:\n    def two_sum(self, xs, t):\n        return [0, 1]\n",
        "class Solution:\n    def two_sum(self, xs, t):\n        return [1, 0]\n",
        "class Solution:\n    pass\n",
        "def two_sum(xs, t):\n    return [0, 1]\n",
        "class Solution\n",
    ) == ["passed", "partial", "runtime_error", "passed", "compile_error"]


@pytest.mark.slow
def test_files_are_imported_and_the_preamble_stands_before() -> None:
    problem = Problem("a", "p", CASES, "two_sum", files=FILES, preamble="from typing import List")
    assert states(
        problem,
        "import tools\nimport geometry.area as g\ndef two_sum(xs: List, t):\n    return [g.first(), tools.LAST]\n",
        "from __future__ import (annotations,\n    division)\ndef two_sum(xs: List[int], t):\n    return [0, 1]\n",
        "from geometry import volume\n",
    ) == ["passed", "passed", "runtime_error"]
    printing = Problem("b", "p", StdioTests([{"input": "", "output": "0\n"}]), files=FILES)
    assert states(printing, "import geometry.area as a\nprint(a.first())\n") == ["passed"]


def test_the_reference_gets_the_same_around_it() -> None:
    reference = "from tools import LAST\ndef two_sum(xs: List[int], t):\n    return [0, LAST]\n"
    problem = Problem("a", "p", CASES, "two_sum", reference, files=FILES, preamble="from typing import List")
    assert states(problem, reference) == ["passed"]


@pytest.mark.slow
def test_the_same_module_name_may_be_another_file_in_the_next_problem() -> None:
    code = "from tools import LAST\ndef two_sum(xs, t):\n    return [0, LAST]\n"
    for last, state in ((1, "passed"), (2, "partial"), (1, "passed")):
        problem = Problem("a", "p", CASES, "two_sum", code, files={"tools.py": f"LAST = {last}\n"})
        assert states(problem, code) == [state]


def test_without_files_and_preamble_the_code_is_what_it_was() -> None:
    problem = Problem("a", "p", CASES, "two_sum")
    assert whole_program(problem, "x = 1\n") == "x = 1\n"
    assert problem.content_key == Problem("a", "p", CASES, "two_sum", metadata={"note": 1}).content_key
    assert problem.content_key != Problem("a", "p", CASES, "two_sum", files=FILES).content_key


@pytest.mark.parametrize("name", ["../a.py", "/a.py", "a.txt", "a-b.py", "", "a/b"])
def test_only_names_of_modules_are_files(name: str) -> None:
    row = {**to_json(Problem("a", "p", CASES, "f")), "files": {name: ""}}
    with pytest.raises(RecordError, match="field files: expected names of modules"):
        Problem.from_json(row)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("def f(x):\n", True),
        ("class Solution:\n    def f(self):\n", True),
        ('from typing import List\n\ndef f():\n    """Doc."""\n', True),
        ('"""\nWrite it.\n"""\n', True),
        ("# add\n", True),
        ("Write a function to add.", False),
        ("Walk\nfrom the first cell to the last.\nExamples:", False),
        ("Whom to import\nimport taxes are paid by:", False),
    ],
)
def test_code_and_prose_are_told_apart(prompt: str, expected: bool) -> None:
    assert is_code(prompt) is expected

import ast
import os
from pathlib import Path

import pytest

from rrtf_trl.problems import ProblemFile
from rrtf_trl.samplers import extract_code

HEAD = 'import math\n\n\ndef area(r):\n    """Area of a circle."""\n'
BODY = "    square = r * r\n    return math.pi * square\n"
PROGRAM = HEAD + BODY
PAPER_HEAD = '"""Area of a circle."""\ndef area(r):\n'
OWN = "import math\n\ndef area(r):\n    return math.pi * r * r\n"


@pytest.mark.parametrize(
    "response",
    [
        BODY,
        BODY + "\n\nprint(area(2))\n",
        BODY + "\ndef test():\n    assert area(0) == 0\n",
        BODY + "# That is the area.\n",
        BODY + "```\nThis multiplies.\n",
        f"```python\n{BODY}```",
        f"Here is the body:\n\n```python\n{BODY}```\nIt squares the radius.",
        "```python\nsquare = r * r\nreturn math.pi * square\n```",
    ],
)
def test_a_body_is_completed_with_the_prompt(response: str) -> None:
    assert extract_code(response, HEAD, "area").code == PROGRAM


@pytest.mark.parametrize(
    "response",
    [
        f"```python\n{PROGRAM}```",
        f"Sure!\n\n```py\n{PROGRAM}```\n\nHope this helps.",
        f"First a try:\n```python\nx = 1\n```\nBetter:\n```python\n{PROGRAM}```",
        f"To install:\n```bash\npip install numpy\n```\nThen:\n```python\n{PROGRAM}```",
    ],
)
def test_a_whole_program_in_a_fence_is_taken_as_it_is(response: str) -> None:
    assert extract_code(response, HEAD, "area").code == PROGRAM


def test_a_repeated_signature_keeps_the_prompts_imports_and_the_answers_own_body() -> None:
    answer = "def area(r):\n    return math.pi * r ** 2\n"
    code = extract_code(answer, HEAD, "area").code
    assert ast.unparse(ast.parse(code)) == "import math\n\ndef area(r):\n    return math.pi * r ** 2"
    assert extract_code(OWN, PAPER_HEAD, "area").code == OWN


def test_prose_around_code_without_fences_is_dropped() -> None:
    answer = f"Of course, this is it:\n\n{OWN}\nThis works because a circle is round.\n"
    for prompt in (PAPER_HEAD, "Write area(r).", [{"role": "user", "content": "Write area(r)."}]):
        extracted = extract_code(answer, prompt, "area")
        assert extracted.code == OWN
        assert extracted.ended


def test_an_instruction_in_prose_is_answered_not_continued() -> None:
    assert extract_code(OWN, "Write a function for the area of a circle.", "area").code == OWN


def test_triple_quotes_hide_lines_that_look_like_an_end() -> None:
    body = '    text = """\ndef not_code():\n"""\n    return text\n'
    assert extract_code(body + "\nprint(1)\n", "def f():\n", "f").code == "def f():\n" + body


@pytest.mark.parametrize(
    ("response", "ended"),
    [
        (BODY, False),
        (BODY + "\nprint(1)\n", True),
        (f"```python\n{PROGRAM}```", True),
        (f"```python\n{PROGRAM}", False),
        ("    return math.pi * (r", False),
    ],
)
def test_it_is_told_whether_the_programs_end_was_seen(response: str, ended: bool) -> None:
    assert extract_code(response, HEAD, "area").ended is ended


def test_a_response_is_kept_to_the_letter_when_it_is_code_alone() -> None:
    assert extract_code(BODY, HEAD, "area").code == HEAD + BODY
    assert extract_code("print(input())\n", [{"role": "user", "content": "Echo."}], None).code == "print(input())\n"


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("RRTF_DATA_DIR"), reason="RRTF_DATA_DIR does not name the folder of data")
def test_humanevals_answers_are_found_in_every_dress() -> None:
    for problem in ProblemFile(Path(os.environ["RRTF_DATA_DIR"]) / "HumanEval.jsonl.gz"):
        assert isinstance(problem.prompt, str)
        assert problem.reference is not None
        body = problem.reference.removeprefix(problem.prompt)
        for response in (body, f"Sure!\n```python\n{problem.reference}```\nDone.", f"```python\n{body}```"):
            code = extract_code(response, problem.prompt, problem.entry_point).code
            assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(problem.reference)), problem.task_id


def test_the_next_task_that_a_base_model_makes_up_is_left_out() -> None:
    prompt = '"""\nWrite a function to add.\nassert add(1, 2) == 3\n"""\n'
    answer = 'import math\n\ndef add(a, b):\n    """Add."""\n    return a + b\n\n"""\nWrite a function to'
    extracted = extract_code(answer, prompt, "add")
    assert extracted.code.rstrip().endswith("return a + b")
    assert extracted.ended


def test_a_method_is_found_by_its_class() -> None:
    answer = "Sure:\n\n```python\nx = 1\n```\n\n```python\nclass Solution:\n    def two_sum(self, a): ...\n```\n"
    assert extract_code(answer, "Add two.", "Solution.two_sum").code.startswith("class Solution:")
    stub = "class Solution:\n    def two_sum(self, a):\n"
    assert extract_code("        return a\n\nprint(1)", stub, "Solution.two_sum").code == stub + "        return a\n"


def test_prose_that_reads_like_an_import_is_prose() -> None:
    prompt = "Count the paths.\nfrom the first cell to the last\nimport nothing, print one number:"
    assert extract_code("print(1)\n", prompt, None).code == "print(1)\n"

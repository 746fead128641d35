"""What is taken out of responses in the manner of real model families, by tree and by running it."""

from __future__ import annotations

import ast
import random
import re

import pytest

from programs.responses import CASES, Case, solves
from rrtf_trl.programs.extract import extract_code

PIECES = [
    *("```", "```python\n", "\n```\n", "~~~", "<think>", "</think>", '"""', "'''", "\n", "\r\n", "    ", "\t", "\0"),
    *("\ud800", "def top(xs):\n", "class Solution:\n", "return 1\n", "(", ")", "#", "\\", "'", '"', "[PYTHON]"),
    *("[/PYTHON]", "<answer>", "</answer>", "<|im_end|>", ":", "import os\n", "@", "> ", "- ", "else:\n", "\ufeff"),
]


def tree(code: str) -> str:
    try:
        return ast.dump(ast.parse(code))
    except (SyntaxError, ValueError):
        return code.strip()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family}: {case.kind}")
def test_the_program_that_is_given_is_taken(case: Case) -> None:
    extracted = extract_code(case.response, case.prompt, case.entry_point)
    if case.program is None:
        assert not solves(extracted.code, case.entry_point), extracted.code
    else:
        assert tree(extracted.code) == tree(case.program), extracted.code
        assert solves(extracted.code, case.entry_point) is solves(case.program, case.entry_point)
    assert case.ended in (None, extracted.ended)


def test_every_family_is_here_and_nearly_all_programs_solve_their_task() -> None:
    families = {case.family for case in CASES}
    assert families >= {
        "Qwen2.5-Coder",
        "Qwen3",
        "DeepSeek-R1",
        "Llama 3",
        "Code Llama",
        "Gemma 3",
        "Magistral",
        "gpt-oss",
    }
    given = [case for case in CASES if case.program is not None]
    assert len(given) > 250
    assert sum(not solves(case.program or "", case.entry_point) for case in given) < 6  # Python 2, and wrong ones


def mutated(text: str, draw: random.Random) -> str:
    for _ in range(draw.randint(1, 4)):
        start = draw.randint(0, len(text))
        end = min(len(text), start + draw.randint(0, 12))
        other = draw.choice(CASES).response
        text = draw.choice(
            [
                text[:start] + text[end:],
                text[:start] + draw.choice(PIECES) + text[start:],
                text[:start] + text[start:end] * 2 + text[end:],
                text[:start] + other[draw.randint(0, len(other)) :],
                text[:start],
            ]
        )
    return text


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_something_is_taken_and_in_a_fence_it_stays_the_same(seed: int) -> None:
    draw = random.Random(seed)
    for case in CASES:
        response = mutated(case.response, draw) if seed else case.response
        code = extract_code(response, case.prompt, case.entry_point).code
        fence = "`" * (max([2, *map(len, re.findall("`+", code))]) + 1)
        again = extract_code(f"{fence}python\n{code}{fence}\n", case.prompt, case.entry_point)
        assert again.code == code, response


@pytest.mark.parametrize(
    "response",
    [
        "```python\n" + "[" * 10**5 + "\n```",
        "```python\nx = " + "-" * 10**5 + "1\n```",
        "```python\nx = a" + ".b" * 40_000 + "\n```",
        "```python\n" + "if x: pass\n" + "elif x: pass\n" * 8_000 + "```",
        "    return " + "(" * 300 + ")" * 300 + "\n",
        '"""' * 10_001,
        "```python\ndef top(xs):\n    return '\ud800'\n```",
        "```python\ndef top(xs):\n    return r'\\w' is 1\n```",
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_parsers_choke_on_is_taken_as_it_is(response: str) -> None:
    for prompt in ("def top(xs):\n", [{"role": "user", "content": "top"}]):
        for entry_point in ("top", None):
            assert extract_code(response, prompt, entry_point).code


@pytest.mark.parametrize("around", [("It's long (very).\n" * 60_000, ""), ("", "It's long (very).\n" * 60_000)])
def test_a_program_is_found_in_a_million_characters(around: tuple[str, str]) -> None:
    before, after = around
    response = f"{before}\n```python\ndef top(xs):\n    return xs\n```\n{after}"
    assert extract_code(response, "As top.", "top").code == "def top(xs):\n    return xs\n"

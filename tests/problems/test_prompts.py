import pytest

from rrtf_trl.problems import render_prompt
from rrtf_trl.records import AssertTests, CaseTests, Problem, RecordError, StdioTests

MBPP = Problem(
    "MBPP/7",
    "Write a function to add.",
    AssertTests(["assert add(1, 2) == 3"]),
    "add",
    "def add(a, b):\n    return a + b\n",
)
STUB = "class Solution:\n    def two_sum(self, xs: list[int]) -> int:\n"
LEETCODE = Problem(
    "x/1", 'Say "two" of """it""".', CaseTests([{"args": [[1]], "expected": 1}]), "Solution.two_sum",
    metadata={"signature": STUB},
)  # fmt: skip
CODE = Problem("x/2", "def f(x):\n", CaseTests([{"args": [1], "expected": 1}]), "f")
PROGRAM = Problem("x/3", "Add two numbers.", StdioTests([{"input": "1 2", "output": "3"}]))


def test_the_completion_form_is_code_that_names_the_function() -> None:
    assert render_prompt(MBPP, "completion").prompt == '"""\nWrite a function to add.\nassert add(1, 2) == 3\n"""\n'
    assert render_prompt(LEETCODE, "completion").prompt == f'"""\nSay "two" of \'\'\'it\'\'\'.\n"""\n{STUB}'
    assert render_prompt(PROGRAM, "completion").prompt == '"""\nAdd two numbers.\n"""\n'
    assert render_prompt(CODE, "completion") is CODE


def test_the_papers_form_takes_a_signature_that_the_problem_gives() -> None:
    assert render_prompt(LEETCODE, "paper").prompt == f'"""Say "two" of \'\'\'it\'\'\'."""\n{STUB}'
    plus = Problem("Mbpp/7", '"""\nWrite it.\nassert add(1, 2)\n"""\n', MBPP.tests, "add", MBPP.reference)
    assert render_prompt(plus, "paper").prompt == '"""Write it.\nassert add(1, 2)"""\ndef add(a, b):\n'
    with pytest.raises(RecordError, match="no signature"):
        render_prompt(PROGRAM, "paper")


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (MBPP, ["Write a function to add.", "pass this test", "assert add(1, 2) == 3"]),
        (LEETCODE, ['"""it"""', "Complete this code", STUB.rstrip()]),
        (PROGRAM, ["reads its standard input", "Add two numbers."]),
        (CODE, ["def f(x):"]),
    ],
)
def test_the_chat_form_says_all_that_an_answer_needs(problem: Problem, words: list[str]) -> None:
    (message,) = render_prompt(problem, "chat").prompt
    assert isinstance(message, dict)
    assert all(word in message["content"] for word in words)


def test_the_published_prompt_is_kept() -> None:
    assert render_prompt(MBPP, "chat").metadata["published_prompt"] == MBPP.prompt
    assert render_prompt(MBPP, "chat").content_key != MBPP.content_key


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(RecordError, match="'prose' is not one of as_is, completion, paper, chat"):
        render_prompt(MBPP, "prose")  # type: ignore[arg-type]


def test_a_system_prompt_comes_before_chat_messages() -> None:
    system = {"role": "system", "content": "Be terse."}
    chat = render_prompt(MBPP, "chat").prompt
    assert render_prompt(MBPP, "chat", "Be terse.").prompt == [system, *chat]
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    several = Problem("x", turns, MBPP.tests, "add")
    assert render_prompt(several, "as_is", "Be terse.").prompt == [system, *turns]
    with pytest.raises(RecordError, match="begins with a system message already"):
        render_prompt(Problem("x", [system, *turns], MBPP.tests, "add"), "as_is", "Be long.")
    for form in ("as_is", "completion", "paper"):
        with pytest.raises(RecordError, match="use prompt_form=chat"):
            render_prompt(MBPP, form, "Be terse.")

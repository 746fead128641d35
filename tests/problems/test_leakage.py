from rrtf_trl.problems.decontamination.leakage import find_leaks
from rrtf_trl.records import CaseTests, Problem

LONG = "Given a list of integers, return the length of the longest run of equal neighbours in it."
OTHER = "Reverse the words of a sentence, but keep the letters of each word in their order."
BODY = """\
def f(xs):
    best = 0
    for x in xs:
        if x > best:
            best = x
    return best + len(xs)
"""


def problem(task: str, prompt: str, reference: str | None = None, name: str = "f", tests: object = None) -> Problem:
    return Problem(task, prompt, tests or CaseTests([{"args": [task], "expected": 1}]), name, reference)


def test_copies_near_copies_answers_and_names_are_found() -> None:
    cases = [
        {"args": ["the cat sat"], "expected": "sat cat the"},
        {"args": ["hello world"], "expected": "world hello"},
    ]
    benchmark = [
        problem("b/copy", LONG, name="longest_equal_run"),
        problem("b/near", LONG + " The list may be empty.", name="a"),
        problem("b/answer", "Tell it with nothing in common whatsoever.", BODY, name="b"),
        problem(
            "b/name",
            "def count_vowels_in_text(s):\n    '''Count how many vowels occur.'''\n",
            name="count_vowels_in_text",
        ),
        problem("b/tests", "Square, and add one more.", name="g", tests=CaseTests(cases)),
        problem("b/clean", OTHER, name="c"),
    ]
    train = [
        problem("t/0", "  " + LONG.upper(), name="d"),
        problem("t/1", "The greatest.", BODY.replace("best", "top").replace("    ", "\t"), name="e"),
        problem(
            "t/2", "def countVowelsInText(text):\n    '''Say something of letters.'''\n", name="countVowelsInText"
        ),
        problem("t/3", "Unlike anything else here.", name="h", tests=CaseTests(cases[::-1])),
    ]
    found = {leak.task_id: (leak.train_task_id, leak.kind, leak.share) for leak in find_leaks(benchmark, train)}
    assert found == {
        "b/copy": ("t/0", "ngram", 1.0),
        "b/near": ("t/0", "ngram", found["b/near"][2]),
        "b/answer": ("t/1", "ast", 1.0),
        "b/name": ("t/2", "signature", 1.0),
        "b/tests": ("t/3", "tests", 1.0),
    }
    assert found["b/near"][2] >= 0.6


def test_only_what_counts_is_looked_for() -> None:
    assert find_leaks([problem("b", LONG)], [problem("t", LONG, name="g")], kinds=["signature", "ast"]) == []


def test_a_short_answer_says_nothing() -> None:
    assert find_leaks([problem("b", LONG, "x + 1")], [problem("t", OTHER, "x + 1", name="g")]) == []


def test_a_prompt_in_another_form_is_compared_as_published() -> None:
    tests = CaseTests([{"args": [1], "expected": 1}])
    chat = Problem("b", [{"role": "user", "content": "Hi"}], tests, "f", metadata={"published_prompt": LONG})
    (leak,) = find_leaks([chat], [problem("t", LONG, name="g")])
    assert (leak.kind, leak.share) == ("ngram", 1.0)
    assert leak.evidence

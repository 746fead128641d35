from rrtf_trl.evaluation.leakage import find_leaks
from rrtf_trl.records import CaseTests, Problem

TESTS = CaseTests([{"args": [1], "expected": 1}])
LONG = "Given a list of integers, return the length of the longest run of equal neighbours in it."
BODY = "def f(xs):\n    best = 0\n    for x in xs:\n        best = max(best, x)\n    return best\n"


def problem(task: str, prompt: str, reference: str | None = None) -> Problem:
    return Problem(task, prompt, TESTS, "f", reference)


def test_copies_near_copies_and_answers_are_found() -> None:
    benchmark = [
        problem("b/copy", LONG),
        problem("b/near", LONG + " The list may be empty."),
        problem("b/answer", "Say it in other words altogether, with nothing in common.", BODY),
        problem("b/short", "Add one."),
        problem("b/clean", "Reverse the words of a sentence, but keep the letters of each word in their order."),
    ]
    train = [
        problem("t/0", "  " + LONG.upper()),
        problem("t/1", "The greatest.", BODY.replace("    ", "\t")),
        problem("t/2", "add  one ."),
        problem("t/3", "Add one. And then another, and one more after that, until there are ten of them."),
    ]
    found = {leak.task_id: (leak.train_task_id, leak.what, leak.share) for leak in find_leaks(benchmark, train)}
    assert found["b/copy"] == ("t/0", "prompt", 1.0)
    assert found["b/near"][:2] == ("t/0", "prompt")
    assert 0.5 <= found["b/near"][2] < 1
    assert found["b/answer"] == ("t/1", "reference", 1.0)
    assert found["b/short"] == ("t/2", "prompt", 1.0)
    assert "b/clean" not in found


def test_a_short_answer_says_nothing() -> None:
    assert find_leaks([problem("b", LONG, "x + 1")], [problem("t", "Other.", "x + 1")]) == []


def test_a_prompt_in_another_form_is_compared_as_published() -> None:
    chat = Problem("b", [{"role": "user", "content": "Hi"}], TESTS, "f", metadata={"published_prompt": LONG})
    assert [leak.share for leak in find_leaks([chat], [problem("t", LONG)])] == [1.0]

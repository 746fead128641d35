"""What evolution is made of: rules of elimination, near duplicates, mutants, cases, tasks in files."""

import json
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.problems.evolution import Seed, read_seeds
from rrtf_trl.problems.evolution.cases import cases_of
from rrtf_trl.problems.evolution.duplicates import NearDuplicates
from rrtf_trl.problems.evolution.mutants import mutants
from rrtf_trl.problems.evolution.rules import eliminated
from rrtf_trl.problems.evolution.seeds import function_of
from rrtf_trl.problems.evolution.work import WorkFile

TOPICS = ["sheep on a farm", "stars above a desert", "coins in a purse", "stamps from abroad", "trains at a station"]


def seed(task: str, signature: str | None = "def f(x)", **options: Any) -> Seed:
    return Seed("s", task, signature, None, "s", **options)


@pytest.mark.parametrize(
    ("task", "signature", "reason"),
    [
        ("Return the sum of the squares of a list.", "def f(x)", None),
        ("?!. , -- ;; the a", "def f(x)", "it has hardly any text"),
        ("word " * 1000, "def f(x)", "it is longer than 4000 characters"),
        ("Sorry, but I cannot help with this request.", "def f(x)", "the teacher gives up"),
        ("return the SUM of a list,  please.", "def f(x)", "it is the same as its parent"),
        ("Unlike the given task, return the product.", "def f(x)", "it mentions how it was made: 'given task'"),
        ("Read two numbers from the user and add them.", "def f(x)", "it cannot be tested by calls: 'from the user'"),
        ("Draw a square of a given size on the screen.", "def f(x)", "it cannot be tested by calls: 'Draw'"),
        ("Return the answer to everything there is.", "def f()", "its function takes nothing"),
    ],
)
def test_elimination_rules(task: str, signature: str, reason: str | None) -> None:
    assert eliminated(seed(task, signature), seed("Return the sum of a list, please.")) == reason


def test_near_duplicates_are_found_on_disk_and_a_family_may_be_alike(tmp_path: Path) -> None:
    work = WorkFile(tmp_path / "w")
    index = NearDuplicates(work, 0.7)
    text = (
        "Return the largest number in a list of numbers that is smaller than the limit which is given as the second "
        "argument, counting every number only once, or None if there is none"
    )
    index.add("a", text)
    for i in range(50):
        index.add(f"other/{i}", f"Task number {i} speaks of {TOPICS[i % 5]} and of {i * 7} other things entirely")
    near = text.replace("or None", "else None")
    assert index.find(near, "b") == "a"
    assert index.find(near, "a") is None  # a child of its own may differ by little
    assert index.find(text, "a") == "a"  # but not by nothing
    assert index.find("Reverse the words of a sentence and join them by dashes again", "b") is None
    assert index.find("x", "b") is None
    work.remove()
    assert list(tmp_path.iterdir()) == []


PROGRAM = '''def f(xs, k=2):
    """Doc 1."""
    total = 0
    for x in xs:
        if x > k and x % 2 == 0:
            total += x * 3
    return total if total else None
'''


def test_mutants_differ_by_one_fault_and_are_always_the_same() -> None:
    found = mutants(PROGRAM, 100)
    assert len(found) == len(set(found)) > 15
    for expected in (
        "x >= k",
        "x > k or",
        "x % 2 != 0",
        "x % 3 == 0",
        "total = 1",
        "total -= x",
        "return None",
        "not (x",
    ):
        assert sum(expected in text for text in found) >= 1, expected
    assert not any("Doc 2" in text or text == PROGRAM for text in found)
    assert mutants(PROGRAM, 5) == mutants(PROGRAM, 5)
    assert len(mutants(PROGRAM, 5)) == 5
    assert set(mutants(PROGRAM, 5)) < set(found)
    assert mutants("def f(): pass\n", 5) == []


def test_cases_are_data_and_never_code() -> None:
    text = """Here they are:
```python
assert f([1, 2], 3) == 5
assert 5 == f([1, 2], 3)
assert f("a", k=-1) is None, "a message"
assert not f({})
assert f({"a": [1.5, True]})
assert f((1, 2)) == 3
assert f({1: 2}) == 3
assert f(__import__("os").system("touch hacked")) == 0
assert f(1) == __import__("os").getpid()
assert f(1) == 1 + 1
assert f(*[1]) == 2
assert g(1) == 2
assert f(1) != 2
f(3)
```"""
    assert cases_of(text, "f", 10) == [
        {"args": [[1, 2], 3], "expected": 5},
        {"args": ["a"], "expected": None, "kwargs": {"k": -1}},
        {"args": [{}], "expected": False},
        {"args": [{"a": [1.5, True]}], "expected": True},
    ]
    assert len(cases_of(text, "f", 2)) == 2
    assert cases_of("assert f(1) == 2\nassert f(2) ==\nassert f(3) == 4", "f", 9) == [
        {"args": [1], "expected": 2},
        {"args": [3], "expected": 4},
    ]
    assert cases_of("assert f(" + "[" * 5000, "f", 9) == []
    assert cases_of(f"assert f('{'x' * 5000}') == 1", "f", 9) == []
    assert cases_of("assert f(1e999) == 1\nassert f(2) == 9**9**9", "f", 9) == []


def test_tasks_are_read_from_any_rows(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    lines = [
        {"instruction": "Sort.", "input": "[3, 1]", "output": "x"},
        {"prompt": [{"role": "user", "content": "Hi."}], "task_id": "chat"},
        {
            "task_id": 7,
            "text": "Add.",
            "code": "def add(a, b):\n    return a + b",
            "test_list": ["assert add(1, 2) == 3"],
        },
        {"task_id": "h", "prompt": "def area(r: float):\n", "entry_point": "area", "test": "def check(c): pass"},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, chat, mbpp, humaneval = read_seeds(file)
    assert (first.task_id, first.task, first.signature) == ("tasks/1", "Sort.\n[3, 1]", None)
    assert (chat.task_id, chat.task) == ("chat", "Hi.")
    assert (mbpp.task_id, mbpp.signature, mbpp.entry_point) == ("MBPP/7", "def add(a, b)", "add")
    assert (humaneval.signature, humaneval.reference) == ("def area(r: float)", None)


@pytest.mark.parametrize("signature", ["f", "def f(x): return 1; def g(): pass", "import os", "def f(", ""])
def test_what_is_no_signature_is_none(signature: str) -> None:
    with pytest.raises(ValueError, match="no signature"):
        function_of(signature)
    assert function_of("def f(a, *, b=1) -> int:") == ("f", 2)

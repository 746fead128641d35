import gzip
import json
import os
from pathlib import Path

import pytest

from rrtf_trl.errors import InputError
from rrtf_trl.problems import ProblemFile, read_jsonl
from rrtf_trl.records import AssertTests, CheckTests

DATA = os.environ.get("RRTF_DATA_DIR")
needs_data = pytest.mark.skipif(not DATA, reason="RRTF_DATA_DIR does not name the folder of benchmark data")

ROW = {
    "task_id": "t/0",
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "tests": {"kind": "cases", "cases": [{"args": [2], "expected": 4}]},
}
HUMANEVAL_ROW = {
    "task_id": "HumanEval/x",
    "prompt": 'from math import pi\n\n\ndef area(r: float) -> float:\n    """ Area of a circle.\n    """\n',
    "entry_point": "area",
    "canonical_solution": "    return pi * r * r\n",
    "test": "def check(candidate):\n    assert candidate(0) == 0\n",
}
MBPP_ROW = {
    "task_id": 7,
    "text": "Write a function to add.",
    "code": "def helper(a):\r\n\treturn a\r\ndef add(a, b):\r\n\treturn helper(a) + b",
    "test_list": ["assert add(1, 2) == 3"],
    "test_setup_code": "",
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def test_our_humanevals_and_mbpps_rows_are_told_apart(tmp_path: Path) -> None:
    ours, humaneval, mbpp = ProblemFile(write(tmp_path / "p.jsonl", ROW, HUMANEVAL_ROW, MBPP_ROW))
    assert ours.task_id == "t/0"
    assert isinstance(humaneval.tests, CheckTests)
    assert humaneval.reference == str(HUMANEVAL_ROW["prompt"]) + "    return pi * r * r\n"
    assert isinstance(mbpp.tests, AssertTests)
    assert (mbpp.task_id, mbpp.entry_point) == ("MBPP/7", "add")
    assert mbpp.reference is not None
    assert "\r" not in mbpp.reference


def test_gzipped_files_and_blank_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(("\n" + json.dumps(ROW) + "\n\n").encode()))
    assert [problem.task_id for problem in ProblemFile(path)] == ["t/0"]
    assert [number for number, _ in read_jsonl(path)] == [2]


@pytest.mark.parametrize(
    ("second_line", "message"),
    [
        ("{not json", r"p\.jsonl:2: not JSON"),
        ("[1]", r"p\.jsonl:2: expected a JSON object, got list"),
        ({**ROW, "task_id": "t/1", "entry_point": 3}, r"p\.jsonl:2: field entry_point"),
        (ROW, r"p\.jsonl:2: field task_id: 't/0' is on line 1 too"),
        ({"task_id": "t/1", "prompt": "p"}, r"p\.jsonl:2: field tests: missing"),
        ({**HUMANEVAL_ROW, "test": None}, r"p\.jsonl:2: field test: expected a string, got null"),
    ],
)
def test_a_bad_row_is_refused_before_the_first_problem(tmp_path: Path, second_line: object, message: str) -> None:
    path = write(tmp_path / "p.jsonl", ROW, second_line)
    with pytest.raises(InputError, match=message):
        next(iter(ProblemFile(path, limit=1)))


def test_empty_missing_broken_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no problems in this file"):
        list(ProblemFile(write(tmp_path / "empty.jsonl", "")))
    with pytest.raises(InputError, match=r"none\.jsonl: no such file"):
        list(ProblemFile(tmp_path / "none.jsonl"))
    (tmp_path / "half.jsonl.gz").write_bytes(gzip.compress(json.dumps(ROW).encode() * 99)[:-20])
    with pytest.raises(InputError, match="not a whole gzip file"):
        list(ProblemFile(tmp_path / "half.jsonl.gz"))
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xe9"}\n')
    with pytest.raises(InputError, match="not UTF-8"):
        list(ProblemFile(tmp_path / "latin.jsonl"))


def test_the_papers_prompt_form_puts_the_instruction_before_the_signature(tmp_path: Path) -> None:
    humaneval, mbpp = ProblemFile(write(tmp_path / "p.jsonl", HUMANEVAL_ROW, MBPP_ROW), prompt_form="paper")
    assert humaneval.prompt == 'from math import pi\n\n\n"""Area of a circle."""\ndef area(r: float) -> float:\n'
    assert mbpp.prompt == '"""Write a function to add."""\ndef add(a, b):\n'


def test_the_chat_form_is_one_user_message(tmp_path: Path) -> None:
    (problem,) = ProblemFile(write(tmp_path / "p.jsonl", MBPP_ROW), prompt_form="chat")
    assert isinstance(problem.prompt, list)
    assert [message["role"] for message in problem.prompt] == ["user"]
    assert "Write a function to add." in problem.prompt[0]["content"]


def test_the_papers_form_needs_a_signature(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", {**ROW, "prompt": "Add one."})
    with pytest.raises(InputError, match=r"p\.jsonl:1: field prompt: no signature of 'f'.*prompt_form=chat"):
        list(ProblemFile(path, prompt_form="paper"))


@needs_data
@pytest.mark.parametrize(("name", "count"), [("HumanEval.jsonl.gz", 164), ("mbpp-001-600.jsonl.gz", 600)])
@pytest.mark.parametrize("form", ["as_is", "paper"])
def test_the_published_files_are_read_whole(name: str, count: int, form: str) -> None:
    problems = list(ProblemFile(Path(str(DATA)) / name, prompt_form=form))  # type: ignore[arg-type]
    assert len(problems) == count
    assert all(problem.entry_point and problem.reference for problem in problems)

"""Where items come from."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.errors import InputError, UserError
from rrtf_trl.labeling.label_file import LabelFile
from rrtf_trl.labeling.sources import default_labels, read_items
from support.labelling import HEAD, make_item, make_run


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


RUN = [
    ("    return 1\n", "student", "stop", "partial"),
    ("    return 1\n", "student", "stop", "partial"),  # drawn twice
    ("    return 2\n", "student", "stop", "passed"),
    ("    return 3\n", "student", "length", "runtime_error"),  # cut off
    ("    return 4\n", "teacher", "stop", "passed"),
    ("    return 1\n", "teacher", "stop", "partial"),  # the student's, from the teacher
    ("\n", "student", "stop", "runtime_error"),  # empty
]


def test_a_runs_answers_are_its_different_whole_ones_with_what_tests_said(tmp_path: Path) -> None:
    (item,) = read_items(make_run(tmp_path / "run", RUN))
    assert (item.task_id, item.prompt) == ("t/0", HEAD)
    assert {answer.text: answer.source for answer in item.answers} == {
        "    return 1\n": "teacher",
        "    return 2\n": "student",
        "    return 4\n": "teacher",
    }
    assert all(answer.response is None for answer in item.answers)  # the text says it all
    passed = next(answer for answer in item.answers if answer.text == "    return 2\n")
    assert passed.tests == {"state": "passed", "passed": 1, "total": 2, "message": "f(1) is 3"}


def test_answers_of_one_state_can_be_asked_for(tmp_path: Path) -> None:
    (item,) = read_items(make_run(tmp_path / "run", RUN), state="passed")
    assert {answer.text for answer in item.answers} == {"    return 2\n", "    return 4\n"}
    with pytest.raises(UserError, match="no problem has two different candidates that are timeout"):
        read_items(tmp_path / "run", state="timeout")
    with pytest.raises(UserError, match="--state must be one of"):
        read_items(tmp_path / "run", state="good")


def test_a_run_that_was_not_judged_yet_can_be_labelled(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", RUN, judged=False)
    assert all(answer.tests is None for answer in read_items(folder)[0].answers)
    with pytest.raises(UserError, match="`rrtf feedback` writes it"):
        read_items(folder, state="passed")


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is .* a run's folder"):
        read_items(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_items(tmp_path / "missing.jsonl")


def test_a_response_that_says_more_than_its_code_is_kept(tmp_path: Path) -> None:
    rows = [("x = 1\n", "student", "stop", "passed"), ("y = 2\n", "student", "stop", "passed")]
    (item,) = read_items(make_run(tmp_path / "run", rows))
    assert all((answer.response or "").startswith("Sure:") for answer in item.answers)


def test_every_source_is_represented_and_the_seed_decides(tmp_path: Path) -> None:
    rows = [(f"    return {i}\n", "student", "stop", "passed") for i in range(8)]
    rows += [(f"    return -{i}\n", "teacher", "stop", "passed") for i in range(1, 3)]
    folder = make_run(tmp_path / "run", rows)
    chosen = set()
    for seed in range(6):
        (item,) = read_items(folder, answers=4, seed=seed)
        assert sorted(answer.source or "" for answer in item.answers) == ["student", "student", "teacher", "teacher"]
        assert item == read_items(folder, answers=4, seed=seed)[0]
        chosen.add(item.item_id)
    assert len(chosen) > 1
    assert len(read_items(folder, answers=9)[0].answers) == 9


def test_a_file_of_prompts_with_responses(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "q"}]
    source = write(
        tmp_path / "a.jsonl",
        {
            "prompt": "p",
            "responses": ["a", "b", "a"],
            "sources": ["teacher", "student", "student"],
            "scores": [3, 2, 1],
        },
        {"prompt": chat, "chosen": [{"role": "assistant", "content": "yes"}], "rejected": "no", "task_id": "t"},
        {"prompt": "one at a time", "completion": "x", "model": "m1"},
        {"prompt": "alone", "completion": "x"},
        {"prompt": "one at a time", "completion": "y", "model": "m2"},
    )
    items = read_items(source)
    found = [(item.prompt, item.task_id, sorted((a.text, a.source, a.model) for a in item.answers)) for item in items]
    assert found == [
        ("p", None, [("a", "teacher", None), ("b", "student", None)]),
        (chat, "t", [("no", None, None), ("yes", None, None)]),
        ("one at a time", None, [("x", None, "m1"), ("y", None, "m2")]),
    ]
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    assert read_items(packed) == items
    assert default_labels(packed) == default_labels(source) == tmp_path / "a.labels.jsonl"
    with pytest.raises(UserError, match="--state needs a run's folder"):
        read_items(source, state="passed")


def test_a_labels_file_is_a_source_too(tmp_path: Path) -> None:
    item = make_item()
    with LabelFile(tmp_path / "l.jsonl") as file:
        file.add_items([item])
    assert read_items(tmp_path / "l.jsonl") == [item]
    assert default_labels(tmp_path / "l.jsonl") == tmp_path / "l.jsonl"
    assert default_labels(tmp_path) == tmp_path / "labels.jsonl"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"responses": ["a", "b"]}, "field prompt"),
        ({"prompt": "p"}, "field responses: missing"),
        ({"prompt": "p", "responses": "a"}, "field responses: expected a list"),
        ({"prompt": "p", "responses": []}, "field responses: expected a list that is not empty"),
        ({"prompt": "p", "responses": ["a", 1]}, "a response is neither text nor one assistant message: 1"),
        ({"prompt": "p", "responses": ["a", [{"role": "user", "content": "b"}]]}, "a response is neither text nor"),
        ({"prompt": "p", "responses": ["a", "b"], "sources": ["x"]}, "field sources: expected a string for each"),
        ({"prompt": "p", "responses": ["a", "b"], "task_id": 1}, "field task_id: expected a string or null, got 1"),
        ({"prompt": [{"role": "user"}], "responses": ["a", "b"]}, "field prompt[0].content"),
    ],
)
def test_a_wrong_row_is_refused_by_line_and_field(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    source = write(tmp_path / "a.jsonl", {"prompt": "p", "responses": ["a", "b"]}, row)
    with pytest.raises(InputError) as error:
        read_items(source)
    assert str(error.value).startswith(f"{source}:2: {message}")

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from rrtf_trl.errors import InputError
from rrtf_trl.problems import ProblemFile, read_rows

ROW: dict[str, Any] = {
    "task_id": 11,
    "prompt": "Write it.",
    "code": "def f():\n    return 1",
    "test_imports": ["import re"],
    "test_list": ["assert f() == 1"],
    "source_file": "x",
}


def test_mbpps_sanitized_file_is_a_list(tmp_path: Path) -> None:
    path = tmp_path / "sanitized-mbpp.json"
    path.write_text(json.dumps([ROW, {**ROW, "task_id": 511}]))
    problem, other = ProblemFile(path)
    assert (problem.task_id, other.task_id) == ("MBPP/11", "MBPP/511")
    assert problem.tests.setup == "import re"  # type: ignore[union-attr]
    assert [p.task_id for p in ProblemFile(path, task_range=[11, 510])] == ["MBPP/11"]
    (tmp_path / "packed.json.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert len(list(ProblemFile(tmp_path / "packed.json.gz"))) == 2


def test_parquet_files_are_read(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([ROW]), tmp_path / "test.parquet")
    assert [row for _, row in read_rows(tmp_path / "test.parquet")] == [ROW]
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(InputError, match="not a Parquet file"):
        list(read_rows(tmp_path / "broken.parquet"))


def test_a_data_set_of_a_hub_is_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.jsonl").write_text(json.dumps(ROW) + "\n")
    (problem,) = ProblemFile(f"hub:{tmp_path / 'data'}", split="test")
    assert problem.task_id == "MBPP/11"


@pytest.mark.skipif(
    os.environ.get("HF_HUB_OFFLINE") != "1", reason="asks a hub where there is one: set HF_HUB_OFFLINE=1"
)
def test_a_hub_that_cannot_be_reached_is_told_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"hub:no/such-set: the data set cannot be had.*give the file's path instead"):
        list(read_rows("hub:no/such-set"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"a": 1}', "expected a list of JSON objects"),
        ('[{"a": 1}]', "row 1: field tests: missing"),
    ],
)
def test_broken_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=message):
        list(ProblemFile(tmp_path / "p.json"))


def test_a_task_range_needs_numbers(tmp_path: Path) -> None:
    row = {
        "task_id": "a",
        "prompt": "p",
        "entry_point": "f",
        "tests": {"kind": "check", "check": "def check(c): pass"},
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="field task_id: task_range needs a number at its end, got 'a'"):
        list(ProblemFile(tmp_path / "p.jsonl", task_range=[1, 2]))
    with pytest.raises(InputError, match="has no date"):
        list(ProblemFile(tmp_path / "p.jsonl", since="2024-01-01"))


def test_mbpp_plus_as_a_hub_has_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps({**ROW, "test": "for inp in inputs: assertion(f(*inp))"}) + "\n")
    with pytest.raises(InputError, match=r"use its published file MbppPlus\.jsonl"):
        list(ProblemFile(tmp_path / "p.jsonl"))

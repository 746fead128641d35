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
    with pytest.raises(InputError, match=r"hub:no/such-set: the data set cannot be loaded.*pass the file's path"):
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


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "not JSON: nested too deep"),
        (b"[" * 100_000, "not JSON: nested too deep"),
        (b"1" * 5_000, r"not JSON: .*5000 digits"),
        (b'"\x00"', "not JSON: Invalid control character at column 7"),
        (b'"\xff"', "not UTF-8 text"),
        (b'"\xed\xa0\x80"', "not UTF-8 text"),  # a surrogate in bytes
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_json_that_python_cannot_read_is_refused_by_file_and_line(
    tmp_path: Path, value: bytes, message: str, packed: bool
) -> None:
    path = tmp_path / f"p.jsonl{'.gz' if packed else ''}"
    lines = b'{"a": 1}\n{"a":' + value + b"}\n"
    path.write_bytes(gzip.compress(lines) if packed else lines)
    rows = read_rows(path)
    assert next(rows)[1] == {"a": 1}
    with pytest.raises(InputError, match=rf"p\.jsonl(\.gz)?:2: {message}"):
        next(rows)
    (tmp_path / "p.json").write_bytes(b'[{"a":' + value + b"}]")
    with pytest.raises(InputError, match=rf"p\.json(:1)?: {message.partition(' at ')[0]}"):
        list(read_rows(tmp_path / "p.json"))


def test_an_error_in_a_list_is_found_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('[\n{"a": 1},\n{"a" 2}\n]')
    with pytest.raises(InputError, match=r"p\.json:3: not JSON: Expecting ':' delimiter at column 6"):
        list(read_rows(tmp_path / "p.json"))


@pytest.mark.parametrize("name", ["p.jsonl", "p.json"])
def test_a_byte_order_mark_is_skipped(tmp_path: Path, name: str) -> None:
    text = json.dumps(ROW) if name == "p.jsonl" else json.dumps([ROW])
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert [row for _, row in read_rows(tmp_path / name)] == [ROW]


def test_a_gzip_file_with_damaged_content_is_refused(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(json.dumps(ROW).encode() * 9))
    data[12] ^= 0xFF
    (tmp_path / "p.jsonl.gz").write_bytes(data)
    with pytest.raises(InputError, match=r"p\.jsonl\.gz(:1)?: not "):
        list(read_rows(tmp_path / "p.jsonl.gz"))


CASE: dict[str, Any] = {"args": [1], "expected": 2}
OURS: dict[str, Any] = {"task_id": "t", "prompt": "p", "entry_point": "f", "tests": {"kind": "cases", "cases": [CASE]}}
HUMANEVAL: dict[str, Any] = {"task_id": "t", "prompt": "p", "entry_point": "f", "test": "def check(c): pass"}
EVALPLUS: dict[str, Any] = {
    **{"task_id": "t", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n"},
    **{"base_input": [[1]], "plus_input": [], "atol": 0},
}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**OURS, "metadata": {"x": float("nan")}}, r"field metadata\['x'\]: expected a value that JSON can hold"),
        ({**OURS, "metadata": {"x": float("inf")}}, r"field metadata\['x'\]: expected a value that JSON can hold"),
        ({**OURS, "prompt": "\ud800"}, "field prompt: expected a value that JSON can hold .*surrogates"),
        ({**HUMANEVAL, "test": "\ud800"}, "field test: expected a value that JSON can hold .*surrogates"),
        ({**HUMANEVAL, "canonical_solution": 3}, "field canonical_solution: expected a string or null, got 3"),
        ({name: value for name, value in HUMANEVAL.items() if name != "test"}, "field test: missing"),
        ({**ROW, "test_list": []}, r"field test_list: expected a non-empty list of strings, got \[\]"),
        ({**ROW, "test_list": [3]}, r"field test_list\[0\]: expected a string, got 3"),
        ({**ROW, "prompt": 3}, "field prompt: expected a string, got 3"),
        ({**ROW, "code": None}, "field code: expected a string, got null"),
        ({**ROW, "test_imports": [3]}, r"field test_imports\[0\]: expected a string, got 3"),
        ({**EVALPLUS, "task_id": 3}, "field task_id: expected a string, got 3"),
        ({**EVALPLUS, "atol": "1"}, 'field atol: expected a number, got "1"'),
        ({**EVALPLUS, "base_input": None}, "field base_input: expected a list of argument lists, got null"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=rf"p\.jsonl:1: {message}"):
        list(ProblemFile(tmp_path / "p.jsonl"))


def test_infinities_and_nul_characters_are_data_where_python_takes_them(tmp_path: Path) -> None:
    rows = [{**EVALPLUS, "base_input": [[float("inf")]]}, {**ROW, "code": "\0", "test_list": ["assert f('\0')"]}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evalplus, mbpp = ProblemFile(tmp_path / "p.jsonl")
    assert 'float("inf")' in evalplus.tests.asserts[0]  # type: ignore[union-attr]
    assert mbpp.entry_point is None


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
    with pytest.raises(InputError, match=r"field metadata\.date: missing in a"):
        list(ProblemFile(tmp_path / "p.jsonl", since="2024-01-01"))


def test_mbpp_plus_as_a_hub_has_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps({**ROW, "test": "for inp in inputs: assertion(f(*inp))"}) + "\n")
    with pytest.raises(InputError, match=r"use its published file MbppPlus\.jsonl"):
        list(ProblemFile(tmp_path / "p.jsonl"))

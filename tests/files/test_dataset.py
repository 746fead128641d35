"""Data sets of the trainer's rows, from files of every form."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest

from rrtf_trl.errors import InputError
from rrtf_trl.files.dataset import load_dataset
from rrtf_trl.files.rows import read_rows

ROWS = [
    {"prompt": "Add 1.", "chosen": "return x + 1", "rejected": "1"},
    {"prompt": 'Nothing,\n"quoted"', "chosen": "None", "rejected": ""},
]


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """Write rows in the form that the path's ending says."""
    name = path.name.lower()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if name.endswith((".csv", ".tsv")):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if name.endswith(".tsv") else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif name.endswith(".parquet"):
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith((".arrow", ".feather")):
        table = pa.Table.from_pylist(rows)
        make = pa.ipc.new_stream if name.endswith(".arrow") else pa.ipc.new_file
        with make(path, table.schema) as written:
            written.write_table(table)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(write(path.with_suffix(""), rows).read_bytes()))
    else:
        path.write_text(json.dumps(rows) if name.endswith("array.json") else lines)
    return path


FILES = [
    *("rows.csv", "ROWS.CSV", "rows.tsv", "rows.csv.gz", "rows.parquet", "rows.arrow", "rows.feather"),
    *("rows.jsonl", "rows.jsonl.gz", "array.json", "rows.json", "rows.ndjson", "rows"),
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_by_its_ending(name: str, streaming: bool, tmp_path: Path) -> None:
    found = load_dataset(str(write(tmp_path / name)), streaming=streaming)
    assert list(found) == ["train"]
    assert list(found["train"]) == ROWS


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("rows.json", "rows")])
def test_problem_files_have_the_same_forms(name: str, tmp_path: Path) -> None:
    assert [row for _, row in read_rows(write(tmp_path / name))] == ROWS


def test_lists_in_a_table_are_json(tmp_path: Path) -> None:
    row = {"prompt": "p", "responses": '["a", "b"]', "scores": "[1, 0.5]"}
    found = load_dataset(str(write(tmp_path / "ranked.csv", [row])))["train"]
    assert found[0] == {"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.5]}
    with pytest.raises(InputError, match=r"ranked.csv:2: column scores: expected a list as JSON, got 'high'"):
        load_dataset(str(write(tmp_path / "ranked.csv", [{**row, "scores": "high"}])))


def test_folders_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "train.jsonl")
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS)).save_to_disk(tmp_path / "splits")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("folder", "saved", "splits"):
        assert list(load_dataset(f"~/{name}")["train"]) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rows.txt",
            b"hello\n",
            r"rows.txt: cannot be read as a data set \(.+\). Expected a file that ends in .jsonl",
        ),
        ("rows.xlsx", b"PK\x03\x04", "rows.xlsx: cannot be read as a data set .+ends in .jsonl, .json, .csv"),
        ("rows.parquet", b"nothing", "rows.parquet: cannot be read as a data set"),
        ("rows.jsonl", b'{"prompt": "a"\n', "rows.jsonl: cannot be read as a data set"),
        ("rows.csv", b"prompt,chosen\na\n", "rows.csv:2: 1 cells, but the header has 2"),
        ("rows.csv.gz", b"prompt,chosen\na\n", "rows.csv.gz: not a whole gzip file"),
        ("rows.csv", None, "rows.csv: no such file"),
        ("no/such-set", None, "no/such-set: cannot be read as a data set .+the name of a data set on a hub"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_dataset(str(tmp_path / name) if name != "no/such-set" else name)
    assert "\n" not in str(error.value)

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.errors import UserError
from rrtf_trl.records import Candidate, CaseTests, Problem, to_json
from rrtf_trl.samplers import ReplaySampler, Sampler

TESTS = CaseTests([{"args": [1], "expected": 2}])
PROBLEMS = [Problem(name, "def f(x):\n", TESTS, "f") for name in ("a", "MBPP/7", "none")]


def write(path: Path, *rows: object) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


ROWS = [
    {"task_id": "a", "completion": "    return x + 1\n"},
    {"task_id": 7, "completion": "```python\ndef f(x):\n    return 7 # é\n```", "model": "gpt", "source": "human"},
    {"task_id": "a", "completion": "    return x\n", "finish_reason": "length"},
    {"task_id": "a", "completion": "    return 0\n"},
]


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
def test_rows_are_answers_in_their_order(tmp_path: Path, name: str) -> None:
    replay = ReplaySampler(write(tmp_path / name, "", *ROWS), n=2)
    samples = replay.sample(PROBLEMS)
    assert [c.code for c in samples.candidates] == [
        "def f(x):\n    return x + 1\n",
        "def f(x):\n    return x\n",
        "def f(x):\n    return 7 # é\n",
    ]
    assert [(c.source, c.model) for c in samples.candidates] == [
        ("teacher", name),
        ("teacher", name),
        ("human", "gpt"),
    ]
    assert [c.finish_reason for c in samples.candidates] == ["stop", "length", "stop"]
    assert list(samples.skipped) == ["none"]
    assert replay.sample(PROBLEMS) == samples
    assert isinstance(replay, Sampler)


def test_a_runs_own_candidates_are_replayed_as_they_were(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"task_id": "a", "response": "r", "code": "def f(x): pass\n", "source": "student"}
    drawn = Candidate.create(**fields, model="m", sampling={"temperature": 0.5}, finish_reason="stop")
    file = write(tmp_path / "candidates.jsonl", to_json(drawn), to_json(drawn))
    first, second = ReplaySampler(file).sample(PROBLEMS[:1]).candidates
    assert (first.response, first.code, first.source, first.model) == ("r", "def f(x): pass\n", "student", "m")
    assert first.sampling == {"temperature": 0.5, "replayed": 0}
    assert first.candidate_id != second.candidate_id


def test_the_identity_follows_the_content(tmp_path: Path) -> None:
    one, two = (ReplaySampler(write(tmp_path / name, *ROWS), model="m") for name in ("a.jsonl", "b.jsonl"))
    assert one.identity() == two.identity()
    assert ReplaySampler(write(tmp_path / "a.jsonl", *ROWS[1:]), model="m").identity() != one.identity()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", r"x\.jsonl:2: Expecting"),
        ("[" * 100_000, r"x\.jsonl:2: maximum recursion depth"),
        (
            {"task_id": "a", "completion": "\ud800"},
            r"x\.jsonl:2: field completion: expected a value that JSON can hold",
        ),
        ([1], r"x\.jsonl:2: field row: expected an object, got \[1\]"),
        ({"completion": "x"}, r"x\.jsonl:2: field task_id: missing"),
        ({"task_id": "b"}, r"x\.jsonl:2: field completion: expected a string, got null"),
        ({"task_id": "b", "response": 1}, r"x\.jsonl:2: field response"),
        ({"task_id": "b", "completion": "", "source": "me"}, r"x\.jsonl:2: field source: expected one of student"),
        ({"task_id": "b", "completion": "", "sampling": 1}, r"x\.jsonl:2: field sampling"),
    ],
)
def test_a_bad_row_is_refused_by_line_and_field(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ReplaySampler(write(tmp_path / "x.jsonl", ROWS[0], row))


def test_missing_empty_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        ReplaySampler(tmp_path / "none")
    with pytest.raises(UserError, match="no responses in this file"):
        ReplaySampler(write(tmp_path / "empty.jsonl", ""))
    (tmp_path / "half.gz").write_bytes(gzip.compress(b"x" * 1000)[:-9])
    with pytest.raises(UserError, match="not a whole gzip file"):
        ReplaySampler(tmp_path / "half.gz")
    with pytest.raises(ValueError, match="must be"):
        ReplaySampler(write(tmp_path / "a.jsonl", *ROWS), n=0)

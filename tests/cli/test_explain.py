"""`rrtf explain` on a run's folder that is written by hand: two ranked answers, a repeat, people and a teacher."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.cli import main
from rrtf_trl.cli.explain import explain
from rrtf_trl.errors import UserError


def candidate(key: str, task: str, code: str, source: str = "student") -> dict[str, Any]:
    return {
        "candidate_id": key, "task_id": task, "response": code, "code": code, "source": source, "model": "m",
        "sampling": {"temperature": 0.8} if source == "student" else {}, "finish_reason": "stop",
    }  # fmt: skip


def judgement(key: str, source: str, state: str | None, score: float | None, **detail: Any) -> dict[str, Any]:
    return {"candidate_id": key, "feedback": source, "state": state, "score": score, "detail": detail}


def standing(key: str, score: float, **opinions: float | None) -> dict[str, Any]:
    return {"candidate_id": key, "score": score, "opinions": opinions}


FILES: dict[str, list[dict[str, Any]]] = {
    "problems.jsonl": [{"task_id": "p/1", "prompt": "def f(x):  # [double]\n"}, {"task_id": "p/2", "prompt": "g"}],
    "candidates.jsonl": [
        candidate("aaaaaaaaaaaa", "p/1", "return x + x"),
        candidate("aaaaaaaabbbb", "p/1", "return 2 * x", "teacher"),
        candidate("cccccccccccc", "p/1", "return x"),
        candidate("dddddddddddd", "p/1", "return x + x"),
        candidate("eeeeeeeeeeee", "p/2", "pass"),
    ],
    "judgements.jsonl": [
        judgement("aaaaaaaaaaaa", "unit_tests", "passed", 1.0, passed=3, total=3, message=""),
        judgement("aaaaaaaaaaaa", "human", None, 0.9, annotators=["ann"]),
        judgement("aaaaaaaabbbb", "unit_tests", "passed", 1.0, passed=3, total=3, message=""),
        judgement("aaaaaaaabbbb", "human", None, None, abstained="nobody ranked it"),
        judgement("cccccccccccc", "unit_tests", "partial", 0.3, passed=1, total=3, message="f(2) is [2], not 4"),
        judgement("cccccccccccc", "human", None, 0.95, annotators=["ann"]),
    ],
    "standings.jsonl": [
        {
            "task_id": "p/1",
            "standings": [
                standing("aaaaaaaaaaaa", 3.0, unit_tests=3.0, human=0.9, sample=0.0),
                standing("aaaaaaaabbbb", 3.5, unit_tests=3.0, human=None, sample=1.0),
                standing("cccccccccccc", 2.0, unit_tests=2.0, human=0.95, sample=0.0),
            ],
        },
        {"task_id": "p/2", "standings": []},
    ],
    "ranked.jsonl": [{"task_id": "p/1", "candidate_ids": ["aaaaaaaaaaaa", "aaaaaaaabbbb", "cccccccccccc"]}],
    "pairs.jsonl": [{"row": 0, "imitated": [1], "pairs": [[0, 2, 1.0], [1, 0, 0.5], [1, 2, 1.5]]}],
    "dropped.jsonl": [
        {"task_id": "p/1", "reason": "repeated", "candidate_ids": ["dddddddddddd"]},
        {"task_id": "p/2", "reason": "too_few", "candidate_ids": ["eeeeeeeeeeee"]},
    ],
    "conflicts.jsonl": [
        {
            "task_id": "p/1", "sources": ["unit_tests", "human"], "pairs": 1,
            "opposed": [["aaaaaaaaaaaa", "cccccccccccc"]],
        },
    ],
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    for name, rows in FILES.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def told(run: Path, what: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert explain(what, str(run), "runs") == 0
    return capsys.readouterr().out


def test_a_problem_is_told_answer_by_answer_best_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(run, "p/1", capsys)
    assert "def f(x):  # [double]" in text  # square brackets are no markup
    rows = [line.split() for line in text.splitlines() if line.strip()[:2] in ("1 ", "2 ", "3 ", "- ")]
    assert [row[:4] for row in rows[:3]] == [
        ["1", "3.5", "aaaaaaaa", "teacher"], ["2", "3", "aaaaaaaa", "student"], ["3", "2", "cccccccc", "student"],
    ]  # fmt: skip
    assert rows[0][4:] == ["passed", "3/3", "abstained", "imitated,", "better", "in", "2"]
    assert rows[1][4:] == ["passed", "3/3", "0.90", "better", "in", "1,", "worse", "in", "1"]
    assert rows[3] == ["-", "dddddddd", "student", "no,", "repeated"]
    assert "Conflict: unit_tests puts aaaaaaaa above cccccccc, human below it." in text


def test_an_answer_is_told_with_verdicts_replies_neighbours_and_pairs(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = told(run, "aaaaaaaaaaaa", capsys)
    for line in (
        "candidate aaaaaaaaaaaa, by the student, m (temperature 0.8)",
        "unit_tests: passed, 3 of 3 tests",
        "human: 0.9; annotators ['ann']",
        "It has place 2 of 3, with the score 3.",
        "Below aaaaaaaa (3.5): human judged only this one, the teacher rule puts it higher (1 to 0).",
        "Above cccccccc (2): unit_tests puts it lower (2 to 3), human puts it higher (0.95 to 0.9).",
        "It was trained on as better than cccccccc (weight 1).",
        "It was trained on as worse than aaaaaaaa (weight 0.5).",
        "Conflict: unit_tests puts aaaaaaaa above cccccccc, human below it.",
    ):
        assert line in text.splitlines(), line


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("cccccc", ["unit_tests: partial, 1 of 3 tests; f(2) is [2], not 4"]),
        (
            "aaaaaaaabb",
            ["human: abstained: nobody ranked it", "It was imitated, as the best candidate of its problem."],
        ),
        ("dddddd", ["It was not judged yet.", "It was not ranked: the same as another candidate."]),
        ("eeeeee", ["The candidates of this problem were not ranked."]),
        ("p/2", ["The problem was dropped: fewer than two different whole candidates."]),
    ],
)
def test_what_is_told_of_others(run: Path, what: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = told(run, what, capsys).splitlines()
    assert all(line in text for line in lines), text


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("aaaaaaaa", "aaaaaaaa is the start of 2 candidates' ids in .*give more of the id"),
        ("ffffffff", "'ffffffff' is not a candidate or a problem of"),
        ("aaa", "not a candidate or a problem"),
    ],
)
def test_what_cannot_be_told(run: Path, what: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        explain(what, str(run), "runs")


def test_before_ranking_and_training_it_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "pairs.jsonl").unlink()
    assert "It has not been trained on yet." in told(run, "cccccc", capsys)
    for name in ("standings.jsonl", "ranked.jsonl", "dropped.jsonl", "conflicts.jsonl"):
        (run / name).unlink()
    assert "The candidates of this problem were not ranked." in told(run, "cccccc", capsys)


def test_a_problem_that_training_left_out_is_in_no_pair(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "pairs.jsonl").write_text("")
    assert "It is in no pair: it was too long, or " in told(run, "cccccc", capsys)


def test_without_a_run_the_newest_that_knows_it_is_asked(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newer = run.parent / "two"
    newer.mkdir()
    (newer / "candidates.jsonl").write_text(json.dumps(candidate("ffffffffffff", "p/3", "pass")) + "\n")
    os.utime(newer / "candidates.jsonl", (2e9, 2e9))
    runs_dir = str(run.parent)
    assert main(["explain", "ffffff", "--runs-dir", runs_dir]) == 0
    assert f"p/3 in {newer}" in capsys.readouterr().out
    assert main(["explain", "p/1", "--runs-dir", runs_dir]) == 0
    assert f"p/1 in {run}" in capsys.readouterr().out
    assert main(["explain", "p/9", "--runs-dir", runs_dir]) == 1
    assert f"not a candidate or a problem of any run in {runs_dir}" in capsys.readouterr().err


def test_what_looks_like_markup_is_printed_as_it_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = (run / "candidates.jsonl").read_text().replace('"model": "m"', '"model": "llama[/INST]"')
    (run / "candidates.jsonl").write_text(rows)
    assert explain("dddddd", str(run), "") == 0
    assert "by the student, llama[/INST] (" in capsys.readouterr().out

import json
from pathlib import Path

import pytest

from rrtf_trl.cli import main
from rrtf_trl.evaluation.compare import compare, mcnemar, overlaps

A = {"1": [1, 1], "2": [1, 1], "3": [1, 0], "4": [1, 0], "5": [1, 0]}
B = {"1": [1, 1], "2": [1, 0], "3": [1, 1], "4": [1, 1], "5": [1, 0]}
C = {"1": [1, 1], "2": [1, 0], "3": [1, 0], "4": [1, 1], "5": [1, 0]}


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (10, 2, 0.03857421875), (2, 10, 0.03857421875), (6, 6, 1.0)],
)
def test_mcnemar_of_known_counts(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(p)


@pytest.mark.slow
def test_mcnemar_is_scipys_binomial_test() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    for gained, lost in [(3, 9), (40, 61), (0, 12), (500, 430)]:
        assert mcnemar(gained, lost) == pytest.approx(stats.binomtest(gained, gained + lost).pvalue)


def test_wins_losses_and_gain() -> None:
    found = compare(A, B, ("a", "b"))
    assert (found.problems, found.wins, found.losses, found.gained, found.lost) == (5, 2, 1, 2, 1)
    assert found.gain.value == pytest.approx(0.2)
    several = compare({"1": [4, 1], "2": [4, 0]}, {"1": [4, 3], "2": [2, 1]})
    assert (several.wins, several.gained) == (2, 1)


def test_the_fields_of_the_venn_diagram_hold_every_problem_once() -> None:
    fields = {field.models: field.tasks for field in overlaps({"a": A, "b": B, "c": C})}
    assert fields == {
        ("a", "b", "c"): ["1"], ("a", "b"): [], ("a", "c"): [], ("b", "c"): ["4"],
        ("a",): ["2"], ("b",): ["3"], ("c",): [], (): ["5"],
    }  # fmt: skip
    assert [field.models for field in overlaps({"a": A, "b": B})] == [("a", "b"), ("a",), ("b",), ()]


def test_other_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="the same problems: b lacks 5"):
        compare(A, {task: B[task] for task in "1234"}, ("a", "b"))
    with pytest.raises(ValueError, match="the same problems: a lacks 6"):
        overlaps({"a": A, "b": {**B, "6": [1, 1]}})


def write(path: Path, counts: dict[str, list[int]]) -> str:
    rows = [{"task_id": task, "passed": index < c} for task, (n, c) in counts.items() for index in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_command_compares_files_of_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [write(tmp_path / f"{name}.jsonl", counts) for name, counts in (("a", A), ("b", B), ("c", C))]
    assert main(["compare", *names, "--out", str(tmp_path / "c.json")]) == 0
    printed = capsys.readouterr().out
    assert "b over a" in printed
    assert "5 problems" in printed
    found = json.loads((tmp_path / "c.json").read_text())
    assert [pair["wins"] for pair in found["pairs"]] == [2, 1, 0]
    assert sum(len(field["tasks"]) for field in found["venn"]) == found["problems"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jsonl"], "takes two or three different"),
        (["a.jsonl", "a.jsonl"], "takes two or three different"),
        (["a.jsonl", "none.jsonl"], "no such file"),
        (["a.jsonl", "s.jsonl"], "s.jsonl:1: expected task_id and passed"),
        (["a.jsonl", "folder"], "folder: no samples of measurement 'greedy'"),
    ],
)
def test_what_cannot_be_compared_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", A)
    (tmp_path / "s.jsonl").write_text('{"task_id": "1", "completion": ""}\n')
    (tmp_path / "folder").mkdir()
    assert main(["compare", *arguments]) == 1
    assert message in capsys.readouterr().err

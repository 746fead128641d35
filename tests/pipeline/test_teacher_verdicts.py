"""The judge as a source of feedback in a run: what is kept, asked again, and paid for."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rrtf_trl.chat import Budget, ChatClient
from rrtf_trl.errors import FeedbackError
from rrtf_trl.feedback import Feedback, Teacher, UnitTests
from rrtf_trl.pipeline.pipeline import Evaluation, Pipeline
from rrtf_trl.ranking import Ranking
from rrtf_trl.records import CaseTests, Problem
from rrtf_trl.samplers import ReplaySampler
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store
from support.scripted_judge import fair_judge, teacher
from support.scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(fair_judge) as server:
        yield server


def pipeline(tmp_path: Path, source: Feedback, answers: dict[str, list[str]]) -> Pipeline:
    tests = CaseTests([{"args": [n], "expected": n + 1} for n in range(3)])
    heldout = [Problem("held", "# held\ndef f(x):\n", tests, "f")]
    train = [Problem(name, f"# {name}\ndef f(x):\n", tests, "f") for name in answers]
    rows = [{"task_id": name, "completion": body} for name, bodies in answers.items() for body in bodies]
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Pipeline(
        folder=RunFolder(tmp_path / "run"),
        store=Store(tmp_path / "store.sqlite"),
        problems={"train": train, "heldout": heldout},
        samplers={"replay": ReplaySampler(file, source="student")},
        feedback={"unit_tests": UnitTests(timeout=2, memory_mb=256, workers=1), "teacher": source},
        ranking=Ranking(),
        model="base",
        train=lambda folder: [],
        train_key="key",
        evaluation=Evaluation(lambda **_: None, {}),  # type: ignore[arg-type,return-value]
        console=Console(file=io.StringIO(), soft_wrap=True),
    )


ANSWERS = {
    "a": ["    return x + 1  # 9\n", "    return x  # 3\n", "    return x  # 3\n"],
    "b": ["    return x + 1  # 5\n", "    return x  # 7\n", "    return (  # 1\n"],
}


def rows_of(tmp_path: Path) -> list[dict[str, Any]]:
    lines = (tmp_path / "run" / "judgements.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["feedback"] == "teacher"]


@pytest.mark.parametrize("mode", ["grade", "pair", "rank"])
def test_verdicts_are_kept_and_asked_once(server: ScriptedServer, tmp_path: Path, mode: str) -> None:
    first = pipeline(tmp_path, teacher(server, mode), ANSWERS)
    first.run("rank")
    output = first.console.file.getvalue()  # type: ignore[attr-defined]
    assert "feedback teacher: 6 judged, 0 abstained" in output
    assert f"teacher: judge: {server.answered.total()} requests" in output
    scores = [row["score"] for row in rows_of(tmp_path)]
    assert scores[0] > scores[1] == scores[2]
    assert scores[4] > scores[3] > scores[5]
    assert json.loads((tmp_path / "run/feedback/teacher.json").read_text())["mode"] == mode
    asked = server.asked.total()
    pipeline(tmp_path, teacher(server, mode), ANSWERS).run("rank")
    assert server.asked.total() == asked


@pytest.mark.slow
def test_a_comparison_holds_for_its_set_of_answers(server: ScriptedServer, tmp_path: Path) -> None:
    cache = tmp_path / "r.sqlite"
    pipeline(tmp_path, teacher(server, "pair", cache), ANSWERS).run("feedback")
    asked = server.asked.total()
    more = {**ANSWERS, "a": [*ANSWERS["a"], "    return 1 + x  # 10\n"]}
    pipeline(tmp_path, teacher(server, "pair", cache), more).run("feedback")
    assert [row["score"] for row in rows_of(tmp_path)][:4] == [0.5, 0.0, 0.0, 1.0]
    assert server.asked.total() == asked + 2 * 2  # only what the new answer is compared with


def test_a_budget_that_ends_in_the_middle_keeps_what_was_judged(server: ScriptedServer, tmp_path: Path) -> None:
    cache = tmp_path / "r.sqlite"
    server.script = lambda body, before: fair_judge(body).replace("so it is", "so " * 1000)
    small = teacher(server, cache=cache, max_tokens=50, client={"budget": Budget(tokens=4500), "concurrency": 1})
    with pytest.raises(FeedbackError, match="larger budget"):
        pipeline(tmp_path, small, ANSWERS).run("feedback")
    done = server.answered.total()
    assert 0 < done < 5
    large = teacher(server, cache=cache, max_tokens=50, client={"budget": Budget(tokens=100_000)})
    pipeline(tmp_path, large, ANSWERS).run("feedback")
    assert server.answered.total() == 5  # distinct programs


@pytest.mark.slow
def test_abstentions_are_kept_too_and_never_zero(server: ScriptedServer, tmp_path: Path) -> None:
    server.script = lambda body, before: "no comment"
    pipeline(tmp_path, teacher(server), ANSWERS).run("rank")
    assert {row["score"] for row in rows_of(tmp_path)} == {None}
    asked = server.asked.total()
    pipeline(tmp_path, teacher(server), ANSWERS).run("rank")
    assert server.asked.total() == asked


@pytest.mark.slow
def test_a_server_that_is_gone_scores_nobody(tmp_path: Path) -> None:
    source = Teacher(ChatClient(model="judge", base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(FeedbackError, match="is the server running"):
        pipeline(tmp_path, source, ANSWERS).run("feedback")
    assert not (tmp_path / "run" / "judgements.jsonl").exists()

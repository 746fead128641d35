"""`rrtf` with a teacher behind a server: real processes, the embedded problems and policy, a scripted server."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.scripted_server import Answer, Body, ScriptedServer, said
from support.warm_python import python

KEY = "sk-very-secret-0123456789"
SMALL = [
    "problems.train.limit=6",
    "problems.heldout.limit=2",
    "sampler.transformers.n=3",
    "sampler=[transformers,openai]",
    "feedback=[unit_tests,teacher]",
    "sampler.openai.client.model=big",
    "sampler.openai.n=2",
    "feedback.teacher.client.model=big",
    "feedback.teacher.mode=pair",
]


def big(body: Body, before: int) -> Answer:
    """A teacher that answers every task the same way, and as a judge likes the longer answer; it tells the key."""
    if "Compare two answers" in said(body):
        answers = re.findall(r" ANSWER [AB]\n(.*?)\n===", said(body), re.DOTALL)
        winner = max("AB", key=lambda label: len(answers["AB".index(label)]))
        return Answer(json.dumps({"reason": f"longer; {KEY}", "winner": winner}))
    return Answer([f"    return {i + len(said(body)) % 7}  # {KEY}\n" for i in range(body.get("n", 1))])


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(big) as server:
        yield server


def start(folder: Path, server: ScriptedServer, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url, "OMP_WAIT_POLICY": "PASSIVE"}
    environment |= {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [python(), "-m", "rrtf_trl.cli", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def rrtf(folder: Path, server: ScriptedServer, *arguments: str) -> tuple[int, str]:
    process = start(folder, server, *arguments)
    output, _ = process.communicate(timeout=300)
    assert KEY not in output
    return process.returncode, output


def everything_written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_teacher_samples_and_judges_and_its_key_is_written_nowhere(server: ScriptedServer, tmp_path: Path) -> None:
    status, output = rrtf(tmp_path, server, "rank", *SMALL)
    assert status == 0, output
    assert re.search(r"sample openai: 12 candidates in", output)
    assert re.search(r"openai: big: 6 requests, 60 \+ \d+ tokens\n", output)
    assert re.search(r"feedback teacher: 30 judged, 0 abstained, first shown wins \d+% .*longer wins 100% ", output), (
        output
    )
    (run,) = (tmp_path / "runs").glob("quickstart-*")
    candidates = [json.loads(line) for line in (run / "candidates.jsonl").read_text().splitlines()]
    assert [c["source"] for c in candidates[:5]] == ["student"] * 3 + ["teacher"] * 2
    assert "[API key]" in candidates[4]["response"]
    figures = json.loads((run / "feedback" / "teacher.json").read_text())
    assert figures["length"]["all"]["share"] == 1.0
    assert figures["position"]["orders_agree"]["share"] > 0.5
    assert KEY.encode() not in everything_written(tmp_path)
    asked = server.asked.total()
    status, output = rrtf(tmp_path, server, "rank", *SMALL)
    assert status == 0, output
    assert "feedback teacher: nothing to do, 30 re-used" in output
    assert server.asked.total() == asked


@pytest.mark.slow
def test_a_run_that_ends_with_its_budget_goes_on_in_its_folder(server: ScriptedServer, tmp_path: Path) -> None:
    budget = "feedback.teacher.client.budget.tokens"
    status, output = rrtf(
        tmp_path, server, "feedback", *SMALL, f"{budget}=3400", "feedback.teacher.client.concurrency=1"
    )
    assert status == 1
    assert re.search(r"rrtf: the budget for big at .* continues with a larger budget", output)
    assert "Traceback" not in output
    done = dict(server.answered)
    assert len(done) > 10
    status, output = rrtf(
        tmp_path, server, "feedback", *SMALL, f"{budget}=null", "feedback.teacher.client.concurrency=1"
    )
    assert status == 0, output
    assert len(list((tmp_path / "runs").glob("quickstart-*"))) == 1
    assert set(server.answered.values()) == {1}
    assert len(server.answered) > len(done)


@pytest.mark.slow
def test_killed_while_the_judge_is_asked_nothing_that_was_kept_is_asked_again(
    server: ScriptedServer, tmp_path: Path
) -> None:
    def slowly(body: Body, before: int) -> Answer:
        answer = big(body, before)
        answer.delay = 0.05
        return answer

    server.script = slowly
    for _ in range(2):
        judged = server.asked.total()
        process = start(tmp_path, server, "feedback", *SMALL)
        while process.poll() is None and server.asked.total() < judged + 20:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    status, output = rrtf(tmp_path, server, "feedback", *SMALL)
    assert status == 0, output
    # At each kill up to sixteen were under way, whose replies came for nobody.
    assert sum(count - 1 for count in server.answered.values()) <= 2 * 16
    (run,) = (tmp_path / "runs").glob("quickstart-*")
    rows = [json.loads(line) for line in (run / "judgements.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 30
    assert all(row["score"] is not None for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            f"+sampler.openai.client.api_key={KEY}",
            "sampler.openai.client: no option 'api_key'; did you mean 'api_key_env'?",
        ),
        (
            f"sampler.openai.client.api_key_env={KEY}",
            "must be the name of an environment variable, in capitals, not the key itself",
        ),
        ("feedback.teacher.mode=vote", "feedback.teacher.mode: expected one of grade, pair, rank, got 'vote'"),
    ],
)
def test_wrong_settings_are_refused_and_a_key_is_not_repeated(
    server: ScriptedServer, tmp_path: Path, override: str, message: str
) -> None:
    status, output = rrtf(tmp_path, server, "rank", *SMALL, override)
    assert status == 1
    assert message in output
    assert "Traceback" not in output
    assert KEY.encode() not in everything_written(tmp_path)


@pytest.mark.slow
def test_the_teacher_judges_beside_the_tests_and_not_in_their_place(server: ScriptedServer, tmp_path: Path) -> None:
    status, output = rrtf(tmp_path, server, "rank", "feedback=[teacher]", "feedback.teacher.client.model=big")
    assert status == 1
    assert "feedback: unit_tests must be among them" in output
    assert "Traceback" not in output
